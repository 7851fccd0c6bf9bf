// Shows peering over an interface without addresses: our agent and FRR find each other by router advertisement, and IPv4
// routes go both ways with IPv6 link-local next hops (RFC 8950) into both kernels.

import assert from 'node:assert/strict';
import type { PeersReport } from '../../../bgp/status.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, until } from './routers.ts';

describe('unnumbered peering', () => {
  let bench: Bench;
  let agent: Agent;
  beforeEach(async () => {
    bench = new Bench('unnum');
    for (const netns of [bench.us, bench.them]) bench.ip(netns, 'addr', 'flush', 'dev', 'e0', 'scope', 'global');
    agent = await Agent.prepare(bench);
  });
  afterEach(async () => {
    await agent.close();
    await bench.close();
  });

  it('exchanges IPv4 routes with FRR over link-local addresses', async () => {
    await bench.startFrr(
      `router bgp 64601
 bgp router-id 10.77.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor e0 interface remote-as external
 neighbor e0 timers connect 1
 address-family ipv4 unicast
  network 192.0.2.0/24
 exit-address-family
`,
      ['zebra', 'bgpd'],
    );
    await agent.put('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false });
    await agent.put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await agent.affinity('10.244.0.0/26', 'confirmed');
    await agent.put('BGPPeer', 'fabric', {}, { 'twill.io/interface': 'e*' });
    agent.start();
    const report = (): Promise<PeersReport> => agent.ask<PeersReport>('/v1/peers');
    await eventually(async () => (await report()).peers[0]?.state === 'Established', 30_000);
    const [peer] = (await report()).peers;
    assert.equal(peer?.name, 'interface:fabric:e0');
    assert.match(peer?.address ?? '', /^fe80::/);
    assert.equal(peer?.asn, 64601);
    const ours = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');
    const theirs = (): string => bench.ip(bench.them, 'route', 'show', '10.244.0.0/26');
    await until(() => /192\.0\.2\.0\/24 via inet6 fe80::\S+ dev e0/.test(ours()), ours);
    // FRR's zebra writes its own kind of next hop for these; that it goes out by e0 is what counts.
    await until(() => /dev e0/.test(theirs()), theirs);
    // The link goes and comes back, with other news on it.
    bench.ip(bench.us, 'link', 'set', 'e0', 'down');
    await until(() => !ours().includes('192.0.2.0/24'), ours);
    bench.ip(bench.us, 'link', 'set', 'e0', 'up');
    await until(() => /192\.0\.2\.0\/24 via inet6 fe80::\S+ dev e0/.test(ours()), ours, 30_000);
  });
});
