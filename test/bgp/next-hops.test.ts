// Shows how addresses are looked up among foreign routes, and that only changes that matter are told.

import assert from 'node:assert/strict';
import { type ForeignRoute, NextHopTable } from '../../bgp/next-hops.ts';
import { parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';

describe('foreign routes for next hops', () => {
  const nextHop = address('10.0.1.5');
  const onLink = (interfaceIndex: number) => ({ ways: [{ interfaceIndex }] });
  const connected = route('10.0.1.0/24', onLink(2));
  const fallback = route('0.0.0.0/0', { ways: [{ interfaceIndex: 3, gateway: address('192.0.2.1') }] });

  it('takes the longest prefix, and the lowest metric within it', () => {
    const table = new NextHopTable();
    table.add(fallback);
    assert.deepEqual(table.lookUp(nextHop), { length: 0, priority: 0, ways: fallback.ways });
    table.add(connected);
    assert.deepEqual(table.lookUp(nextHop), { length: 24, priority: 0, ways: connected.ways });
    table.add(route('10.0.1.0/24', { ...onLink(4), priority: 50 }));
    assert.deepEqual(table.lookUp(nextHop)?.ways, connected.ways);
    table.remove(connected);
    assert.deepEqual(table.lookUp(nextHop), { length: 24, priority: 50, ways: [{ interfaceIndex: 4 }] });
  });

  it('tells changes of answers that were asked for, and no others', () => {
    const table = new NextHopTable();
    assert.deepEqual(table.add(fallback), [], 'nothing asked yet');
    table.lookUp(nextHop);
    assert.deepEqual(table.add(route('10.9.0.0/16', onLink(7))), [], 'elsewhere');
    assert.deepEqual(table.add(fallback), [], 'the same again');
    assert.deepEqual(table.add(connected), [nextHop]);
    assert.deepEqual(table.remove(connected), [nextHop]);
    assert.deepEqual(table.remove(connected), [], 'gone already');
  });

  it('says of a blackhole that it holds the address and leads nowhere', () => {
    const table = new NextHopTable();
    assert.equal(table.lookUp(nextHop), undefined);
    table.add(fallback);
    table.add(route('10.0.1.0/24', { ways: [] }));
    assert.deepEqual(table.lookUp(nextHop), { length: 24, priority: 0, ways: [] });
  });

  it('loses the ways of a link that goes down and the routes of a source address that is gone', () => {
    const table = new NextHopTable();
    table.add(connected);
    table.add(fallback);
    table.lookUp(nextHop);
    assert.deepEqual(table.removeInterface(99), []);
    assert.deepEqual(table.removeInterface(2), [nextHop]);
    assert.deepEqual(table.lookUp(nextHop)?.length, 0);
    table.add(route('10.0.1.0/24', { ...onLink(5), source: address('10.0.1.9') }));
    assert.deepEqual(table.removeSource(address('10.0.1.9')), [nextHop]);
    assert.deepEqual(table.lookUp(nextHop)?.length, 0);
    table.add(route('10.0.1.0/24', { ways: [{ interfaceIndex: 6 }, { interfaceIndex: 7 }] }));
    assert.deepEqual(table.removeInterface(6), [nextHop]);
    assert.deepEqual(table.lookUp(nextHop)?.ways, [{ interfaceIndex: 7 }]);
  });

  it('knows where a route of ours would collide', () => {
    const table = new NextHopTable();
    table.add(route('10.5.0.0/26', { priority: 1024 }));
    table.add(route('10.5.0.0/26', { priority: 50 }));
    assert.equal(table.bestPriority(prefix('10.5.0.0/26')), 50);
    assert.equal(table.has(prefix('10.5.0.0/26'), 1024), true);
    assert.equal(table.has(prefix('10.5.0.0/26'), 1000), false);
    assert.equal(table.bestPriority(prefix('10.5.0.0/27')), undefined);
  });

  it('compares a whole new picture with what it answered before', () => {
    const table = new NextHopTable();
    table.add(connected);
    table.lookUp(nextHop);
    assert.deepEqual(table.replaceAll([connected, fallback]), []);
    assert.deepEqual(table.replaceAll([fallback]), [nextHop]);
  });
});

function address(text: string) {
  const parsed = parseAddress(text);
  assert(parsed !== undefined);
  return parsed;
}

function prefix(text: string) {
  const parsed = parsePrefix(text);
  assert(parsed);
  return parsed;
}

function route(text: string, changes: Partial<ForeignRoute>): ForeignRoute {
  return { prefix: prefix(text), priority: 0, ways: [{ interfaceIndex: 1 }], source: undefined, ...changes };
}
