// Two nodes of both families, on the simulated network: one session carries both when both ends can; otherwise each family has
// its own, as with Calico's BIRDs or an older node. Upgrades and downgrades of either end lose no route of either family.

import assert from 'node:assert/strict';
import type { PeerSettings, SpeakerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import type { Address } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const v4 = (i: number): number => 0x0a000000 + i;
const v6 = (i: number): bigint => (0xfd00n << 112n) + BigInt(i);

type Kind =
  /** Offers both families in the session over IPv4. */
  | 'shared'
  /** Has a session for each family, as a node did before. */
  | 'separate'
  /** As Calico: the end with the lower address waits to be called. */
  | 'calico';

const originate = (i: number) =>
  [`10.${i}.0.0/16`, `fd00:${i}::/32`].map((text) => ({
    prefix: parsePrefix(text) ?? assert.fail(text),
    blackhole: true,
    communities: [],
  }));

/** Node 1 or 2, in one AS, as in a mesh. */
function settingsOf(kind: Kind, own: number, rest: Partial<PeerSettings> = {}): SpeakerSettings {
  const other = 3 - own;
  const common = { gracefulRestart: true, holdTimeSec: 90, passive: kind === 'calico' && own === 1, ...rest };
  const shared = kind === 'shared';
  const peers = [
    peerSettings('v4', v4(other), 65001, {
      sourceAddress: v4(own),
      families: shared ? ['ipv4-unicast', 'ipv6-unicast'] : ['ipv4-unicast'],
      ...(shared ? { ownIpv6Address: v6(own) } : {}),
      ...common,
    }),
    peerSettings('v6', v6(other), 65001, {
      sourceAddress: v6(own),
      families: ['ipv6-unicast'],
      ...(shared ? { fallbackFor: 'v4' } : {}),
      ...common,
    }),
  ];
  const listen: { address: Address; port: number }[] = [v4(own), v6(own)].map((address) => ({ address, port: 179 }));
  const more = { listen, originate: originate(own), gracefulRestart: { restartTimeSec: 120 } };
  return speakerSettings(v4(own), 65001, peers, more);
}

class Pair {
  readonly world: World;
  readonly speakers: Speaker[] = [];

  constructor(seed: number, kinds: readonly [Kind, Kind], rest: Partial<PeerSettings> = {}) {
    this.world = new World(seed);
    for (const [i, kind] of kinds.entries()) this.start(i + 1, kind, rest);
  }

  start(own: number, kind: Kind, rest: Partial<PeerSettings> = {}): void {
    const speaker = speakerIn(this.world, v4(own));
    speaker.configure(settingsOf(kind, own, rest));
    this.speakers[own - 1] = speaker;
  }

  node(i: number): Speaker {
    return this.speakers[i - 1] ?? assert.fail();
  }

  /** Sessions that are up, with what they carry. */
  sessions(i: number): string[] {
    return this.node(i)
      .peers()
      .filter(({ state }) => state === 'Established')
      .map(({ name, families }) => `${name}: ${families.join(' ')}`)
      .sort();
  }

  shown(i: number): string[] {
    return this.node(i)
      .peers()
      .map(({ name }) => name)
      .sort();
  }

  routes(i: number): string[] {
    return this.node(i)
      .routes({ view: 'best' })
      .routes.filter(({ from }) => from !== undefined)
      .map(({ prefix, attributes }) => `${prefix} ${attributes.nextHop}`)
      .sort();
  }

  settle(ms = 60_000): void {
    this.world.run(this.world.now + ms);
  }

  /** Lets time pass; every state that node i was in meanwhile in which it missed a route of the other. */
  watch(i: number, ms: number): string[] {
    const missed = new Set<string>();
    for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
      this.node(i).rib.family(family).onDecided = () => {
        if (this.routes(i).length !== 2) missed.add(JSON.stringify(this.routes(i)));
      };
    }
    this.settle(ms);
    return [...missed];
  }
}

const one = ['v4: ipv4-unicast ipv6-unicast'];
const two = ['v4: ipv4-unicast', 'v6: ipv6-unicast'];
const routesOf = (i: number): string[] => [`10.${i}.0.0/16 10.0.0.${i}`, `fd00:${i}::/32 fd00::${i}`];

