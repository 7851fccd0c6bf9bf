// Shows our speaker and BIRD 2: sessions opened from either side, routes both ways with their attributes and into both
// kernels, iBGP and eBGP, both families, TCP-MD5, TTL security, refresh, and restarts of either side that lose nothing.

import assert from 'node:assert/strict';
import { BfdClient } from '../../../bgp/bfd/client.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { createLogger } from '../../../runtime/log.ts';
import { Bench, quietly, until } from './routers.ts';
import {
  address,
  established,
  peerOf,
  prefix,
  type SpeakerOptions,
  speakerSettings,
  startSpeaker,
} from './speaker-in-netns.ts';

describe('interoperation with BIRD', () => {
  let bench: Bench;
  let speaker: Speaker | undefined;
  beforeEach(() => {
    bench = new Bench('bird');
  });
  afterEach(async () => {
    await speaker?.close({ abandon: true });
    speaker = undefined;
    await bench.close();
  });

  interface BirdOptions {
    readonly asn?: number;
    readonly neighborAsn?: number;
    readonly bgp?: string;
    readonly channels?: string;
    readonly routes?: string;
  }

  const birdConfig = ({
    asn = 64601,
    neighborAsn = 64701,
    bgp = '',
    channels,
    routes = '',
  }: BirdOptions = {}): string => `
router id 10.77.0.2;
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol static {
  ipv4;
  route 192.0.2.0/24 blackhole { bgp_community.add((64601,7)); bgp_large_community.add((1,2,3)); };
  route 198.51.100.0/24 blackhole;
  ${routes}
}
protocol bgp twill {
  local 10.77.0.2 as ${asn};
  neighbor 10.77.0.1 as ${neighborAsn};
  connect delay time 1; connect retry time 1; error wait time 1,2;
  graceful restart on;
  ${bgp}
  ${channels ?? 'ipv4 { import all; export filter { bgp_med = 42; if source = RTS_STATIC then accept; reject; }; next hop self; };'}
}`;

  // A route that is not there is a failure of birdc.
  const birdRoute = (text: string): string => quietly(() => bench.birdc('show', 'route', text, 'all')) || 'not found';
  const ourRoutes = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');

  async function up(options: SpeakerOptions, bird: BirdOptions = {}): Promise<Speaker> {
    await bench.startBird(birdConfig(bird));
    const started = startSpeaker(bench, { blocks: ['10.244.0.0/26', '10.244.9.0/26'], ...options });
    speaker = started;
    await established(started);
    return started;
  }

  it('exchanges routes by eBGP, with their attributes, and puts them into both kernels', async () => {
    const us = await up({});
    await until(
      () => birdRoute('10.244.0.0/26').includes('BGP.as_path: 64701'),
      () => birdRoute('10.244.0.0/26'),
    );
    const there = birdRoute('10.244.0.0/26');
    assert.match(there, /BGP\.origin: IGP/);
    assert.match(there, /BGP\.next_hop: 10\.77\.0\.1/);
    await until(() => ourRoutes().includes('192.0.2.0/24'));
    assert.match(ourRoutes(), /192\.0\.2\.0\/24 via 10\.77\.0\.2 dev e0 metric 1024/);
    assert.match(ourRoutes(), /blackhole 10\.244\.9\.0\/26 metric 1024/);
    await until(() => bench.ip(bench.them, 'route', 'show', '10.244.0.0/26').includes('via 10.77.0.1'));
    const [best] = us.routes({ view: 'best', prefix: prefix('192.0.2.0/24') }).routes;
    assert.equal(best?.attributes.asPath, '64601');
    assert.equal(best?.attributes.med, 42);
    assert.deepEqual([...(best?.attributes.communities ?? [])].sort(), ['1:2:3', '64601:7']);
    // Withdrawn on either side, gone on the other.
    bench.birdc('disable', 'static1');
    await until(() => !ourRoutes().includes('192.0.2.0/24'));
    us.configure(speakerSettings({ blocks: ['10.244.9.0/26'] }));
    await until(() => /not found/i.test(birdRoute('10.244.0.0/26')));
    assert.equal(ourRoutes().trim().split('\n').length, 1);
  });

  it('exchanges routes by iBGP, with LOCAL_PREF and the next hop as it is', async () => {
    const us = await up({ peer: { asn: 64701 } }, { asn: 64701 });
    await until(
      () => birdRoute('10.244.0.0/26').includes('BGP.local_pref: 100'),
      () => birdRoute('10.244.0.0/26'),
    );
    assert.match(birdRoute('10.244.0.0/26'), /BGP\.as_path: *\n/);
    await until(() => ourRoutes().includes('192.0.2.0/24'));
    assert.equal(us.routes({ view: 'best', prefix: prefix('192.0.2.0/24') }).routes[0]?.attributes.asPath, '');
  });

  it('is called when it only listens, and calls when the other only listens', async () => {
    const passive = await up({ peer: { passive: true } });
    await passive.close({ abandon: true });
    await bench.close();
    bench = new Bench('bird');
    await up({}, { bgp: 'passive on;' });
  });

  it('carries both families: IPv6 over an IPv6 session, and both in one session', async () => {
    const channels = `ipv6 { import all; export where source = RTS_STATIC; next hop self; };
  ipv4 { import all; export where source = RTS_STATIC; extended next hop on; next hop self; };`;
    const bird = birdConfig({ channels })
      .replace('local 10.77.0.2', 'local fd77::2')
      .replace('neighbor 10.77.0.1', 'neighbor fd77::1')
      .replace(
        'protocol bgp twill',
        'protocol static six { ipv6; route 2001:db8:7::/48 blackhole; }\nprotocol bgp twill',
      );
    await bench.startBird(bird);
    const started = startSpeaker(bench, {
      blocks: ['10.244.0.0/26', 'fd00:244::/122'],
      peer: {
        address: address('fd77::2'),
        sourceAddress: address('fd77::1'),
        families: ['ipv4-unicast', 'ipv6-unicast'],
      },
    });
    speaker = started;
    await established(started);
    await until(
      () => birdRoute('fd00:244::/122').includes('BGP.next_hop: fd77::1'),
      () => birdRoute('fd00:244::/122'),
    );
    // RFC 8950: IPv4 routes with an IPv6 next hop.
    await until(
      () => birdRoute('10.244.0.0/26').includes('BGP.next_hop: fd77::1'),
      () => birdRoute('10.244.0.0/26'),
    );
    await until(() =>
      /2001:db8:7::\/48 via fd77::2 dev e0/.test(bench.ip(bench.us, '-6', 'route', 'show', 'proto', '81')),
    );
    await until(() => /192\.0\.2\.0\/24 via inet6 fd77::2 dev e0/.test(ourRoutes()), ourRoutes);
  });

  it('authenticates by TCP-MD5, and says what is seen with a wrong key', async () => {
    const us = await up({ peer: { password: 'correct' } }, { bgp: 'password "correct";' });
    assert.equal(peerOf(us)?.state, 'Established');
    await us.close({ abandon: true });
    const wrong = startSpeaker(bench, { peer: { password: 'wrong' } });
    speaker = wrong;
    await until(() => peerOf(wrong)?.lastError !== undefined);
    assert.notEqual(peerOf(wrong)?.state, 'Established');
  });

  it('takes a new key when both ends change theirs', async () => {
    const us = await up({ peer: { password: 'one' } }, { bgp: 'password "one";' });
    us.configure(speakerSettings({ peer: { password: 'two' }, blocks: ['10.244.7.0/26'] }));
    const config = birdConfig({ bgp: 'password "two";' });
    bench.file('bird.conf', `log stderr all;\nprotocol device { scan time 1; }\n${config}`);
    bench.birdc('configure');
    await until(
      () => birdRoute('10.244.7.0/26').includes('64701'),
      () => JSON.stringify(us.peers()),
    );
  });

  it('runs with TTL security on both sides', async () => {
    const us = await up({ peer: { ttlSecurityHops: 1 } }, { bgp: 'ttl security on;' });
    assert.equal(peerOf(us)?.state, 'Established');
  });

  it('answers a route refresh', async () => {
    const us = await up({});
    await until(() => birdRoute('10.244.0.0/26').includes('64701'));
    const imported = (): number =>
      Number(/Import updates: +(\d+)/.exec(bench.birdc('show', 'protocols', 'all', 'twill'))?.[1]);
    const before = imported();
    bench.birdc('reload', 'in', 'twill');
    await until(
      () => imported() === before + 2,
      () => bench.birdc('show', 'protocols', 'all', 'twill'),
    );
    assert.equal(peerOf(us)?.timesEstablished, 1);
    assert.match(birdRoute('10.244.0.0/26'), /64701/);
  });

  it('restarts without a route being lost on either side (RFC 4724)', async () => {
    const us = await up({});
    await until(() => birdRoute('10.244.0.0/26').includes('64701') && ourRoutes().includes('192.0.2.0/24'));
    const before = ourRoutes();
    const watched = watch(() => [ourRoutes(), bench.ip(bench.them, 'route', 'show', '10.244.0.0/26')]);
    await us.close({ abandon: true });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const again = startSpeaker(bench, { blocks: ['10.244.0.0/26', '10.244.9.0/26'] });
    speaker = again;
    await established(again);
    await until(
      () => again.fibReport().routes === 4,
      () => JSON.stringify(again.fibReport()),
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    for (const [ours, theirs] of watched.stop()) {
      assert.equal(ours, before);
      assert.match(theirs ?? '', /via 10\.77\.0\.1/);
    }
  });

  it('keeps the routes of a BIRD that restarts, and drops those that do not come back', async () => {
    const us = await up({});
    await until(() => ourRoutes().includes('198.51.100.0/24') && ourRoutes().includes('192.0.2.0/24'));
    const pid = Number(/PID ?(\d+)/i.exec(bench.birdc('show', 'status'))?.[1] ?? 0);
    const watched = watch(() => [ourRoutes()]);
    // Killed, so that it says nothing to anybody.
    bench.run('sh', '-c', pid ? `kill -9 ${pid}` : `kill -9 $(cat ${bench.directory}/bird.pid)`);
    await until(() => peerOf(us)?.state !== 'Established');
    await bench.startBird(birdConfig({}).replace('route 198.51.100.0/24 blackhole;', ''));
    await established(us);
    await until(() => !ourRoutes().includes('198.51.100.0/24'), ourRoutes);
    for (const [ours] of watched.stop()) assert.match(ours ?? '', /192\.0\.2\.0\/24/);
  });

  it('keeps stale routes for long, marked, on either side (RFC 9494)', async () => {
    const bgp = 'graceful restart time 1; long lived graceful restart on; long lived stale time 60;';
    await bench.startBird(birdConfig({ bgp }));
    const options = {
      peer: { longLivedStaleSec: 60 },
      settings: { gracefulRestart: { restartTimeSec: 1 } },
      blocks: ['10.244.0.0/26'],
    };
    const us = startSpeaker(bench, options);
    speaker = us;
    await established(us);
    const theirs = (): string => bench.birdc('show', 'route', 'all', '10.244.0.0/26');
    const ours = (): string => JSON.stringify(us.routes({ view: 'best', prefix: prefix('192.0.2.0/24') }).routes);
    await until(() => ours().includes('192.0.2.0/24') && theirs().includes('10.77.0.1'), theirs);
    bench.run('sh', '-c', `kill -9 $(cat ${bench.directory}/bird.pid)`);
    await until(() => ours().includes('65535:6'), ours);
    await bench.startBird(birdConfig({ bgp }));
    await established(us);
    await until(() => !ours().includes('65535:6') && theirs().includes('10.77.0.1'), ours);
    await us.close({ abandon: true });
    await until(() => theirs().includes('(65535,6)'), theirs);
  });

  it('has its routes in the kernel again after a link went down and up', async () => {
    await up({});
    await until(() => ourRoutes().includes('192.0.2.0/24'));
    bench.ip(bench.us, 'link', 'set', 'e0', 'down');
    bench.ip(bench.us, 'link', 'set', 'e0', 'up');
    await until(() => /192\.0\.2\.0\/24 via 10\.77\.0\.2/.test(ourRoutes()), ourRoutes);
    bench.ip(bench.us, 'route', 'del', '192.0.2.0/24', 'proto', '81');
    bench.ip(bench.us, 'link', 'set', 'e0', 'down');
    bench.ip(bench.us, 'link', 'set', 'e0', 'up');
    await until(() => /192\.0\.2\.0\/24 via 10\.77\.0\.2/.test(ourRoutes()), ourRoutes);
  });

  it('loses a dead peer in a fraction of a second by BFD, with its routes', async () => {
    const bfd = new BfdClient({ log: createLogger('test', 'silent'), netns: bench.netns });
    try {
      await bench.startBird(
        `protocol bfd { interface "e0" { interval 50 ms; multiplier 3; }; }
${birdConfig({ bgp: 'bfd on;' })}`,
        true,
      );
      const timing = { minTxMs: 50, minRxMs: 50, multiplier: 3, multihop: false };
      const us = startSpeaker(bench, { peer: { bfd: timing } }, bfd);
      speaker = us;
      await established(us);
      await until(() => peerOf(us)?.bfd?.state === 'Up' && ourRoutes().includes('192.0.2.0/24'));
      const cutAt = performance.now();
      bench.ip(bench.them, 'link', 'set', 'e0', 'down');
      await until(() => !ourRoutes().includes('192.0.2.0/24'));
      const after = performance.now() - cutAt;
      assert.ok(after < 600, `the routes went after ${after} ms`);
      assert.match(peerOf(us)?.lastError?.text ?? '', /bfd down/i);
      bench.ip(bench.them, 'link', 'set', 'e0', 'up');
      await until(() => ourRoutes().includes('192.0.2.0/24'));
    } finally {
      await bfd.close();
    }
  });

  it('tells BIRD that it was de-configured', async () => {
    const us = await up({});
    us.configure(speakerSettings({ settings: { peers: [] }, blocks: [] }));
    await until(
      () =>
        /Received: .*de-configured|deconfigured|Peer De-configured/i.test(
          bench.birdc('show', 'protocols', 'all', 'twill'),
        ),
      () => bench.birdc('show', 'protocols', 'all', 'twill'),
    );
  });
});

/** Looks again and again, and gives everything that was ever seen, each once. */
function watch(look: () => string[]): { stop(): string[][] } {
  const seen = new Map<string, string[]>();
  const timer = setInterval(() => {
    const now = look();
    seen.set(JSON.stringify(now), now);
  }, 20);
  return {
    stop: () => {
      clearInterval(timer);
      return [...seen.values()];
    },
  };
}
