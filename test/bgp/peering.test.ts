// What sessions agree on and what follows from it, on the simulated network: local AS in its modes (RFC 7705), and refreshes
// that a peer begins and does not end (RFC 7313).

import assert from 'node:assert/strict';
import type { LocalAsSettings, PeerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import type { Capability } from '../../bgp/wire/message.ts';
import { parsePrefix } from '../../net/prefix.ts';
import { ScriptedPeer } from './scripted-peer.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const address = (i: number): number => 0x0a000000 + i;
const prefix = (text: string) => parsePrefix(text) ?? assert.fail(text);
const originated = (text: string) => ({ prefix: prefix(text), blackhole: false, communities: [] });
const pathOf = (speaker: Speaker, text: string): string | undefined =>
  speaker.routes({ view: 'best', prefix: prefix(text) }).routes[0]?.attributes.asPath;

describe('local AS', () => {
  /**
   *     inner (65001) ── middle (65001, towards outer also 64999) ── outer (65003) ── beyond (65004)
   */
  function chain(mode: Omit<LocalAsSettings, 'asn'>, expected: number) {
    const world = new World(41);
    const localAs = { asn: 64999, ...mode };
    const peersOf: readonly (readonly PeerSettings[])[] = [
      [peerSettings('middle', address(2), 65001)],
      [peerSettings('inner', address(1), 65001), peerSettings('outer', address(3), 65003, { localAs })],
      [peerSettings('middle', address(2), expected), peerSettings('beyond', address(4), 65004)],
      [peerSettings('outer', address(3), 65003)],
    ];
    const asns = [65001, 65001, 65003, 65004];
    const speakers = peersOf.map((peers, i) => {
      const speaker = speakerIn(world, address(i + 1));
      const originate = [originated(`10.${i + 1}.0.0/16`)];
      speaker.configure(speakerSettings(address(i + 1), asns[i] ?? 0, peers, { originate }));
      return speaker;
    });
    const [inner, middle, outer] = speakers;
    assert(inner && middle && outer);
    const isUp = () => speakers.every((one) => one.peers().every(({ state }) => state === 'Established'));
    assert(world.run(60_000, isUp), JSON.stringify(speakers.map((one) => one.peers())));
    world.run(world.now + 2000);
    return {
      out: pathOf(outer, '10.2.0.0/16'),
      in: pathOf(middle, '10.3.0.0/16'),
      further: pathOf(inner, '10.4.0.0/16'),
    };
  }

  const modes = [
    ['plain', {}, { out: '64999 65001', in: '64999 65003', further: '64999 65003 65004' }],
    ['no-prepend', { noPrepend: true }, { out: '64999 65001', in: '65003', further: '65003 65004' }],
    [
      'no-prepend replace-as',
      { noPrepend: true, replaceAs: true },
      { out: '64999', in: '65003', further: '65003 65004' },
    ],
  ] as const;
  const plain = { noPrepend: false, replaceAs: false, dualAs: false };
  for (const [name, mode, paths] of modes) {
    it(`${name}: what the peer sees, and what is kept of its paths`, () => {
      assert.deepEqual(chain({ ...plain, ...mode }, 64999), paths);
    });
  }

  it('dual-as: a peer that expects our own AS gets it, as if there were no local AS', () => {
    const dual = { noPrepend: true, replaceAs: true, dualAs: true };
    assert.deepEqual(chain(dual, 65001), { out: '65001', in: '65003', further: '65003 65004' });
    assert.deepEqual(chain(dual, 64999), { out: '64999', in: '65003', further: '65003 65004' });
  });

  it('refuses paths with either of our ASs in them', () => {
    const world = new World(42);
    const speaker = speakerIn(world, address(1));
    const localAs = { asn: 64999, noPrepend: true, replaceAs: true, dualAs: false };
    const peer = new ScriptedPeer(world, {
      address: address(2),
      asn: 65002,
      capabilities: [{ kind: 'four-octet-as', asn: 65002 }],
    });
    speaker.configure(speakerSettings(address(1), 65001, [peerSettings('test', address(2), 65002, { localAs })]));
    assert(world.run(60_000, () => speaker.peers()[0]?.state === 'Established'));
    for (const [text, asns] of [
      ['10.1.0.0/16', [65002, 64999]],
      ['10.2.0.0/16', [65002, 65001]],
      ['10.3.0.0/16', [65002, 65003]],
    ] as const) {
      announce(peer, text, asns);
    }
    world.run(world.now + 1000);
    assert.equal(speaker.peers()[0]?.routesIn, 3);
    assert.deepEqual(
      speaker.routes({ view: 'best' }).routes.map((route) => route.prefix),
      ['10.3.0.0/16'],
    );
  });
});

function announce(peer: ScriptedPeer, text: string, asns: readonly number[]): void {
  const attributes: PathAttributes = { origin: 0, asPath: [{ kind: 'sequence', asns }], nextHop: address(2) };
  peer.send({ kind: 'update', withdrawn: [], attributes, unknownAttributes: [], nlri: [{ prefix: prefix(text) }] });
}

describe('a refresh that a peer begins (RFC 7313)', () => {
  const capabilities: readonly Capability[] = [
    { kind: 'four-octet-as', asn: 65002 },
    { kind: 'route-refresh' },
    { kind: 'enhanced-route-refresh' },
  ];
  const mark = (subtype: number) => ({ kind: 'route-refresh', afi: 1, safi: 1, subtype }) as const;

  function begin() {
    const world = new World(43);
    const speaker = speakerIn(world, address(1));
    const peer = new ScriptedPeer(world, { address: address(2), asn: 65002, capabilities });
    speaker.configure(speakerSettings(address(1), 65001, [peerSettings('test', address(2), 65002)]));
    assert(world.run(60_000, () => speaker.peers()[0]?.state === 'Established'));
    for (const text of ['10.1.0.0/16', '10.2.0.0/16']) announce(peer, text, [65002]);
    peer.send(mark(1));
    announce(peer, '10.2.0.0/16', [65002]);
    world.run(world.now + 1000);
    const routes = () => speaker.routes({ view: 'best' }).routes.map((route) => route.prefix);
    assert.deepEqual(routes(), ['10.1.0.0/16', '10.2.0.0/16'], 'all stay while it lasts');
    return { world, speaker, peer, routes };
  }

  it('ends with what was not said again going', () => {
    const { world, peer, routes } = begin();
    peer.send(mark(2));
    world.run(world.now + 1000);
    assert.deepEqual(routes(), ['10.2.0.0/16']);
    // One more end ends nothing.
    peer.send(mark(2));
    world.run(world.now + 1000);
    assert.deepEqual(routes(), ['10.2.0.0/16']);
  });

  it('ends by itself when its end does not come, and does so once', () => {
    const { world, speaker, peer, routes } = begin();
    world.run(world.now + 350_000);
    assert.equal(routes().length, 2);
    world.run(world.now + 20_000);
    assert.deepEqual(routes(), ['10.2.0.0/16']);
    assert.equal(speaker.peers()[0]?.state, 'Established');
    announce(peer, '10.3.0.0/16', [65002]);
    world.run(world.now + 400_000);
    assert.deepEqual(routes(), ['10.2.0.0/16', '10.3.0.0/16']);
  });

  it('is forgotten with its session', () => {
    const { world, speaker, peer, routes } = begin();
    peer.send({ kind: 'notification', code: 6, subcode: 4, data: new Uint8Array() });
    assert(world.run(world.now + 60_000, () => peer.connections === 2 && speaker.peers()[0]?.state === 'Established'));
    announce(peer, '10.4.0.0/16', [65002]);
    world.run(world.now + 400_000);
    assert.deepEqual(routes(), ['10.4.0.0/16']);
  });
});
