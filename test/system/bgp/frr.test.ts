// Shows our speaker and FRR: routes both ways by eBGP and as route reflector with its client, both families, TCP-MD5,
// communities that are obeyed, add-path, max-prefix, shutdown text, and restarts of either side.

import assert from 'node:assert/strict';
import type { Speaker } from '../../../bgp/speaker.ts';
import { Bench, quietly, until } from './routers.ts';
import {
  address,
  established,
  ipv4,
  peerOf,
  prefix,
  type SpeakerOptions,
  speakerSettings,
  startSpeaker,
} from './speaker-in-netns.ts';

interface FrrRoute {
  readonly paths: readonly {
    readonly aspath: { readonly string: string };
    readonly nexthops: readonly { readonly ip: string }[];
    readonly community?: { readonly string: string };
    readonly locPrf?: number;
    readonly originatorId?: string;
    readonly clusterList?: { readonly list: readonly string[] };
  }[];
}

describe('interoperation with FRR', () => {
  let bench: Bench;
  let speaker: Speaker | undefined;
  beforeEach(() => {
    bench = new Bench('frr');
  });
  afterEach(async () => {
    await speaker?.close({ abandon: true });
    speaker = undefined;
    await bench.close();
  });

  const frrConfig = (lines: readonly string[], family: readonly string[] = [], asn = 64601): string => `
router bgp ${asn}
 bgp router-id 10.77.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.77.0.1 remote-as ${asn === 64701 ? 'internal' : '64701'}
 neighbor 10.77.0.1 timers connect 1
 neighbor 10.77.0.1 advertisement-interval 0
${lines.map((line) => ` ${line}`).join('\n')}
 address-family ipv4 unicast
  network 192.0.2.0/24
${family.map((line) => `  ${line}`).join('\n')}
 exit-address-family
`;

  const theirs = (text: string, family = 'ipv4'): FrrRoute | undefined => {
    const json = quietly(() => bench.vtysh(`show bgp ${family} unicast ${text} json`));
    const parsed = json === '' ? undefined : (JSON.parse(json) as Partial<FrrRoute>);
    return parsed?.paths ? { paths: parsed.paths } : undefined;
  };
  const ourRoutes = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');

  async function up(config: string, options: SpeakerOptions = {}): Promise<Speaker> {
    await bench.startFrr(config);
    const started = startSpeaker(bench, { blocks: ['10.244.0.0/26'], ...options });
    speaker = started;
    await established(started);
    return started;
  }

  it('exchanges routes by eBGP', async () => {
    await up(frrConfig([]));
    await until(() => theirs('10.244.0.0/26') !== undefined);
    const [path] = theirs('10.244.0.0/26')?.paths ?? [];
    assert.deepEqual([path?.aspath.string, path?.nexthops[0]?.ip], ['64701', '10.77.0.1']);
    await until(() => /192\.0\.2\.0\/24 via 10\.77\.0\.2/.test(ourRoutes()));
  });

  it('reflects the routes of one client to another, with originator and cluster list (RFC 4456)', async () => {
    // The other client is a BIRD beside the FRR.
    bench.ip(bench.them, 'addr', 'add', '10.77.0.3/24', 'dev', 'e0');
    await bench.startBird(`router id 10.77.0.3;
protocol static { ipv4; route 198.51.100.0/24 blackhole; }
protocol bgp twill {
  local 10.77.0.3 port 1179 as 64701; neighbor 10.77.0.1 as 64701; strict bind on; connect retry time 1; connect delay time 1;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}`);
    await bench.startFrr(frrConfig([], [], 64701));
    const base = speakerSettings({ peer: { asn: 64701, routeReflectorClient: true }, blocks: ['10.244.0.0/26'] });
    const [frr] = base.peers;
    assert.ok(frr);
    const bird = { ...frr, name: 'bird', address: address('10.77.0.3'), port: 1179 };
    const us = startSpeaker(bench, { settings: { ...base, peers: [frr, bird], clusterId: ipv4('1.1.1.1') } });
    speaker = us;
    await until(
      () => us.peers().every(({ state }) => state === 'Established'),
      () => JSON.stringify(us.peers()),
    );
    await until(() => theirs('198.51.100.0/24') !== undefined && theirs('10.244.0.0/26') !== undefined);
    const [reflected] = theirs('198.51.100.0/24')?.paths ?? [];
    assert.deepEqual(
      [reflected?.originatorId, reflected?.clusterList?.list, reflected?.nexthops[0]?.ip, reflected?.locPrf],
      ['10.77.0.3', ['1.1.1.1'], '10.77.0.3', 100],
    );
    const [own] = theirs('10.244.0.0/26')?.paths ?? [];
    assert.deepEqual([own?.locPrf, own?.aspath.string, own?.originatorId], [100, 'Local', undefined]);
    await until(() =>
      /BGP\.originator_id: 10\.77\.0\.2/.test(quietly(() => bench.birdc('show', 'route', '192.0.2.0/24', 'all'))),
    );
  });

  it('takes peers from a listen range, with the range’s key (dynamic neighbours)', async () => {
    await bench.startFrr(frrConfig(['neighbor 10.77.0.1 password range-key']));
    const base = speakerSettings({ blocks: ['10.244.0.0/26'] });
    const [
      { address: _a, asn: _n, passive: _p, sourceAddress: _s, ...template } = speakerSettings({}).peers[0] ??
        assert.fail(),
    ] = base.peers;
    const range = { ...template, name: 'rack', range: prefix('10.77.0.0/24'), password: 'range-key' };
    const us = startSpeaker(bench, { settings: { ...base, peers: [], dynamicPeers: [range] } });
    speaker = us;
    await established(us);
    assert.deepEqual([peerOf(us)?.name, peerOf(us)?.asn], ['rack:10.77.0.2', 64601]);
    await until(() => theirs('10.244.0.0/26') !== undefined && ourRoutes().includes('192.0.2.0/24'));
  });

  it('is a client of an FRR route reflector', async () => {
    const us = await up(frrConfig(['bgp cluster-id 2.2.2.2'], ['neighbor 10.77.0.1 route-reflector-client'], 64701), {
      peer: { asn: 64701 },
    });
    await until(() => us.routes({ view: 'best', prefix: prefix('192.0.2.0/24') }).routes.length === 1);
  });

  it('shows FRR another AS in every mode (RFC 7705)', async () => {
    const localAs = (noPrepend: boolean, replaceAs: boolean, dualAs = false) => ({
      peer: { localAs: { asn: 64999, noPrepend, replaceAs, dualAs } },
      blocks: ['10.244.0.0/26'],
    });
    const us = await up(frrConfig([]).replace('remote-as 64701', 'remote-as 64999'), localAs(false, false));
    const seen = (): string => theirs('10.244.0.0/26')?.paths[0]?.aspath.string ?? '';
    const kept = (): string | undefined =>
      us.routes({ view: 'best', prefix: prefix('192.0.2.0/24') }).routes[0]?.attributes.asPath;
    await until(() => seen() === '64999 64701' && kept() === '64999 64601', seen);
    us.configure(speakerSettings(localAs(true, false)));
    await until(() => seen() === '64999 64701' && kept() === '64601', seen);
    us.configure(speakerSettings(localAs(true, true)));
    await until(() => seen() === '64999' && kept() === '64601', seen);
    // FRR expects our own AS by now.
    bench.vtysh('configure terminal\nrouter bgp 64601\nneighbor 10.77.0.1 remote-as 64701');
    us.configure(speakerSettings(localAs(true, true, true)));
    await until(() => seen() === '64701' && kept() === '64601', seen, 30_000);
  });

  it('carries IPv6 routes in an IPv6 session', async () => {
    const config = `${frrConfig(['neighbor fd77::1 remote-as 64701', 'neighbor fd77::1 timers connect 1'])}
 address-family ipv6 unicast
  network 2001:db8:7::/48
  neighbor fd77::1 activate
 exit-address-family
`;
    await up(config, {
      blocks: ['fd00:244::/122'],
      peer: { address: address('fd77::2'), sourceAddress: address('fd77::1'), families: ['ipv6-unicast'] },
    });
    await until(() => theirs('fd00:244::/122', 'ipv6') !== undefined);
    await until(() =>
      /2001:db8:7::\/48 via (fd77::2|fe80)/.test(bench.ip(bench.us, '-6', 'route', 'show', 'proto', '81')),
    );
  });

  it('authenticates by TCP-MD5', async () => {
    const us = await up(frrConfig(['neighbor 10.77.0.1 password correct-horse']), {
      peer: { password: 'correct-horse' },
    });
    assert.equal(peerOf(us)?.state, 'Established');
  });

  it('runs with TTL security on both sides', async () => {
    const us = await up(frrConfig(['neighbor 10.77.0.1 ttl-security hops 1']), { peer: { ttlSecurityHops: 1 } });
    assert.equal(peerOf(us)?.state, 'Established');
  });

  it('sends and takes several paths of a prefix (RFC 7911)', async () => {
    await up(frrConfig([], ['neighbor 10.77.0.1 addpath-tx-all-paths']), {
      peer: { addPathSend: true, addPathReceive: true },
    });
    await until(() => theirs('10.244.0.0/26') !== undefined && ourRoutes().includes('192.0.2.0/24'));
  });

  it('stops at the peer’s max-prefix, and says what the peer said', async () => {
    await bench.startFrr(frrConfig([], ['neighbor 10.77.0.1 maximum-prefix 1']));
    const us = startSpeaker(bench, { blocks: ['10.244.0.0/26'] });
    speaker = us;
    await established(us);
    await until(() => theirs('10.244.0.0/26') !== undefined);
    us.configure(speakerSettings({ blocks: ['10.244.0.0/26', '10.244.1.0/26', '10.244.2.0/26'] }));
    await until(
      () => /the peer sent .*maximum prefixes/i.test(peerOf(us)?.lastError?.text ?? ''),
      () => JSON.stringify(us.peers()),
    );
  });

  it('obeys our own max-prefix', async () => {
    await bench.startFrr(frrConfig([], ['network 192.0.3.0/24', 'network 192.0.4.0/24']));
    const us = startSpeaker(bench, { peer: { maxPrefixes: { limit: 2, warnAtPercent: 75 } } });
    speaker = us;
    await until(
      () => /maximum/i.test(peerOf(us)?.lastError?.text ?? ''),
      () => JSON.stringify(us.peers()),
    );
    await until(() => !ourRoutes().includes('192.0.3.0/24'));
  });

  it('shows FRR’s shutdown text (RFC 9003)', async () => {
    const us = await up(frrConfig([]));
    bench.vtysh('configure terminal\nrouter bgp 64601\nneighbor 10.77.0.1 shutdown message rack move');
    await until(
      () => /rack move/.test(peerOf(us)?.lastError?.text ?? ''),
      () => JSON.stringify(us.peers()),
    );
  });

  it('keeps FRR’s routes while it restarts, and FRR keeps ours', async () => {
    const config = frrConfig(['bgp graceful-restart', 'bgp graceful-restart preserve-fw-state']);
    const us = await up(config);
    await until(() => ourRoutes().includes('192.0.2.0/24') && theirs('10.244.0.0/26') !== undefined);
    const lost: string[] = [];
    const timer = setInterval(() => {
      if (!ourRoutes().includes('192.0.2.0/24')) lost.push('ours');
    }, 20);
    bench.run('sh', '-c', `kill -9 $(cat ${bench.directory}/bgpd.pid)`);
    await until(() => peerOf(us)?.state !== 'Established');
    await bench.startFrr(config);
    await established(us);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    clearInterval(timer);
    assert.deepEqual(lost, []);
    // The other way round.
    await until(() => theirs('10.244.0.0/26') !== undefined);
    await us.close({ abandon: true });
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(theirs('10.244.0.0/26'), 'FRR keeps the route of a restarting peer');
    const again = startSpeaker(bench, { blocks: ['10.244.0.0/26'] });
    speaker = again;
    await established(again);
    assert.ok(theirs('10.244.0.0/26'));
  });

  it('obeys NO_EXPORT, and drains by GRACEFUL_SHUTDOWN (RFC 8326)', async () => {
    const us = await up(frrConfig([]));
    us.drain(true);
    await until(() => /graceful-shutdown/.test(theirs('10.244.0.0/26')?.paths[0]?.community?.string ?? ''));
    us.drain(false);
    await until(() => theirs('10.244.0.0/26')?.paths[0]?.community === undefined);
    us.configure(
      speakerSettings({
        settings: {
          originate: [
            {
              prefix: prefix('10.244.0.0/26'),
              blackhole: true,
              communities: [{ kind: 'standard', value: 0xffffff02 }],
            },
          ],
        },
      }),
    );
    await until(() => theirs('10.244.0.0/26') === undefined);
  });
});
