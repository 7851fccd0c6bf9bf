// Speakers on a simulated network: routes spread, changes of settings touch only what they concern, restarts keep routes,
// faults leave everybody agreeing at the end.

import assert from 'node:assert/strict';
import type { BfdStateChange } from '../../bgp/bfd/engine.ts';
import type { FailureDetector } from '../../bgp/edges.ts';
import type { OriginatedRoute, PeerSettings, SpeakerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import { formatAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const address = (i: number): number => 0x0a000000 + i;

function originated(text: string): OriginatedRoute {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(text);
  return { prefix, blackhole: true, communities: [] };
}

const bestRoutes = (speaker: Speaker): string[] =>
  speaker
    .routes({ view: 'best' })
    .routes.map(({ prefix, attributes }) => `${prefix} [${attributes.asPath}]`)
    .sort();

const isUp = (speaker: Speaker): boolean => speaker.peers().every(({ state }) => state === 'Established');

/** Speakers 1..n, each in its own AS with one route of each family, connected as told. */
function ring(world: World, count: number, rest: Partial<PeerSettings> = {}, more: Partial<SpeakerSettings> = {}) {
  const settings = Array.from({ length: count }, (_, i) => {
    const neighbors = [(i + 1) % count, (i + count - 1) % count].filter((j, at, all) => all.indexOf(j) === at);
    const peers = neighbors.map((j) => peerSettings(`n${j}`, address(j + 1), 65001 + j, rest));
    const originate = [originated(`10.${i + 1}.0.0/16`), originated(`fd00:${i + 1}::/32`)];
    return speakerSettings(address(i + 1), 65001 + i, peers, { originate, ...more });
  });
  const speakers = settings.map((one, i) => {
    const speaker = speakerIn(world, address(i + 1));
    speaker.configure(one);
    return speaker;
  });
  return { speakers, settings };
}

/** Waits until the race of two connections is over as well; returns how often the session has come up so far. */
function settle(world: World, speaker: Speaker): number | undefined {
  assert.ok(world.run(60_000, () => bestRoutes(speaker).length === 4));
  world.run(world.now + 5000);
  return speaker.peers()[0]?.timesEstablished;
}

describe('speakers', () => {
  it('come up, both opening at once, and tell each other their routes in both families', () => {
    const world = new World(1);
    const { speakers } = ring(world, 2);
    assert.ok(world.run(60_000, () => speakers.every((one) => isUp(one) && bestRoutes(one).length === 4)));
    assert.deepEqual(speakers[0] && bestRoutes(speakers[0]), [
      '10.1.0.0/16 []',
      '10.2.0.0/16 [65002]',
      'fd00:1::/32 []',
      'fd00:2::/32 [65002]',
    ]);
  });

  it('follow originated routes as they come and go, without another session', () => {
    const world = new World(2);
    const { speakers, settings } = ring(world, 2);
    const [one, two] = speakers;
    const [first] = settings;
    assert.ok(one && two && first);
    const before = settle(world, two);
    one.configure({ ...first, originate: [originated('10.9.0.0/16')] });
    assert.ok(world.run(world.now + 1000, () => bestRoutes(two).length === 3));
    assert.ok(bestRoutes(two).includes('10.9.0.0/16 [65001]'));
    assert.equal(two.peers()[0]?.timesEstablished, before);
  });

  it('change filters without another session', () => {
    const world = new World(3);
    const { speakers, settings } = ring(world, 2);
    const [one, two] = speakers;
    const [first, second] = settings;
    assert.ok(one && two && first && second);
    const before = settle(world, two);
    const none = { rules: [], otherwise: 'reject' as const };
    const withFilter = (settings: SpeakerSettings, rest: Partial<PeerSettings>): SpeakerSettings => ({
      ...settings,
      peers: settings.peers.map((peer) => ({ ...peer, ...rest })),
    });
    one.configure(withFilter(first, { exportFilter: none }));
    assert.ok(world.run(world.now + 1000, () => bestRoutes(two).length === 2));
    one.configure(first);
    assert.ok(world.run(world.now + 1000, () => bestRoutes(two).length === 4));
    two.configure(withFilter(second, { importFilter: none }));
    assert.ok(world.run(world.now + 1000, () => bestRoutes(two).length === 2));
    assert.equal(two.peers()[0]?.routesIn, 2);
    assert.equal(two.peers()[0]?.routesAccepted, 0);
    two.configure(second);
    assert.ok(world.run(world.now + 1000, () => bestRoutes(two).length === 4));
    assert.equal(two.peers()[0]?.timesEstablished, before);
  });

  it('withdraw the routes of a peer that is gone, and find them again', () => {
    const world = new World(4);
    const { speakers } = ring(world, 3);
    const [one] = speakers;
    assert.ok(one && world.run(60_000, () => speakers.every((each) => bestRoutes(each).length === 6)));
    world.cut(address(1), address(2));
    assert.ok(world.run(world.now + 1000, () => bestRoutes(one).includes('10.2.0.0/16 [65003 65002]')));
    world.cut(address(1), address(3));
    assert.ok(world.run(world.now + 1000, () => bestRoutes(one).length === 2));
    world.mend(address(1), address(2));
    assert.ok(world.run(world.now + 60_000, () => bestRoutes(one).includes('10.2.0.0/16 [65002]')));
  });

  it('keep the routes of a speaker that restarts, and drop what it does not say again', () => {
    const world = new World(5);
    const { speakers, settings } = ring(
      world,
      2,
      { gracefulRestart: true },
      { gracefulRestart: { restartTimeSec: 60 } },
    );
    const [one, two] = speakers;
    const [first] = settings;
    assert.ok(one && two && first);
    assert.ok(world.run(60_000, () => speakers.every((each) => isUp(each) && bestRoutes(each).length === 4)));
    world.run(world.now + 10_000);
    void one.close({ abandon: true });
    world.run(world.now + 3000);
    assert.equal(bestRoutes(two).length, 4);
    assert.ok(two.routes({ view: 'received' }).routes.some(({ stale }) => stale));
    const again = speakerIn(world, address(1));
    again.configure({ ...first, originate: [originated('10.1.0.0/16')] });
    assert.ok(world.run(world.now + 30_000, () => isUp(again) && isUp(two) && bestRoutes(two).length === 3));
    assert.ok(bestRoutes(two).includes('10.1.0.0/16 [65001]'));
    assert.equal(two.routes({ view: 'received' }).routes.filter(({ stale }) => stale).length, 0);
  });

  it('drop them when the restart takes too long', () => {
    const world = new World(6);
    const { speakers } = ring(world, 2, { gracefulRestart: true }, { gracefulRestart: { restartTimeSec: 20 } });
    const [one, two] = speakers;
    assert.ok(one && two);
    assert.ok(world.run(60_000, () => speakers.every((each) => isUp(each) && bestRoutes(each).length === 4)));
    void one.close({ abandon: true });
    world.run(world.now + 15_000);
    assert.equal(bestRoutes(two).length, 4);
    world.run(world.now + 10_000);
    assert.equal(bestRoutes(two).length, 2);
  });

  it('close a session that brings more prefixes than allowed, and say so', () => {
    const world = new World(7);
    const { speakers, settings } = ring(world, 2);
    const [one, two] = speakers;
    const [first, second] = settings;
    assert.ok(one && two && first && second);
    const limited = second.peers.map((peer) => ({ ...peer, maxPrefixes: { limit: 5, warnAtPercent: 50 } }));
    two.configure({ ...second, peers: limited });
    assert.ok(world.run(60_000, () => bestRoutes(two).length === 4));
    one.configure({ ...first, originate: Array.from({ length: 9 }, (_, i) => originated(`10.1.${i}.0/24`)) });
    assert.ok(world.run(world.now + 5000, () => two.peers()[0]?.state === 'Idle'));
    world.run(world.now + 100);
    assert.equal(bestRoutes(two).length, 2);
    assert.match(one.peers()[0]?.lastError?.text ?? '', /maximum prefixes/);
  });

  it('begin again with a peer that had gone over its limit when that is raised, or by themselves after a while', () => {
    const world = new World(71);
    const { speakers, settings } = ring(world, 2);
    const [one, two] = speakers;
    const [first, second] = settings;
    assert.ok(one && two && first && second);
    const limited = (maxPrefixes: PeerSettings['maxPrefixes']): SpeakerSettings => ({
      ...second,
      peers: second.peers.map((peer) => ({ ...peer, ...(maxPrefixes ? { maxPrefixes } : {}) })),
    });
    const up = (): boolean => isUp(two) && bestRoutes(two).length === 2 + 9;
    one.configure({ ...first, originate: Array.from({ length: 9 }, (_, i) => originated(`10.1.${i}.0/24`)) });
    two.configure(limited({ limit: 5, warnAtPercent: 50 }));
    assert.ok(world.run(60_000, () => two.peers()[0]?.state === 'Idle'));
    world.run(world.now + 600_000);
    assert.equal(two.peers()[0]?.state, 'Idle', 'for good');
    two.configure(limited({ limit: 9, warnAtPercent: 50 }));
    assert.ok(world.run(world.now + 60_000, up));
    two.configure(limited({ limit: 5, warnAtPercent: 50, restartAfterSec: 300 }));
    one.configure({ ...first, originate: Array.from({ length: 10 }, (_, i) => originated(`10.1.${i}.0/24`)) });
    assert.ok(world.run(world.now + 5000, () => two.peers()[0]?.state === 'Idle'));
    one.configure({ ...first, originate: Array.from({ length: 3 }, (_, i) => originated(`10.1.${i}.0/24`)) });
    world.run(world.now + 290_000);
    assert.equal(two.peers()[0]?.state, 'Idle');
    assert.ok(world.run(world.now + 60_000, () => isUp(two) && bestRoutes(two).length === 2 + 3));
  });

  it('explain every path of a prefix, and to whom it goes', () => {
    const world = new World(8);
    const { speakers } = ring(world, 3);
    const [one] = speakers;
    assert.ok(one && world.run(60_000, () => speakers.every((each) => bestRoutes(each).length === 6)));
    const why = one.why(originated('10.2.0.0/16').prefix);
    assert.deepEqual(
      why.paths.map(({ from, verdict, best }) => ({ from, verdict, best })),
      [
        { from: 'n1 (10.0.0.2)', verdict: 'best', best: true },
        { from: 'n2 (10.0.0.3)', verdict: 'longer AS_PATH', best: false },
      ],
    );
    assert.deepEqual(
      why.advertised.map(({ to, sent, verdict }) => ({ to, sent, verdict })),
      [
        { to: 'n1', sent: false, verdict: 'the best path came from this peer' },
        { to: 'n2', sent: true, verdict: 'sent' },
      ],
    );
  });

  it('accept peers from a listen range', () => {
    const world = new World(9);
    const hub = speakerIn(world, address(1));
    const { address: _a, asn: _n, passive: _p, ...template } = peerSettings('range', 0, 0);
    const range = parsePrefix('10.0.0.0/24');
    assert.ok(range);
    hub.configure(speakerSettings(address(1), 65001, [], { dynamicPeers: [{ ...template, range }] }));
    const leaves = [2, 3].map((i) => {
      const leaf = speakerIn(world, address(i));
      const peers = [peerSettings('hub', address(1), 65001)];
      leaf.configure(speakerSettings(address(i), 65000 + i, peers, { originate: [originated(`10.${i}.0.0/16`)] }));
      return leaf;
    });
    assert.ok(world.run(60_000, () => leaves.every((leaf) => bestRoutes(leaf).length === 2)));
    assert.deepEqual(
      hub
        .peers()
        .map(({ name }) => name)
        .sort(),
      ['range:10.0.0.2', 'range:10.0.0.3'],
    );
  });

  for (const seed of [11, 12, 13]) {
    it(`agree after hours of broken connections (seed ${seed})`, () => {
      const world = new World(seed);
      const { speakers } = ring(
        world,
        5,
        { gracefulRestart: seed % 2 === 0 },
        { gracefulRestart: { restartTimeSec: 30 } },
      );
      for (let fault = 0; fault < 150; fault++) {
        const a = address(1 + Math.floor(world.random() * 5));
        const b = address(1 + ((a - address(1) + 1) % 5));
        world.cut(a, b);
        world.run(world.now + world.random() * 40_000);
        if (world.random() < 0.8) world.mend(a, b);
      }
      for (let i = 1; i <= 5; i++) world.mend(address(i), address((i % 5) + 1));
      const whole = (): boolean => speakers.every((one) => isUp(one) && bestRoutes(one).length === 10);
      assert.ok(world.run(world.now + 300_000, whole), describeState(speakers));
      const shortest = (): boolean =>
        speakers.every((one) => bestRoutes(one).every((route) => route.split(' ').length <= 3));
      assert.ok(world.run(world.now + 60_000, shortest), describeState(speakers));
    }).timeout(60_000);
  }
});

const describeState = (speakers: readonly Speaker[]): string =>
  speakers
    .map((one, i) => {
      const peers = one.peers().map(({ name, state, detail }) => `${name} ${state} ${detail}`);
      return `${formatAddress(address(i + 1))}: ${peers.join('; ')}\n  ${bestRoutes(one).join('\n  ')}`;
    })
    .join('\n');

describe('BFD and graceful restart', () => {
  const settingsOf = (own: number, other: number, originate: SpeakerSettings['originate']) =>
    speakerSettings(
      address(own),
      own,
      [peerSettings(`to ${other}`, address(other), other, { gracefulRestart: true })],
      {
        originate,
        gracefulRestart: { restartTimeSec: 60 },
      },
    );

  /** Routes of a peer that restarts, after its BFD fell silent. */
  function routesLeft(change: Partial<BfdStateChange>): number {
    const world = new World(23);
    const detector: FailureDetector = { onState: () => {}, configure: () => {} };
    const helper = speakerIn(world, address(1), detector);
    const restarting = speakerIn(world, address(2));
    helper.configure(settingsOf(1, 2, []));
    restarting.configure(settingsOf(2, 1, [originated('10.9.0.0/24')]));
    assert.ok(world.run(60_000, () => bestRoutes(helper).length === 1));
    world.run(world.now + 1000);
    const up = { key: 'to 2', state: 'Up', byAdministrator: false, remoteIndependent: true, reason: '' } as const;
    detector.onState(up);
    void restarting.close({ abandon: true });
    world.run(world.now + 1000);
    assert.equal(bestRoutes(helper).length, 1, 'kept for its restart');
    detector.onState({ ...up, state: 'Down', ...change });
    world.run(world.now + 1000);
    return bestRoutes(helper).length;
  }

  it('end together when the peer’s BFD does not depend on its routing process, RFC 5882 §4.3.2', () => {
    assert.equal(routesLeft({}), 0);
  });

  it('do not when it does, or when it was stopped on purpose', () => {
    assert.equal(routesLeft({ remoteIndependent: false }), 1);
    assert.equal(routesLeft({ byAdministrator: true }), 1);
  });
});

describe('long-lived graceful restart', () => {
  it('keeps routes of a peer that stays away, least preferred and marked, and drops them in the end', () => {
    const world = new World(21);
    const rest = { gracefulRestart: true, longLivedStaleSec: 600 };
    const { speakers } = ring(world, 2, rest, { gracefulRestart: { restartTimeSec: 20 } });
    const [one, two] = speakers;
    assert.ok(one && two);
    assert.ok(world.run(60_000, () => speakers.every((each) => isUp(each) && bestRoutes(each).length === 4)));
    world.run(world.now + 5000);
    void one.close({ abandon: true });
    world.run(world.now + 30_000);
    const stale = two.routes({ view: 'received' }).routes.filter(({ from }) => from !== undefined);
    assert.deepEqual(
      stale.map(({ attributes, stale }) => [attributes.communities, stale]),
      [
        [['65535:6'], true],
        [['65535:6'], true],
      ],
    );
    world.run(world.now + 600_000);
    assert.equal(bestRoutes(two).length, 2);
  });
});

describe('a peer that takes nothing', () => {
  it('is given up after the send hold time, RFC 9687', () => {
    const world = new World(22);
    const { speakers } = ring(world, 2, { holdTimeSec: 90 });
    const [one, two] = speakers;
    assert.ok(one && two && world.run(60_000, () => speakers.every(isUp)));
    world.run(world.now + 5000);
    for (const link of world.links) link.jam(address(1));
    assert.ok(world.run(world.now + 600_000, () => /took nothing/.test(one.peers()[0]?.lastError?.text ?? '')));
  });
});

describe('a week', () => {
  it('of faults ends with everybody agreeing', () => {
    const world = new World(31);
    const { speakers, settings } = ring(
      world,
      4,
      { holdTimeSec: 90, gracefulRestart: true },
      { gracefulRestart: { restartTimeSec: 60 } },
    );
    const end = 7 * 24 * 3600 * 1000;
    while (world.now < end) {
      const i = Math.floor(world.random() * 4);
      const [a, b] = [address(i + 1), address(((i + 1) % 4) + 1)];
      if (world.random() < 0.1) restart(world, speakers, settings, i);
      else world.cut(a, b);
      world.run(world.now + world.random() * 240_000);
      world.mend(a, b);
      world.run(world.now + world.random() * 1_200_000);
    }
    const whole = (): boolean => speakers.every((one) => isUp(one) && bestRoutes(one).length === 8);
    assert.ok(world.run(world.now + 600_000, whole), describeState(speakers));
    const stale = speakers.flatMap((one) => one.routes({ view: 'received' }).routes.filter((route) => route.stale));
    assert.deepEqual(stale, []);
  }).timeout(60_000);
});

/** As kill -9 does: without a word, and back a moment later. */
function restart(world: World, speakers: Speaker[], settings: readonly SpeakerSettings[], i: number): void {
  const config = settings[i];
  if (!config) return;
  void speakers[i]?.close({ abandon: true });
  world.run(world.now + world.random() * 20_000);
  const again = speakerIn(world, address(i + 1));
  again.configure(config);
  speakers[i] = again;
}