describe('nodes of both families', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`share one session, each family with its own next hops (seed ${seed})`, () => {
      const pair = new Pair(seed, ['shared', 'shared']);
      pair.settle(4000);
      for (const i of [1, 2]) {
        assert.deepEqual(pair.sessions(i), one);
        assert.deepEqual(pair.shown(i), ['v4'], 'nobody is told of a session that is not needed');
        assert.deepEqual(pair.routes(i), routesOf(3 - i));
      }
    });
  }

  for (const other of ['separate', 'calico'] as const) {
    for (const own of [1, 2]) {
      it(`have two sessions with one that is ${other}, whichever end that is (${own})`, () => {
        const pair = new Pair(6, own === 1 ? ['shared', other] : [other, 'shared']);
        pair.settle(8000);
        for (const i of [1, 2]) {
          assert.deepEqual(pair.sessions(i), two);
          assert.deepEqual(pair.routes(i), routesOf(3 - i));
        }
      });
    }
  }

  it('share it again and again when it is lost', () => {
    const pair = new Pair(7, ['shared', 'shared']);
    pair.settle();
    for (let i = 0; i < 5; i++) {
      pair.world.cut(v4(1), v4(2));
      pair.settle(100 + i * 3000);
      pair.world.mend(v4(1), v4(2));
      pair.settle();
      assert.deepEqual([pair.sessions(1), pair.sessions(2)], [one, one]);
      assert.deepEqual([pair.routes(1), pair.routes(2)], [routesOf(2), routesOf(1)]);
    }
  });

  it('have IPv6 by its own session while IPv4 is broken between them', () => {
    const pair = new Pair(8, ['shared', 'shared'], { gracefulRestart: false });
    pair.settle();
    pair.world.cut(v4(1), v4(2));
    pair.settle(20_000);
    assert.deepEqual(pair.sessions(1), ['v6: ipv6-unicast']);
    assert.deepEqual(pair.routes(1), ['fd00:2::/32 fd00::2']);
    pair.world.mend(v4(1), v4(2));
    assert.deepEqual(
      pair.watch(1, 60_000).filter((state) => !state.includes('fd00:2::')),
      [],
    );
    assert.deepEqual([pair.sessions(1), pair.sessions(2)], [one, one]);
  });

  const changes: readonly (readonly [string, Kind, Kind, readonly string[]])[] = [
    ['an upgrade', 'separate', 'shared', one],
    ['a migration from Calico', 'calico', 'shared', one],
    ['a downgrade', 'shared', 'separate', two],
    ['a restart', 'shared', 'shared', one],
  ];
  for (const [name, before, after, sessions] of changes) {
    for (const seed of [11, 12, 13, 14, 15, 16]) {
      it(`lose no route by ${name} of the other end (seed ${seed})`, () => {
        const pair = new Pair(seed, ['shared', before]);
        pair.settle();
        assert.deepEqual(pair.routes(1), routesOf(2));
        void pair.node(2).close({ abandon: true });
        pair.settle(pair.world.random() * 20_000);
        assert.deepEqual(pair.routes(1), routesOf(2), 'kept while the other end is away');
        pair.start(2, after);
        assert.deepEqual(pair.watch(1, 90_000), []);
        assert.deepEqual([pair.sessions(1), pair.sessions(2)], [sessions, sessions]);
        assert.deepEqual([pair.routes(1), pair.routes(2)], [routesOf(2), routesOf(1)]);
        const stale = pair.node(1).routes({ view: 'received' });
        assert.deepEqual(
          stale.routes.filter((route) => route.stale),
          [],
        );
      });
    }
  }

  for (const seed of [31, 32, 33, 34]) {
    it(`are where they should be after broken links, restarts, upgrades and downgrades of either end (seed ${seed})`, () => {
      const kinds: [Kind, Kind] = ['shared', 'shared'];
      const pair = new Pair(seed, kinds);
      const { world } = pair;
      const links = [
        [v4(1), v4(2)],
        [v6(1), v6(2)],
      ] as const;
      for (let fault = 0; fault < 60; fault++) {
        const [a, b] = links[Math.floor(world.random() * 2)] ?? assert.fail();
        const i = Math.floor(world.random() * 2);
        if (world.random() < 0.4) {
          void pair.node(i + 1).close({ abandon: true });
          pair.settle(world.random() * 10_000);
          kinds[i] = (['shared', 'separate', 'calico'] as const)[Math.floor(world.random() * 3)] ?? 'shared';
          pair.start(i + 1, kinds[i]);
        } else world.cut(a, b);
        pair.settle(world.random() * 40_000);
        world.mend(a, b);
        pair.settle(world.random() * 40_000);
      }
      pair.settle(300_000);
      const expected = kinds.every((kind) => kind === 'shared') ? one : two;
      for (const i of [1, 2]) {
        assert.deepEqual(pair.sessions(i), expected, kinds.join());
        assert.deepEqual(pair.routes(i), routesOf(3 - i));
        const stale = pair
          .node(i)
          .routes({ view: 'received' })
          .routes.filter((route) => route.stale);
        assert.deepEqual(stale, []);
      }
    });
  }

  it('lose none when both get their IPv6 addresses later', () => {
    const pair = new Pair(17, ['shared', 'shared']);
    const only4 = (own: number): SpeakerSettings => {
      const settings = settingsOf('separate', own);
      return { ...settings, peers: settings.peers.slice(0, 1) };
    };
    for (const i of [1, 2]) pair.node(i).configure(only4(i));
    pair.settle();
    assert.deepEqual(pair.sessions(1), ['v4: ipv4-unicast']);
    for (const i of [1, 2]) {
      pair.node(i).configure(settingsOf('shared', i));
      assert.deepEqual(
        pair.watch(1, 3000).filter((state) => !state.includes('10.2.0.0/16')),
        [],
      );
    }
    pair.settle();
    assert.deepEqual([pair.sessions(1), pair.sessions(2)], [one, one]);
    assert.deepEqual([pair.routes(1), pair.routes(2)], [routesOf(2), routesOf(1)]);
  });
});
