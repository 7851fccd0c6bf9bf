// What follows from both OPENs, where the RFCs say which of several statements counts, or that none does.

import assert from 'node:assert/strict';
import { checkOpen, negotiate } from '../../bgp/negotiate.ts';
import type { SessionConfig } from '../../bgp/session-types.ts';
import type { Capability, OpenMessage } from '../../bgp/wire/message.ts';
import { peerSettings } from './speakers.ts';

const families = [{ afi: 1, safi: 1, forwarding: true }];
const restart = (restartTimeSec: number): Capability => {
  return { kind: 'graceful-restart', restarting: false, notification: false, restartTimeSec, families };
};
const config: SessionConfig = {
  localAsn: 65000,
  routerId: 1,
  peerAsn: undefined,
  peer: peerSettings('test', 2, 0),
  capabilities: [{ kind: 'multiprotocol', afi: 1, safi: 1 }, restart(60)],
};
const open = (asn: number, capabilities: readonly Capability[] = []): OpenMessage => {
  return { kind: 'open', version: 4, asn, holdTimeSec: 90, routerId: 2, capabilities };
};

describe('negotiation', () => {
  it('refuses AS 0, also where any AS will do (RFC 7607)', () => {
    const { code, subcode } = checkOpen(config, open(0))?.notification ?? {};
    assert.deepEqual([code, subcode], [2, 2]);
    assert.equal(checkOpen(config, open(64999)), undefined);
  });

  it('takes the last of several graceful restart capabilities (RFC 4724 §3)', () => {
    assert.equal(negotiate(config, open(1, [restart(10), restart(20)])).gracefulRestart?.restartTimeSec, 20);
  });
});
