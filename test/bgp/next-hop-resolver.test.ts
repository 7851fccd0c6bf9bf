// Shows how next hops are resolved through routes of others and of ours: recursion, its limit, loops of every kind, and
// that a change asks again for what depends on it, and for nothing else.

import assert from 'node:assert/strict';
import type { ForeignMatch } from '../../bgp/edges.ts';
import { NextHopTable } from '../../bgp/next-hops.ts';
import {
  holdMs,
  maxDepth,
  NextHopResolver,
  type OwnRoute,
  type Resolution,
} from '../../bgp/speaker/next-hop-resolver.ts';
import { type Address, formatAddress } from '../../net/address.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { address, prefix } from './rib/harness.ts';

/** Routes of ours as text, over a connected network 10.0.0.0/24 on interface 1. */
class World {
  readonly foreign = new NextHopTable();
  readonly own = new Map<string, OwnRoute>();
  readonly lookUps: string[] = [];
  readonly resolver = new NextHopResolver({
    foreign: (asked): ForeignMatch | undefined => {
      this.lookUps.push(formatAddress(asked));
      return this.foreign.lookUp(asked);
    },
    own: (at, foreignPriority) =>
      foreignPriority !== undefined && foreignPriority <= 1024 ? undefined : this.own.get(formatPrefix(at)),
  });
  now = 0;

  constructor() {
    this.connect('10.0.0.0/24', 1);
  }

  connect(text: string, interfaceIndex: number): Address[] {
    const ways = [{ interfaceIndex }];
    return this.resolver.foreignChanged(
      this.foreign.add({ prefix: prefix(text), priority: 0, ways, source: undefined }),
    );
  }

  /** `more`: next hops of paths that are not in use. */
  set(text: string, nextHops: readonly string[], more: readonly string[] = []): Address[] {
    const used = nextHops.map(address);
    this.own.set(text, { kind: 'via', nextHops: used, all: [...used, ...more.map(address)] });
    return this.changed(text);
  }

  remove(text: string): Address[] {
    this.own.delete(text);
    return this.changed(text);
  }

  changed(text: string): Address[] {
    return this.resolver.ownChanged([prefix(text)], this.now);
  }

  resolve(text: string): string {
    return textOf(this.resolver.resolve(address(text)));
  }
}

function textOf(resolution: Resolution): string {
  if (resolution.kind === 'unreachable') return resolution.reason;
  const hops = resolution.hops.map(
    ({ gateway, interfaceIndex }) => `${gateway === undefined ? 'link' : formatAddress(gateway)}%${interfaceIndex}`,
  );
  return hops.join(' + ');
}

