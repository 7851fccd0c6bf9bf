// Shows what two sides negotiate really in use, beside real routers: several paths of a prefix both ways (RFC 7911), messages
// beyond 4096 octets and what becomes of them at a peer that takes none (RFC 8654), marked refreshes (RFC 7313), reflection
// to OpenBGPD, and our restart beside it.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerSettings } from '../../../bgp/settings.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { Bench, ourAddress, quietly, until } from './routers.ts';
import { address, prefix, type SpeakerOptions, speakerSettings, startSpeaker } from './speaker-in-netns.ts';

const P = '192.0.2.0/24';

describe('what sessions negotiate', () => {
  let bench: Bench;
  let speaker: Speaker | undefined;
  beforeEach(() => {
    bench = new Bench('able');
    for (const host of [3, 4]) bench.ip(bench.them, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'e0');
    for (const host of [13, 14]) bench.ip(bench.us, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'e0');
  });
  afterEach(async () => {
    await speaker?.close({ abandon: true });
    speaker = undefined;
    await bench.close();
  });

  /** Our end of the session with 10.77.0.x: a BIRD has at most one session with a remote address, so each gets its own. */
  const ourEnd = (host: number): string => (host === 2 ? ourAddress : `10.77.0.${host + 10}`);

  /** Ours, with a peer for each of the last octets of 10.77.0.x. */
  async function up(
    peers: Readonly<Record<number, Partial<PeerSettings>>>,
    options: SpeakerOptions = {},
  ): Promise<Speaker> {
    const base = speakerSettings({ blocks: ['10.244.0.0/26'], ...options });
    const [common] = base.peers;
    assert.ok(common);
    const list = Object.entries(peers).map(([host, rest]) => {
      const text = `10.77.0.${host}`;
      return {
        ...common,
        name: `test:${text}`,
        address: address(text),
        sourceAddress: address(ourEnd(Number(host))),
        ...rest,
      };
    });
    const us = startSpeaker(bench, { ...options, settings: { ...base, peers: list } });
    speaker = us;
    await until(
      () => us.peers().every(({ state }) => state === 'Established'),
      () => `${JSON.stringify(us.peers())}\n${quietly(() => bench.birdc('show', 'protocols', 'all'))}`,
      25_000,
    );
    return us;
  }

  const bird = (host: number, asn: number, channel: string, more = ''): string => `
protocol bgp twill${host} {
  local 10.77.0.${host} port 1179 as ${asn}; neighbor ${ourEnd(host)} as 64701; strict bind on;
  connect delay time 1; connect retry time 1; error wait time 1,2; ${more}
  ipv4 { import all; ${channel} next hop self; };
}`;

  const frr = (host: number, asn: number, lines: readonly string[] = []): Promise<void> =>
    bench.startFrr(`
router bgp ${asn}
 bgp router-id 10.77.0.${host}
 no bgp ebgp-requires-policy
 neighbor ${ourEnd(host)} remote-as 64701
 neighbor ${ourEnd(host)} update-source 10.77.0.${host}
 neighbor ${ourEnd(host)} timers connect 1
${lines.map((line) => ` ${line}`).join('\n')}
`);

  const frrPaths = (text: string): number => {
    const json = quietly(() => bench.vtysh(`show bgp ipv4 unicast ${text} json`));
    return json === '' ? 0 : (JSON.parse(json).paths?.length ?? 0);
  };

  it('sends all paths, takes several, and withdraws one of them (RFC 7911)', async () => {
    await bench.startBird(`router id 10.77.0.2;
protocol static one { ipv4; route ${P} blackhole { bgp_community.add((64601,1)); }; }
protocol static two { ipv4 { preference 150; }; route ${P} blackhole { bgp_community.add((64601,2)); }; }
${bird(2, 64601, 'add paths tx; export where source = RTS_STATIC;')}
${bird(3, 64603, 'export where proto = "one";')}`);
    await frr(4, 64604);
    const us = await up({
      2: { port: 1179, addPathReceive: true },
      3: { port: 1179, asn: 64603 },
      4: { asn: 64604, addPathSend: true },
    });
    const received = () => us.routes({ view: 'received', peer: '10.77.0.2', prefix: prefix(P) }).routes;
    await until(
      () => received().length === 2,
      () => JSON.stringify(received()),
    );
    assert.deepEqual(
      received()
        .flatMap(({ attributes }) => attributes.communities)
        .sort(),
      ['64601:1', '64601:2'],
    );
    assert.equal(new Set(received().map(({ pathId }) => pathId)).size, 2);
    await until(
      () => frrPaths(P) === 3,
      () => bench.vtysh(`show bgp ipv4 unicast ${P}`),
    );
    assert.match(us.why(prefix(P)).advertised.find(({ to }) => to === 'test:10.77.0.4')?.verdict ?? '', /3 of 3 paths/);
    await until(
      () => us.why(prefix(P)).fib === 'via 10.77.0.2 dev e0, via 10.77.0.3 dev e0',
      () => JSON.stringify(us.why(prefix(P))),
    );
    const third = us.why(prefix(P)).paths.find(({ from }) => from.includes('10.77.0.3'));
    assert.match(third?.verdict ?? '', /; used beside the best one \(ECMP\)$/);
    bench.birdc('disable', 'two');
    await until(
      () => frrPaths(P) === 2,
      () => bench.vtysh(`show bgp ipv4 unicast ${P}`),
    );
    assert.equal(received().length, 1);
  });

  it('takes messages beyond 4096 octets, and tells who can not have such routes why (RFC 8654)', async () => {
    const communities = Array.from({ length: 400 }, (_, i) => `bgp_large_community.add((64601,1,${i}));`).join(' ');
    await bench.startBird(`router id 10.77.0.2;
protocol static { ipv4; route ${P} blackhole { ${communities} }; route 198.51.100.0/24 blackhole; }
${bird(2, 64601, 'export where source = RTS_STATIC;', 'enable extended messages on;')}
${bird(3, 64603, 'export none;', 'enable extended messages on;')}
${bird(4, 64604, 'export none;')}`);
    const us = await up({ 2: { port: 1179 }, 3: { port: 1179, asn: 64603 }, 4: { port: 1179, asn: 64604 } });
    const [best] = await untilSome(() => us.routes({ view: 'best', prefix: prefix(P) }).routes);
    assert.equal(best?.attributes.communities.length, 400);
    const of = (host: number, text: string): string =>
      quietly(() => bench.birdc('show', 'route', text, 'protocol', `twill${host}`));
    await until(
      () => of(3, P).includes('64603') || of(3, P).includes('10.77.0.1'),
      () => of(3, P),
    );
    await until(
      () => of(4, '198.51.100.0/24').includes('10.77.0.1'),
      () => of(4, '198.51.100.0/24'),
    );
    assert.doesNotMatch(of(4, P), /10\.77\.0\.1/);
    const why = us.why(prefix(P)).advertised.find(({ to }) => to === 'test:10.77.0.4');
    assert.equal(why?.verdict, 'its attributes do not fit into a message of 4096 octets');
    assert.deepEqual(
      us.peers().map(({ timesEstablished }) => timesEstablished),
      [1, 1, 1],
    );
  });

  it('marks the refresh that FRR asks for (RFC 7313)', async () => {
    await frr(2, 64601);
    const us = await up({ 2: {} });
    await until(() => frrPaths('10.244.0.0/26') === 1);
    const marks = (): number => {
      const parsed = JSON.parse(bench.vtysh('show bgp neighbors 10.77.0.1 json'));
      return parsed['10.77.0.1']?.messageStats?.routeRefreshRecv ?? 0;
    };
    const before = marks();
    bench.vtysh('clear bgp ipv4 unicast 10.77.0.1 soft in');
    await until(
      () => marks() === before + 2,
      () => bench.vtysh('show bgp neighbors 10.77.0.1'),
    );
    assert.equal(us.peers()[0]?.timesEstablished, 1);
    assert.equal(frrPaths('10.244.0.0/26'), 1);
  });

  function openBgpd(lines: string): (...words: string[]) => string {
    const control = join(bench.directory, 'bgpd.sock');
    const config = bench.file(
      'openbgpd.conf',
      `${lines}\nfib-update no\nsocket "${control}"\nallow from any\nallow to any\n`,
    );
    bench.run('chmod', '600', config);
    // It goes there by chroot; where its service has never run, nobody has made it.
    mkdirSync('/run/openbgpd', { recursive: true });
    bench.start('openbgpd', '/usr/sbin/bgpd', '-d', '-f', config);
    return (...words) => quietly(() => bench.run('bgpctl', '-s', control, ...words));
  }

  it('reflects between BIRD and OpenBGPD (RFC 4456)', async () => {
    const bgpctl = openBgpd(`AS 64701
router-id 10.77.0.2
network 203.0.113.0/24
neighbor 10.77.0.1 {
  remote-as 64701
  local-address 10.77.0.2
  announce IPv4 unicast
}`);
    await bench.startBird(`router id 10.77.0.3;
protocol static { ipv4; route ${P} blackhole; }
${bird(3, 64701, 'export where source = RTS_STATIC;')}`);
    await until(
      () => bgpctl('show', 'summary').includes('10.77.0.1'),
      () => bench.logOf('openbgpd'),
    );
    const client = { asn: 64701, routeReflectorClient: true };
    await up({ 2: client, 3: { ...client, port: 1179 } });
    const detail = (): string => bgpctl('show', 'rib', 'detail', P);
    await until(() => /Originator.*10\.77\.0\.3/i.test(detail()), detail);
    assert.match(detail(), /Cluster.*10\.77\.0\.1/i);
    const theirs = (): string => quietly(() => bench.birdc('show', 'route', '203.0.113.0/24', 'all'));
    await until(() => /originator_id: 10\.77\.0\.2/.test(theirs()), theirs);
  });

  it('restarts beside OpenBGPD without its losing our routes (RFC 4724)', async () => {
    const bgpctl = openBgpd(`AS 64601
router-id 10.77.0.2
network ${P}
neighbor 10.77.0.1 {
  remote-as 64701
  local-address 10.77.0.2
  announce IPv4 unicast
  announce restart yes
}`);
    await until(
      () => bgpctl('show', 'summary').includes('10.77.0.1'),
      () => bench.logOf('openbgpd'),
    );
    const us = await up({ 2: {} });
    const rib = (): string => bgpctl('show', 'rib');
    await until(() => rib().includes('10.244.0.0/26'), rib);
    await us.close({ abandon: true });
    await until(() => !/Established/.test(bgpctl('show', 'neighbor', '10.77.0.1')));
    assert.match(rib(), /10\.244\.0\.0\/26/);
    await up({ 2: {} });
    await until(() => rib().includes('10.244.0.0/26'), rib);
    const own = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');
    await until(() => own().includes(P), own);
  });
}).timeout(60_000);

/** Waits until there is something, and returns it. */
async function untilSome<T>(list: () => readonly T[]): Promise<readonly T[]> {
  await until(() => list().length > 0);
  return list();
}
