// Shows our speaker beside GoBGP, OpenBGPD and ExaBGP: sessions, routes both ways with their attributes, withdrawal.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tableDump } from '../../../bgp/mrt.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { Bench, quietly, until } from './routers.ts';
import {
  established,
  ipv4,
  peerOf,
  prefix,
  type SpeakerOptions,
  speakerSettings,
  startSpeaker,
} from './speaker-in-netns.ts';

describe('interoperation with other speakers', () => {
  let bench: Bench;
  let speaker: Speaker | undefined;
  beforeEach(() => {
    bench = new Bench('other');
  });
  afterEach(async () => {
    await speaker?.close({ abandon: true });
    speaker = undefined;
    await bench.close();
  });

  async function up(options: SpeakerOptions = {}): Promise<Speaker> {
    const started = startSpeaker(bench, { blocks: ['10.244.0.0/26'], ...options });
    speaker = started;
    await established(started);
    return started;
  }
  const ours = (us: Speaker, text: string) => us.routes({ view: 'best', prefix: prefix(text) }).routes[0];

  it('GoBGP', async () => {
    const config = bench.file(
      'gobgp.toml',
      `[global.config]
  as = 64601
  router-id = "10.77.0.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.77.0.1"
    peer-as = 64701
    auth-password = "secret"
  [neighbors.timers.config]
    connect-retry = 1
  [neighbors.graceful-restart.config]
    enabled = true
    notification-enabled = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
`,
    );
    bench.start('gobgpd', 'gobgpd', '-f', config, '--pprof-disable', '--api-hosts', '127.0.0.1:50051');
    const gobgp = (...words: string[]): string => quietly(() => bench.run('gobgp', '-p', '50051', ...words));
    await until(
      () => gobgp('neighbor').includes('10.77.0.1'),
      () => bench.logOf('gobgpd'),
    );
    gobgp('global', 'rib', 'add', '192.0.2.0/24', 'nexthop', '10.77.0.2', 'community', '64601:7', 'med', '9');
    const us = await up({ peer: { password: 'secret' } });
    await until(() => ours(us, '192.0.2.0/24') !== undefined);
    assert.deepEqual(ours(us, '192.0.2.0/24')?.attributes.communities, ['64601:7']);
    await until(
      () => gobgp('global', 'rib').includes('10.244.0.0/26'),
      () => gobgp('global', 'rib'),
    );
    assert.match(gobgp('global', 'rib'), /10\.244\.0\.0\/26 +10\.77\.0\.1 +64701/);
    us.configure(speakerSettings({ peer: { password: 'secret' }, blocks: [] }));
    await until(() => !gobgp('global', 'rib').includes('10.244.0.0/26'));
    gobgp('neighbor', '10.77.0.1', 'shutdown', '--reason', 'rack move');
    await until(
      () => /rack move/.test(peerOf(us)?.lastError?.text ?? ''),
      () => JSON.stringify(us.peers()),
    );
  });

  it('GoBGP reads our MRT dump back (RFC 6396)', async () => {
    await bench.startBird(`router id 10.77.0.2;
protocol static { ipv4; route 192.0.2.0/24 blackhole { bgp_community.add((64601,7)); }; }
protocol bgp twill { local 10.77.0.2 as 64601; neighbor 10.77.0.1 as 64701; ipv4 { export all; import none; next hop self; }; }`);
    const us = await up();
    await until(() => ours(us, '192.0.2.0/24') !== undefined);
    const dump = join(bench.directory, 'dump.mrt');
    writeFileSync(dump, Buffer.concat([...tableDump(us.rib, ipv4('10.77.0.1'), Date.now())]));
    const config = bench.file('gobgp.toml', '[global.config]\n  as = 64999\n  router-id = "10.77.0.9"\n  port = -1\n');
    bench.start('gobgpd', 'gobgpd', '-f', config, '--pprof-disable', '--api-hosts', '127.0.0.1:50051');
    const gobgp = (...words: string[]): string => quietly(() => bench.run('gobgp', '-p', '50051', ...words));
    await until(
      () => gobgp('global').includes('64999'),
      () => bench.logOf('gobgpd'),
    );
    // With -d it prints every record that it has understood.
    const read = bench.run('gobgp', '-p', '50051', '-d', 'mrt', 'inject', 'global', dump);
    assert.match(read, /Addr \[10\.77\.0\.2\] AS \[64601\]/);
    assert.match(read, /Prefix \[192\.0\.2\.0\/24\].*64601\}? \{Nexthop: 10\.77\.0\.2\} \{Communities: 64601:7\}/);
    assert.match(read, /Prefix \[10\.244\.0\.0\/26\]/);
  });

  it('OpenBGPD', async () => {
    const control = join(bench.directory, 'bgpd.sock');
    const config = bench.file(
      'openbgpd.conf',
      `AS 64601
router-id 10.77.0.2
fib-update no
socket "${control}"
network 192.0.2.0/24 set { community 64601:7 large-community 1:2:3 }
neighbor 10.77.0.1 {
  remote-as 64701
  local-address 10.77.0.2
  tcp md5sig password secret
  announce IPv4 unicast
}
allow from any
allow to any
`,
    );
    bench.run('chmod', '600', config);
    // It goes there by chroot; where its service has never run, nobody has made it.
    mkdirSync('/run/openbgpd', { recursive: true });
    bench.start('openbgpd', '/usr/sbin/bgpd', '-d', '-f', config);
    const bgpctl = (...words: string[]): string => quietly(() => bench.run('bgpctl', '-s', control, ...words));
    await until(
      () => bgpctl('show', 'summary').includes('10.77.0.1'),
      () => bench.logOf('openbgpd'),
    );
    const us = await up({ peer: { password: 'secret' } });
    await until(() => ours(us, '192.0.2.0/24') !== undefined);
    assert.deepEqual([...(ours(us, '192.0.2.0/24')?.attributes.communities ?? [])].sort(), ['1:2:3', '64601:7']);
    await until(
      () => /10\.244\.0\.0\/26 +10\.77\.0\.1 .* 64701 i/.test(bgpctl('show', 'rib')),
      () => bgpctl('show', 'rib'),
    );
    us.configure(speakerSettings({ peer: { password: 'secret' }, blocks: [] }));
    await until(() => !bgpctl('show', 'rib').includes('10.244.0.0/26'));
    bgpctl('neighbor', '10.77.0.1', 'down', 'rack move');
    await until(
      () => /rack move/.test(peerOf(us)?.lastError?.text ?? ''),
      () => JSON.stringify(us.peers()),
    );
  });

  it('ExaBGP', async () => {
    const seen = join(bench.directory, 'seen.json');
    const config = bench.file(
      'exabgp.conf',
      `process watch {
  run /bin/sh -c "cat >> ${seen}";
  encoder json;
}
neighbor 10.77.0.1 {
  router-id 10.77.0.2;
  local-address 10.77.0.2;
  local-as 64601;
  peer-as 64701;
  family { ipv4 unicast; }
  api { processes [ watch ]; receive { parsed; update; } }
  static {
    route 192.0.2.0/24 next-hop 10.77.0.2 community [64601:7] large-community [1:2:3] as-path [64601 64999] med 5;
  }
}
`,
    );
    bench.run('chmod', '644', config);
    bench.run('chmod', '777', bench.directory);
    bench.start(
      'exabgp',
      'env',
      'exabgp.daemon.user=root',
      'exabgp.daemon.drop=false',
      'exabgp.log.destination=stdout',
      'exabgp.tcp.bind=10.77.0.2',
      'exabgp.tcp.port=179',
      'exabgp',
      config,
    );
    const us = await up();
    await until(
      () => ours(us, '192.0.2.0/24') !== undefined,
      () => bench.logOf('exabgp'),
    );
    const { asPath, communities, med } = ours(us, '192.0.2.0/24')?.attributes ?? {};
    assert.deepEqual([asPath, med, [...(communities ?? [])].sort()], ['64601 64999', 5, ['1:2:3', '64601:7']]);
    const heard = (): string => quietly(() => readFileSync(seen, 'utf8'));
    await until(
      () => heard().includes('"10.244.0.0/26"'),
      () => `${heard()} ${bench.logOf('exabgp')}`,
    );
    us.configure(speakerSettings({ blocks: [] }));
    await until(() => /"withdraw".*10\.244\.0\.0\/26/.test(heard()), heard);
  });
});
