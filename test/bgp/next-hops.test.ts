// Shows how next hops are resolved by foreign routes, and that only changes that matter are told.

import assert from 'node:assert/strict';
import { type ForeignRoute, NextHopTable } from '../../bgp/next-hops.ts';
import { parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';

describe('next hops', () => {
  const nextHop = address('10.0.1.5');
  const connected = route('10.0.1.0/24', { interfaceIndex: 2 });
  const fallback = route('0.0.0.0/0', { interfaceIndex: 3, gateway: address('192.0.2.1') });

  it('takes the longest prefix, and the lowest metric within it', () => {
    const table = new NextHopTable();
    table.add(fallback);
    assert.deepEqual(table.resolve(nextHop), { interfaceIndex: 3, gateway: address('192.0.2.1') });
    table.add(connected);
    assert.deepEqual(table.resolve(nextHop), { interfaceIndex: 2 });
    table.add(route('10.0.1.0/24', { interfaceIndex: 4, priority: 50 }));
    assert.deepEqual(table.resolve(nextHop), { interfaceIndex: 2 });
    table.remove(connected);
    assert.deepEqual(table.resolve(nextHop), { interfaceIndex: 4 });
  });

  it('tells changes of answers that were asked for, and no others', () => {
    const table = new NextHopTable();
    assert.equal(table.add(fallback), false, 'nothing asked yet');
    table.resolve(nextHop);
    assert.equal(table.add(route('10.9.0.0/16', { interfaceIndex: 7 })), false, 'elsewhere');
    assert.equal(
      table.add(route('10.0.1.0/24', { interfaceIndex: 3, gateway: address('192.0.2.1') })),
      false,
      'same way',
    );
    assert.equal(table.add(connected), true);
    assert.equal(table.remove(connected), true);
    assert.equal(table.remove(connected), false, 'gone already');
  });

  it('is unreachable by a blackhole, and without a route', () => {
    const table = new NextHopTable();
    assert.equal(table.resolve(nextHop), undefined);
    table.add(fallback);
    table.add(route('10.0.1.0/24', { forwards: false, interfaceIndex: undefined }));
    assert.equal(table.resolve(nextHop), undefined);
  });

  it('loses the routes of a link that goes down and of a source address that is gone', () => {
    const table = new NextHopTable();
    table.add(connected);
    table.add(fallback);
    table.resolve(nextHop);
    assert.equal(table.removeInterface(99), false);
    assert.equal(table.removeInterface(2), true);
    assert.deepEqual(table.resolve(nextHop)?.interfaceIndex, 3);
    table.add(route('10.0.1.0/24', { interfaceIndex: 5, source: address('10.0.1.9') }));
    assert.equal(table.removeSource(address('10.0.1.9')), true);
    assert.deepEqual(table.resolve(nextHop)?.interfaceIndex, 3);
  });

  it('knows where a route of ours would collide', () => {
    const table = new NextHopTable();
    table.add(route('10.5.0.0/26', { priority: 1024 }));
    table.add(route('10.5.0.0/26', { priority: 50 }));
    assert.equal(table.bestPriority(prefix('10.5.0.0/26')), 50);
    assert.equal(table.bestPriority(prefix('10.5.0.0/27')), undefined);
  });

  it('compares a whole new picture with what it answered before', () => {
    const table = new NextHopTable();
    table.add(connected);
    table.resolve(nextHop);
    assert.equal(table.replaceAll([connected, fallback]), false);
    assert.equal(table.replaceAll([fallback]), true);
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
  return {
    prefix: prefix(text),
    priority: 0,
    forwards: true,
    interfaceIndex: 1,
    gateway: undefined,
    source: undefined,
    ...changes,
  };
}
