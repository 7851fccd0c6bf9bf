// What peers are sent again, or in another way, while they have not taken yet what was sent before: nothing that must
// follow is lost, and nothing that is gone stays with them.

import assert from 'node:assert/strict';
import type { RouteFilter } from '../../../bgp/rib/policy.ts';
import { acceptEverything } from '../../../bgp/rib/policy.ts';
import type { Treatment } from '../../../bgp/rib/treatment.ts';
import type { Refresh } from '../../../bgp/rib/update-group.ts';
import { encodeMessage } from '../../../bgp/wire/codec.ts';
import { Lab, prefix, type TestPeer } from './harness.ts';

const mark = (subtype: number) => encodeMessage({ kind: 'route-refresh', afi: 1, safi: 1, subtype });
const refresh: Refresh = { begin: (writer) => writer.raw(mark(1)), end: (writer) => writer.raw(mark(2)) };

/** What a peer heard, in words: "update", "end", "begin-refresh", "end-refresh". */
function heard({ received }: TestPeer): string[] {
  return received.map((message) => {
    if (message.kind === 'route-refresh') return message.subtype === 1 ? 'begin-refresh' : 'end-refresh';
    return message.kind === 'update' && message.nlri.length + message.withdrawn.length > 0 ? 'update' : 'end';
  });
}

const askAgain = (peer: TestPeer): void => {
  const member = peer.groups[0]?.members.get(peer.source);
  if (member) peer.groups[0]?.refresh(member, refresh);
};

/** A peer that takes nothing from its first byte on. */
function stuckPeer(lab: Lab, treatment: Partial<Treatment> = {}): TestPeer {
  return lab.peer({ asn: 64602, treatment, queuedBytes: 1 << 30 });
}

const without = (text: string): RouteFilter => ({
  acceptsAll: false,
  usesPrefix: true,
  usesInterface: false,
  evaluate: (route) => ({ accept: route.prefix.address !== prefix(text).address, origin: 'test', operations: [] }),
});

describe('routes that are sent again', () => {
  for (const addPath of [false, true]) {
    describe(addPath ? 'all paths' : 'best paths', () => {
      it('come after End-of-RIB when the first sending is not through (RFC 7313)', () => {
        const lab = new Lab();
        const from = lab.peer({ asn: 64601 });
        from.announce('10.1.0.0/24');
        lab.rib.flush();
        const to = stuckPeer(lab, { addPath });
        askAgain(to);
        askAgain(to);
        to.drain();
        assert.deepEqual(heard(to), ['update', 'end', 'begin-refresh', 'update', 'end-refresh']);
      });

      it('do not make what the peer missed be forgotten', () => {
        const lab = new Lab();
        const from = lab.peer({ asn: 64601 });
        from.announce('10.1.0.0/24');
        from.announce('10.2.0.0/24');
        lab.rib.flush();
        const to = lab.peer({ asn: 64602, treatment: { addPath } });
        assert.equal(to.table.size, 2);
        to.queuedBytes = 1 << 30;
        from.withdraw('10.2.0.0/24');
        lab.rib.flush();
        askAgain(to);
        to.drain();
        assert.deepEqual(
          [...to.table.keys()].map((key) => key.split(' ')[0]),
          ['10.1.0.0/24'],
        );
        assert.equal(heard(to).at(-1), 'end-refresh');
      });

      it('end with End-of-RIB also when they go out in another way before the first sending is through', () => {
        const lab = new Lab();
        const from = lab.peer({ asn: 64601 });
        from.announce('10.1.0.0/24');
        from.announce('10.2.0.0/24');
        lab.rib.flush();
        const to = stuckPeer(lab, { addPath });
        askAgain(to);
        to.move(lab.rib, { filter: without('10.2.0.0/24'), filterKey: 'without' });
        to.drain();
        assert.deepEqual(
          heard(to).filter((what) => what !== 'update'),
          ['end', 'begin-refresh', 'end-refresh'],
        );
        assert.deepEqual(
          [...to.table.keys()].map((key) => key.split(' ')[0]),
          ['10.1.0.0/24'],
        );
      });

      it('leave nothing behind that went while the peer was slow, and then was not to be sent any more', () => {
        const lab = new Lab();
        const from = lab.peer({ asn: 64601 });
        for (const text of ['10.1.0.0/24', '10.2.0.0/24', '10.3.0.0/24']) from.announce(text);
        lab.rib.flush();
        const to = lab.peer({ asn: 64602, treatment: { addPath } });
        to.queuedBytes = 1 << 30;
        from.withdraw('10.3.0.0/24');
        lab.rib.flush();
        to.move(lab.rib, { filter: without('10.2.0.0/24'), filterKey: 'without' });
        to.move(lab.rib, { filter: acceptEverything, filterKey: '' });
        to.move(lab.rib, { filter: without('10.1.0.0/24'), filterKey: 'without 1' });
        to.drain();
        assert.deepEqual(
          [...to.table.keys()].map((key) => key.split(' ')[0]),
          ['10.2.0.0/24'],
        );
      });
    });
  }
});

describe('judging received routes anew', () => {
  it('does not make stale ones fresh', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    from.announce('10.1.0.0/24');
    from.announce('10.2.0.0/24');
    lab.rib.markStale(from.source, 'ipv4-unicast');
    from.adjRibIn.setFilter(without('10.9.0.0/24'));
    from.announce('10.1.0.0/24');
    lab.rib.dropStale(from.source, 'ipv4-unicast');
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], ['10.1.0.0/24']);
  });
});
