// Shows that dropped segments are told of the peers that they may be of, while they are recent.

import assert from 'node:assert/strict';
import type { Clock } from '../../bgp/edges.ts';
import { parseNetstat, TcpDrops } from '../../bgp/tcp-drops.ts';

const netstat = (failure: number, notFound: number, ttl: number): string =>
  `TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Failure TCPMinTTLDrop
TcpExt: 7 ${notFound} ${failure} ${ttl}
IpExt: InNoRoutes
IpExt: 1
`;

describe('tcp drops', () => {
  it('finds counters by their names', () => {
    assert.deepEqual(parseNetstat(netstat(3, 2, 1)), {
      TCPMD5Failure: 3,
      TCPMD5NotFound: 2,
      TCPMD5Unexpected: 0,
      TCPMinTTLDrop: 1,
    });
    assert.equal(parseNetstat('').TCPMD5Failure, 0);
  });

  it('tells what has risen lately, to whom it concerns', () => {
    let text = netstat(5, 0, 0);
    let tick: () => void = () => {};
    const arm = (_delay: number, callback: () => void): (() => void) => {
      tick = callback;
      return () => {};
    };
    const clock: Clock = { now: () => 0, random: () => 0, after: arm };
    const drops = new TcpDrops(clock, () => text);
    assert.equal(drops.reasonFor({ password: 'x' }), undefined);
    text = netstat(8, 1, 4);
    const reason = drops.reasonFor({ password: 'x' });
    assert.match(
      reason ?? '',
      /^dropped here lately: 3 segments with another TCP-MD5 key than ours, 1 segments without/,
    );
    assert.equal(drops.reasonFor({}), undefined);
    assert.match(drops.reasonFor({ ttlSecurityHops: 1 }) ?? '', /4 segments from farther away/);
    for (let i = 0; i < 8; i++) tick();
    assert.equal(drops.reasonFor({ password: 'x' }), undefined, 'long ago');
  });
});
