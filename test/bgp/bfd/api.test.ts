// Shows that what the routing process tells the BFD process, and what it hears, survives being JSON, and that anything else
// is refused.

import assert from 'node:assert/strict';
import { bfdPeersFromJson, bfdPeersToJson, stateChangeFromJson } from '../../../bgp/bfd/api.ts';
import type { BfdPeer, BfdStateChange } from '../../../bgp/bfd/engine.ts';
import { address } from '../rib/harness.ts';

const overJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const timing = { minTxMs: 50, minRxMs: 60, multiplier: 3 };

describe('bfd over JSON', () => {
  it('peers of both families come out as they went in', () => {
    const peers: BfdPeer[] = [
      { key: 'a', address: address('10.0.0.1'), source: address('10.0.0.2'), multihop: false, timing },
      { key: 'b', address: address('fe80::1'), device: 'eth0', multihop: false, timing },
      { key: 'c', address: address('2001:db8::1'), multihop: true, timing },
    ];
    assert.deepEqual(bfdPeersFromJson(overJson(bfdPeersToJson(peers))), peers);
    assert.deepEqual(bfdPeersFromJson(overJson(bfdPeersToJson([]))), []);
  });

  it('anything else is no list of peers', () => {
    const good = { key: 'a', address: '10.0.0.1', multihop: false, timing };
    for (const bad of [
      undefined,
      'peers',
      {},
      { peers: {} },
      { peers: [{ ...good, key: 1 }] },
      { peers: [{ ...good, address: '10.0.0.256' }] },
      { peers: [{ ...good, multihop: 'no' }] },
      { peers: [{ ...good, timing: { minTxMs: 50 } }] },
      { peers: [good, null] },
    ]) {
      assert.equal(bfdPeersFromJson(bad), undefined, JSON.stringify(bad));
    }
  });

  it('changes of state come out as they went in', () => {
    const change: BfdStateChange = {
      key: 'a',
      state: 'Down',
      byAdministrator: true,
      remoteIndependent: true,
      reason: 'the peer has stopped BFD',
    };
    assert.deepEqual(stateChangeFromJson(overJson(change)), change);
    for (const bad of [undefined, {}, { ...change, state: 'Sideways' }, { ...change, key: 7 }]) {
      assert.equal(stateChangeFromJson(bad), undefined);
    }
  });
});