describe('next-hop resolver', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it('takes the way of the longest foreign route', () => {
    assert.equal(world.resolve('10.0.0.9'), 'link%1');
    assert.equal(world.resolve('192.0.2.1'), 'no route leads to it');
  });

  it('goes through routes of ours to what the kernel knows, step by step', () => {
    world.set('192.0.2.0/24', ['10.0.0.2']);
    world.set('198.51.100.0/24', ['192.0.2.9']);
    assert.equal(world.resolve('192.0.2.9'), '10.0.0.2%1');
    assert.equal(world.resolve('198.51.100.1'), '10.0.0.2%1');
    assert.deepEqual(world.resolver.resolve(address('198.51.100.1')), {
      kind: 'reached',
      hops: [{ gateway: address('10.0.0.2'), interfaceIndex: 1 }],
      through: [prefix('198.51.100.0/24'), prefix('192.0.2.0/24')],
    });
  });

  it('keeps all ways of a route with several next hops', () => {
    world.connect('10.0.1.0/24', 2);
    world.set('192.0.2.0/24', ['10.0.0.2', '10.0.1.2', '172.16.0.1']);
    assert.equal(world.resolve('192.0.2.9'), '10.0.0.2%1 + 10.0.1.2%2');
  });

  it('prefers the longer of a foreign route and one of ours, and of two as long the better metric', () => {
    world.foreign.add({
      prefix: prefix('192.0.2.0/24'),
      priority: 2000,
      ways: [{ interfaceIndex: 7 }],
      source: undefined,
    });
    world.set('192.0.2.0/24', ['10.0.0.2']);
    assert.equal(world.resolve('192.0.2.9'), '10.0.0.2%1', 'ours has metric 1024');
    world.connect('192.0.2.0/25', 8);
    assert.equal(world.resolve('192.0.2.9'), 'link%8');
    world.set('192.0.2.8/30', ['10.0.0.3']);
    assert.equal(world.resolve('192.0.2.9'), '10.0.0.3%1');
  });

  it('does not reach what a foreign blackhole or a block of this node holds', () => {
    world.foreign.add({ prefix: prefix('192.0.2.0/24'), priority: 0, ways: [], source: undefined });
    assert.equal(world.resolve('192.0.2.1'), 'a route of somebody else says that it can not be reached');
    world.own.set('10.244.0.0/26', { kind: 'blackhole' });
    assert.equal(world.resolve('10.244.0.5'), '10.244.0.0/26, a block of this node, holds it');
  });

  it('does not resolve a next hop through a route that has it as next hop itself', () => {
    // A default route whose next hop lost its network.
    world.set('0.0.0.0/0', ['172.16.0.1']);
    assert.equal(world.resolve('172.16.0.1'), 'the route to it, 0.0.0.0/0, leads back to 172.16.0.1');
    // Not even when another path is in use: taking the first instead would take its own ground away.
    world.set('0.0.0.0/0', ['10.0.0.2'], ['172.16.0.1']);
    assert.equal(world.resolve('172.16.0.1'), 'the route to it, 0.0.0.0/0, leads back to 172.16.0.1');
    assert.equal(world.resolve('172.16.0.2'), '10.0.0.2%1');
  });

  it('takes the next shorter route instead of one that leads to itself', () => {
    // A peer that announces a part of the network that it is in, with itself as next hop.
    world.set('10.0.0.0/25', ['10.0.0.2']);
    assert.equal(world.resolve('10.0.0.2'), 'link%1');
  });

  it('finds routes that lead to each other', () => {
    world.set('192.0.2.0/24', ['198.51.100.1']);
    world.set('198.51.100.0/24', ['192.0.2.1']);
    assert.match(world.resolve('192.0.2.1'), /198\.51\.100\.0\/24, leads back to 192\.0\.2\.1/);
    assert.match(world.resolve('198.51.100.1'), /192\.0\.2\.0\/24, leads back to 198\.51\.100\.1/);
    world.set('198.51.100.0/24', ['10.0.0.2']);
    assert.equal(world.resolve('192.0.2.1'), '10.0.0.2%1');
  });

  it('goes no further than a number of steps', () => {
    for (let i = 1; i <= maxDepth + 1; i++) world.set(`172.16.${i}.0/24`, [`172.16.${i + 1}.1`]);
    world.connect(`172.16.${maxDepth + 2}.0/24`, 3);
    assert.match(world.resolve('172.16.1.1'), /8 routes in a row/);
    assert.equal(world.resolve('172.16.3.1'), `172.16.${maxDepth + 2}.1%3`);
  });

  it('does not try all combinations of many paths', () => {
    const nextHops = (level: number) => Array.from({ length: 16 }, (_, i) => `172.${16 + level}.0.${i + 1}`);
    for (let level = 0; level < 6; level++) world.set(`172.${16 + level}.0.0/24`, nextHops(level + 1));
    world.lookUps.length = 0;
    world.resolve('172.16.0.1');
    assert(world.lookUps.length <= 64, `${world.lookUps.length} lookups`);
  });

  it('tells who is reached differently when a route of ours changes, at any depth', () => {
    world.set('192.0.2.0/24', ['10.0.0.2']);
    world.set('198.51.100.0/24', ['192.0.2.9']);
    for (const text of ['198.51.100.1', '192.0.2.9', '10.0.0.5', '203.0.113.1']) world.resolve(text);
    assert.deepEqual(world.set('192.0.2.0/24', ['10.0.0.3']).map(formatAddress).sort(), ['192.0.2.9', '198.51.100.1']);
    assert.equal(world.resolve('198.51.100.1'), '10.0.0.3%1');
    assert.deepEqual(world.remove('192.0.2.0/24').length, 2);
    assert.match(world.resolve('198.51.100.1'), /needs 192\.0\.2\.9: no route leads to it/);
    world.lookUps.length = 0;
    for (const [text, watched] of [
      ['172.31.0.0/16', false],
      ['192.0.3.0/24', false],
      ['192.0.2.0/24', true],
      ['192.0.0.0/8', true],
      ['128.0.0.0/1', true],
    ] as const) {
      assert.equal(world.resolver.watches(prefix(text)), watched, text);
    }
    assert.deepEqual(world.set('172.31.0.0/16', ['10.0.0.9']), []);
    assert.deepEqual(world.lookUps, [], 'a route that holds none of them costs nothing');
    assert.deepEqual(world.set('203.0.0.0/16', ['10.0.0.9']).map(formatAddress), ['203.0.113.1']);
  });

  it('tells who is reached differently when a foreign route changes', () => {
    world.set('192.0.2.0/24', ['172.16.0.1']);
    assert.match(world.resolve('192.0.2.9'), /needs 172\.16\.0\.1/);
    assert.deepEqual(world.connect('172.16.0.0/24', 5).map(formatAddress), ['192.0.2.9']);
    assert.equal(world.resolve('192.0.2.9'), '172.16.0.1%5');
  });

  it('stops to follow routes that take away what they stand on, and tries again later', () => {
    world.resolve('192.0.2.9');
    let changes = 0;
    for (let i = 0; i < 50; i++) {
      changes += world.set('192.0.2.0/24', ['10.0.0.2']).length + world.remove('192.0.2.0/24').length;
    }
    assert.equal(changes, 10);
    assert.match(world.resolve('192.0.2.9'), /keeps coming and going/);
    world.set('192.0.2.0/24', ['10.0.0.2']);
    assert.equal(world.resolver.deadline, holdMs);
    assert.deepEqual(world.resolver.release(holdMs - 1), []);
    assert.deepEqual(world.resolver.release(holdMs).map(formatAddress), ['192.0.2.9']);
    assert.equal(world.resolve('192.0.2.9'), '10.0.0.2%1');
    assert.equal(world.resolver.deadline, undefined);
  });

  it('takes slow changes of the same kind for what they are', () => {
    world.resolve('192.0.2.9');
    for (let i = 0; i < 50; i++) {
      assert.equal(world.set('192.0.2.0/24', ['10.0.0.2']).length, 1);
      assert.equal(world.remove('192.0.2.0/24').length, 1);
      world.now += 3000;
    }
  });

  it('resolves IPv6 the same way', () => {
    world.connect('fd00::/64', 4);
    world.set('2001:db8::/32', ['fd00::2']);
    assert.equal(world.resolve('2001:db8::1'), 'fd00::2%4');
  });
});
