// Which changes of a peer's settings end its session and which do not, and that those that do not have their effect all the
// same: on routes that are there already, in both directions.

import assert from 'node:assert/strict';
import type { PeerSettings, SpeakerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import type { Capability } from '../../bgp/wire/message.ts';
import { attributes, prefix, update } from './rib/harness.ts';
import { ScriptedPeer } from './scripted-peer.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const OWN_AS = 65001;
const address = (i: number): number => 0x0a000000 + i;
const sequence = (...asns: number[]) => [{ kind: 'sequence' as const, asns }];

/** A speaker with peers of our AS or of others, at 10.0.0.2, 10.0.0.3 …, which have said what they have. */
class Scene {
  readonly world = new World(7);
  readonly speaker: Speaker;
  readonly peers: readonly ScriptedPeer[];
  #settings: SpeakerSettings;

  constructor(...asns: readonly number[]) {
    this.peers = asns.map((asn, i) => {
      const capabilities: Capability[] = [
        { kind: 'multiprotocol', afi: 1, safi: 1 },
        { kind: 'four-octet-as', asn },
      ];
      return new ScriptedPeer(this.world, { address: address(i + 2), asn, capabilities });
    });
    this.speaker = speakerIn(this.world, address(1));
    const peers = asns.map((asn, i) => peerSettings(`p${i + 1}`, address(i + 2), asn));
    this.#settings = speakerSettings(address(1), OWN_AS, peers);
    this.speaker.configure(this.#settings);
    this.settle();
  }

  settle(): void {
    assert.ok(
      this.world.run(this.world.now + 60_000, () => this.speaker.peers().every(({ state }) => state === 'Established')),
    );
    this.world.run(this.world.now + 200);
  }

  announce(from: number, text: string, rest: PathAttributes): void {
    const values = attributes({ nextHop: address(from + 1), ...rest });
    this.peers[from - 1]?.send(update({ attributes: values, nlri: [{ prefix: prefix(text) }] }));
    this.world.run(this.world.now + 200);
  }

  /** Changes the settings of one peer, and lets time pass. */
  change(peer: number, rest: Partial<PeerSettings>): void {
    const peers = this.#settings.peers.map((one, i) => (i === peer - 1 ? { ...one, ...rest } : one));
    this.#settings = { ...this.#settings, peers };
    this.speaker.configure(this.#settings);
    this.world.run(this.world.now + 200);
  }

  connections(peer: number): number {
    return this.peers[peer - 1]?.connections ?? 0;
  }

  best(): string[] {
    return this.speaker.routes({ view: 'best' }).routes.map((route) => route.prefix);
  }

  /** What a peer holds after all that it heard. */
  held(peer: number): Map<string, PathAttributes> {
    const table = new Map<string, PathAttributes>();
    for (const message of this.peers[peer - 1]?.received ?? []) {
      if (message.kind !== 'update') continue;
      for (const { prefix } of message.withdrawn) table.delete(`${prefix.address}/${prefix.length}`);
      for (const { prefix } of message.nlri) table.set(`${prefix.address}/${prefix.length}`, message.attributes);
    }
    return table;
  }
}

describe('changes of a peer’s settings', () => {
  const changes: readonly (readonly [string, Partial<PeerSettings>, 'stays' | 'ends'])[] = [
    ['import filter', { importFilter: { rules: [], otherwise: 'reject' } }, 'stays'],
    ['export filter', { exportFilter: { rules: [], otherwise: 'reject' } }, 'stays'],
    ['password', { password: 'new' }, 'stays'],
    ['next hop', { nextHop: 'self' }, 'stays'],
    ['own IPv6 address', { ownIpv6Address: 1n }, 'stays'],
    ['max-prefix', { maxPrefixes: { limit: 10, warnAtPercent: 75 } }, 'stays'],
    ['connect retry', { connectRetrySec: 30 }, 'stays'],
    ['delay of OPEN', { delayOpenSec: 5 }, 'stays'],
    ['interval between advertisements', { advertisementIntervalSec: 5 }, 'stays'],
    ['keepalive time', { keepaliveTimeSec: 1 }, 'stays'],
    ['passive', { passive: true }, 'stays'],
    ['BFD', { bfd: { minTxMs: 50, minRxMs: 50, multiplier: 3, multihop: false } }, 'stays'],
    ['allowed own AS', { allowedOwnAsns: 1 }, 'stays'],
    ['route-reflector client', { routeReflectorClient: true }, 'stays'],
    ['how long stale routes are kept at most', { maxRestartTimeSec: 5 }, 'stays'],
    ['hold time', { holdTimeSec: 30 }, 'ends'],
    ['families', { families: ['ipv4-unicast'] }, 'ends'],
    ['graceful restart', { gracefulRestart: true }, 'ends'],
    ['add-path', { addPathReceive: true }, 'ends'],
    ['TTL security', { ttlSecurityHops: 1 }, 'ends'],
    ['source address', { sourceAddress: address(1) }, 'ends'],
    ['port', { port: 1179 }, 'ends'],
  ];
  for (const [name, change, outcome] of changes) {
    it(`${name}: the session ${outcome}`, () => {
      const scene = new Scene(65002, 65003);
      const [before, others] = [scene.connections(1), scene.connections(2)];
      scene.change(1, change);
      scene.settle();
      assert.equal(scene.connections(1) - before, outcome === 'stays' ? 0 : 1);
      assert.equal(scene.connections(2), others);
    });
  }

  it('an interval between advertisements holds changes back, and lets them go without anything else happening', () => {
    const scene = new Scene(65002, 65003);
    scene.change(2, { advertisementIntervalSec: 30 });
    scene.announce(1, '10.1.0.0/16', {});
    assert.equal(scene.held(2).size, 1, 'the first goes at once');
    scene.announce(1, '10.2.0.0/16', {});
    scene.world.run(scene.world.now + 20_000);
    assert.equal(scene.held(2).size, 1);
    scene.world.run(scene.world.now + 10_000);
    assert.equal(scene.held(2).size, 2);
    scene.change(2, { advertisementIntervalSec: 600 });
    scene.announce(1, '10.3.0.0/16', {});
    scene.announce(1, '10.4.0.0/16', {});
    scene.change(2, { advertisementIntervalSec: 0 });
    assert.equal(scene.held(2).size, 4, 'without one nothing is held back any more');
  });

  it('allowed own AS counts for what is there already, and filters go on changing it', () => {
    const scene = new Scene(65002, 65003);
    const add = { kind: 'add-community', community: { kind: 'standard', value: 9 } } as const;
    const rule = { origin: 'mark', action: 'accept', operations: [add] } as const;
    scene.change(1, { importFilter: { rules: [rule], otherwise: 'accept' } });
    scene.announce(1, '10.1.0.0/16', { asPath: sequence(65002, OWN_AS) });
    assert.deepEqual(scene.best(), []);
    scene.change(1, { allowedOwnAsns: 1 });
    assert.deepEqual(scene.best(), ['10.1.0.0/16']);
    assert.deepEqual([...scene.held(2).values()][0]?.communities, [9]);
    scene.change(1, { allowedOwnAsns: 0 });
    assert.deepEqual(scene.best(), []);
    assert.equal(scene.held(2).size, 0);
  });

  it('a peer that becomes a client hears of other internal peers, and they of it; and no more when it is none', () => {
    const scene = new Scene(OWN_AS, OWN_AS);
    scene.announce(1, '10.1.0.0/16', { asPath: [], localPref: 100 });
    scene.announce(2, '10.2.0.0/16', { asPath: [], localPref: 100 });
    assert.equal(scene.held(1).size + scene.held(2).size, 0);
    scene.change(1, { routeReflectorClient: true });
    assert.deepEqual([...scene.held(2).keys()], [`${0x0a010000}/16`]);
    assert.deepEqual([...scene.held(1).keys()], [`${0x0a020000}/16`]);
    assert.deepEqual([...scene.held(2).values()][0]?.clusterList, [address(1)]);
    scene.change(1, { routeReflectorClient: false });
    assert.equal(scene.held(1).size + scene.held(2).size, 0);
  });

  it('next hop self counts for what was sent already', () => {
    const scene = new Scene(65002, OWN_AS);
    scene.announce(1, '10.1.0.0/16', { asPath: sequence(65002) });
    assert.equal([...scene.held(2).values()][0]?.nextHop, address(2));
    scene.change(2, { nextHop: 'self' });
    assert.equal([...scene.held(2).values()][0]?.nextHop, address(1));
  });

  it('a lower max-prefix ends a session that has more already; a higher one lets it come again', () => {
    const scene = new Scene(65002);
    scene.announce(1, '10.1.0.0/16', { asPath: sequence(65002) });
    scene.announce(1, '10.2.0.0/16', { asPath: sequence(65002) });
    scene.change(1, { maxPrefixes: { limit: 1, warnAtPercent: 75 } });
    scene.world.run(scene.world.now + 120_000);
    assert.equal(scene.speaker.peers()[0]?.state, 'Idle');
    assert.match(scene.speaker.peers()[0]?.detail ?? '', /maximum prefixes/);
    scene.change(1, { maxPrefixes: { limit: 5, warnAtPercent: 75 } });
    scene.settle();
    assert.equal(scene.speaker.peers()[0]?.state, 'Established');
  });

  it('who waits and shall call does so at once', () => {
    const world = new World(9);
    const speaker = speakerIn(world, address(1));
    const peer = new ScriptedPeer(world, { address: address(2), asn: 65002, capabilities: [] });
    const settings = (passive: boolean) =>
      speakerSettings(address(1), OWN_AS, [
        peerSettings('p', address(2), 65002, { passive, families: ['ipv4-unicast'] }),
      ]);
    speaker.configure(settings(true));
    world.run(60_000);
    assert.equal(peer.connections, 0);
    speaker.configure(settings(false));
    assert.ok(world.run(world.now + 2000, () => speaker.peers()[0]?.state === 'Established'));
  });
});
