// Shows how a route's kernel metric travels: set by filters, kept apart from the attributes, told to other nodes by
// LOCAL_PREF as Calico's nodes do, and nowhere else.

import assert from 'node:assert/strict';
import { compileFilter } from '../../../bgp/filter.ts';
import type { FilterRule } from '../../../bgp/settings.ts';
import { ipv4, Lab, OWN_AS, prefix, type TestPeer } from './harness.ts';

const setPriority = (priority: number): FilterRule => ({
  origin: 'test',
  action: 'accept',
  operations: [{ kind: 'set-priority', priority }],
});
const filterOf = (...rules: FilterRule[]) => compileFilter({ rules, otherwise: 'accept' }, 'ebgp');
const route = '10.1.0.0/26';

describe('route priorities', () => {
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });

  const best = (): number => lab.rib.family('ipv4-unicast').best[1] ?? 0;
  const priority = (): number | undefined => lab.rib.store.priorityOf(best());
  const localPrefTo = (peer: TestPeer): number | undefined => peer.table.get(route)?.localPref;

  it('are none unless a filter sets one, and then are not the route’s LOCAL_PREF', () => {
    const plain = lab.peer({ asn: 64601 });
    plain.announce(route);
    lab.rib.flush();
    assert.equal(priority(), undefined);
    const favoured = lab.peer({ asn: 64602, importFilter: filterOf(setPriority(512)) });
    favoured.announce(route, { asPath: [{ kind: 'sequence', asns: [64602] }] });
    plain.withdraw(route);
    lab.rib.flush();
    assert.equal(priority(), 512);
    assert.equal(lab.rib.store.localPref[best()], 100);
  });

  it('make a set of their own of equal attributes', () => {
    const peer = lab.peer({
      asn: 64601,
      importFilter: filterOf({ ...setPriority(300), match: { prefix: prefix(route), operator: 'equal' } }),
    });
    peer.announce(route);
    peer.announce('10.2.0.0/26');
    lab.rib.flush();
    const { best: sets } = lab.rib.family('ipv4-unicast');
    assert.deepEqual(
      [sets[1], sets[2]].map((set) => lab.rib.store.priorityOf(set ?? 0)),
      [300, undefined],
    );
    assert.equal(peer.adjRibIn.setFilter(filterOf()), undefined);
    lab.rib.flush();
    assert.equal(priority(), undefined, 'without the filter nothing of it is left');
  });

  it('better than normal are told to nodes of this AS, not to others', () => {
    const peer = lab.peer({ asn: 64601, importFilter: filterOf(setPriority(512)) });
    const inside = lab.peer();
    const outside = lab.peer({ asn: 64603 });
    peer.announce(route);
    lab.rib.flush();
    assert.equal(localPrefTo(inside), 2147483647 - 512);
    assert.equal(localPrefTo(outside), undefined);
  });

  it('normal or worse leave LOCAL_PREF as it is', () => {
    const peer = lab.peer({ asn: 64601, importFilter: filterOf(setPriority(5000)) });
    const inside = lab.peer();
    peer.announce(route);
    lab.rib.flush();
    assert.equal(priority(), 5000);
    assert.equal(localPrefTo(inside), 100);
  });

  it('are heard from nodes of this AS, and win', () => {
    const node = lab.peer({ client: true });
    const other = lab.peer({ client: true });
    const reflected = lab.peer({ client: true });
    node.announce(route, { asPath: [], localPref: 2147483647 - 512, nextHop: ipv4('10.0.0.8') });
    other.announce(route, { asPath: [], localPref: 100, nextHop: ipv4('10.0.0.9') });
    lab.rib.flush();
    assert.equal(priority(), 512);
    assert.equal(localPrefTo(reflected), 2147483647 - 512);
    // What Calico's nodes say of every route, and what an operator may have chosen.
    for (const localPref of [2147483647 - 1024, 200, 4294967295]) {
      node.announce(route, { asPath: [], localPref, nextHop: ipv4('10.0.0.8') });
      lab.rib.flush();
      assert.equal(priority(), undefined, `LOCAL_PREF ${localPref}`);
    }
  });

  it('are matched on export, and set there for the receivers alone', () => {
    const only = filterOf(
      { origin: 'm', action: 'accept', priority: 512, operations: [{ kind: 'set-priority', priority: 256 }] },
      { origin: 'r', action: 'reject', operations: [] },
    );
    const peer = lab.peer({ asn: 64601, importFilter: filterOf(setPriority(512)) });
    const normal = lab.peer({ asn: 64602 });
    const inside = lab.peer({ treatment: { filter: only, filterKey: 'only' } });
    peer.announce(route);
    normal.announce('10.9.0.0/26', { asPath: [{ kind: 'sequence', asns: [64602] }] });
    lab.rib.flush();
    assert.deepEqual([...inside.table.keys()], [route]);
    assert.equal(localPrefTo(inside), 2147483647 - 256);
    assert.equal(priority(), 512);
  });

  it('given up on export leave no trace of what was heard', () => {
    const node = lab.peer({ client: true });
    const inside = lab.peer({ client: true, treatment: { filter: filterOf(setPriority(1024)), filterKey: 'normal' } });
    node.announce(route, { asPath: [], localPref: 2147483647 - 512, nextHop: ipv4('10.0.0.8') });
    lab.rib.flush();
    assert.equal(localPrefTo(inside), 100);
  });

  it('of pods that moved here are told too', () => {
    const inside = lab.peer({ asn: OWN_AS });
    lab.rib.originate([{ prefix: prefix('10.1.0.7/32'), blackhole: false, communities: [], priority: 512 }]);
    lab.rib.flush();
    assert.equal(inside.table.get('10.1.0.7/32')?.localPref, 2147483647 - 512);
  });
});
