// Shows two nodes of both families: with Calico's pair of BIRDs each family has its own session, with twill-node one session
// has both, and no route of either family is lost when the one takes the other's place. And FRR, both families in one session
// over either.

import assert from 'node:assert/strict';
import type { PeersReport } from '../../../bgp/status.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, quietly, until } from './routers.ts';

describe('both families', () => {
  let bench: Bench;
  let agent: Agent;
  beforeEach(async () => {
    bench = new Bench('dual');
    agent = await Agent.prepare(bench);
    await agent.put('Node', 'n1', { bgp: { ipv4Address: '10.77.0.1/24', ipv6Address: 'fd77::1/64' } });
    await agent.put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await agent.put('IPPool', 'pods6', { cidr: 'fd00:244::/64', blockSize: 122 });
    await agent.affinity('10.244.0.0/26', 'confirmed');
    await agent.affinity('fd00:244::/122', 'confirmed');
  });
  afterEach(async () => {
    await agent.close();
    await bench.close();
  });

  const ours = (): string =>
    ['-4', '-6'].map((family) => bench.ip(bench.us, family, 'route', 'show', 'proto', '81')).join('');
  const theirs = (): string =>
    ['10.244.0.0/26', 'fd00:244::/122']
      .map((block) => bench.ip(bench.them, block.includes(':') ? '-6' : '-4', 'route', 'show', block))
      .join('');
  const sessions = async (): Promise<string[]> =>
    (await agent.ask<PeersReport>('/v1/peers')).peers
      .map(({ name, state, families }) => `${name} ${state} ${families.join(' ')}`)
      .sort();

  /** One of the two daemons of a Calico node: it knows one family, offers no other and listens on that address only. */
  async function startCalicoBird(family: 4 | 6): Promise<() => Promise<void>> {
    const [own, other, channel, block] =
      family === 4
        ? ['10.77.0.2', '10.77.0.1', 'ipv4', '10.244.2.0/26']
        : ['fd77::2', 'fd77::1', 'ipv6', 'fd00:244:0:0:2::/122'];
    const [name, control] = [`bird${family}`, `${bench.directory}/bird${family}.ctl`];
    const path = bench.file(
      `${name}.conf`,
      `router id 10.77.0.2;
protocol device { scan time 1; }
protocol kernel { ${channel} { export where source = RTS_BGP; }; persist; }
protocol static { ${channel}; route ${block} blackhole; }
protocol bgp Mesh {
  local ${own} as 64512; neighbor ${other} as 64512; multihop; passive on; strict bind on; graceful restart on;
  connect delay time 2; connect retry time 5; error wait time 5,30;
  ${channel} { import all; export where source = RTS_STATIC; next hop self; add paths on; };
}`,
    );
    const daemon = bench.start(name, 'bird', '-f', '-c', path, '-s', control, '-P', `${bench.directory}/${name}.pid`);
    await until(() => quietly(() => bench.run('birdc', '-s', control, 'show', 'status')).includes('up and running'));
    return () => bench.stop(daemon, 'SIGKILL');
  }

  const both = (): boolean =>
    ours().includes('10.244.2.0/26 via 10.77.0.2') && ours().includes('fd00:244:0:0:2::/122 via fd77::2');

  it('are kept while a Calico node becomes a node of ours', async () => {
    await agent.put('Node', 'n2', { bgp: { ipv4Address: '10.77.0.2/24', ipv6Address: 'fd77::2/64' } });
    const [stop4, stop6] = [await startCalicoBird(4), await startCalicoBird(6)];
    agent.start();
    await until(both, ours, 30_000);
    assert.deepEqual(await sessions(), [
      'mesh:10.77.0.2 Established ipv4-unicast',
      'mesh:fd77::2 Established ipv6-unicast',
    ]);
    await until(() => theirs().split('proto bird').length === 3, theirs);

    const lost: string[] = [];
    const timer = setInterval(() => {
      if (!both()) lost.push(ours());
    }, 20);
    try {
      await stop4();
      await stop6();
      await agent.affinity('10.244.2.0/26', 'confirmed', 'n2');
      await agent.affinity('fd00:244:0:0:2::/122', 'confirmed', 'n2');
      // The BIRDs’ routes, as an upgrade would leave them to be replaced.
      for (const family of ['-4', '-6']) bench.ip(bench.them, family, 'route', 'flush', 'proto', 'bird');
      agent.startOther();
      await until(() => theirs().split('proto 81').length === 3, theirs, 30_000);
      await eventually(
        async () => (await sessions()).join() === 'mesh:10.77.0.2 Established ipv4-unicast ipv6-unicast',
        30_000,
      );
    } finally {
      clearInterval(timer);
    }
    assert.deepEqual(lost, []);
    assert(both(), ours());
  }).timeout(120_000);

  it('come from FRR in one session, over IPv4 and over IPv6', async () => {
    await bench.startFrr(
      `router bgp 64601
 bgp router-id 10.77.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 neighbor us peer-group
 neighbor us remote-as 64512
 neighbor us timers connect 1
 neighbor us advertisement-interval 0
 neighbor 10.77.0.1 peer-group us
 neighbor fd77::1 peer-group us
 address-family ipv4 unicast
  network 192.0.2.0/24
  neighbor us activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:7::/48
  neighbor us activate
 exit-address-family
`,
      ['zebra', 'bgpd'],
    );
    await agent.put('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false });
    agent.start();
    const theirNextHops = (family: string, block: string): string =>
      quietly(() => bench.vtysh(`show bgp ${family} unicast ${block} json`));
    for (const [peerIP, name] of [
      ['10.77.0.2', 'tor'],
      ['fd77::2', 'tor'],
    ] as const) {
      await agent.put('BGPPeer', name, { peerIP, asNumber: 64601 }, { 'twill.io/families': 'ipv4, ipv6' });
      const up = `global:tor:${peerIP} Established ipv4-unicast ipv6-unicast`;
      await eventually(async () => (await sessions()).join() === up, 30_000);
      await until(
        () => /192\.0\.2\.0\/24 via (inet6 )?\S+ dev e0/.test(ours()) && /2001:db8:7::\/48 via \S+ dev e0/.test(ours()),
        ours,
      );
      await until(() => theirNextHops('ipv4', '10.244.0.0/26').includes('"ip":"10.77.0.1"'));
      await until(() => theirNextHops('ipv6', 'fd00:244::/122').includes('"ip":"fd77::1"'));
      await until(() => theirs().split(' via ').length === 3, theirs);
    }
  }).timeout(120_000);
});
