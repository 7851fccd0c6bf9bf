// Shows that a change of host endpoint policy reaches flows that are established, and only those that it forbids: to the node and
// from it, forwarded through it, before destination NAT; from workloads to the node; and that neither end revives a flow that is
// cut, by going on to send.

import { strict as assert } from 'node:assert';
import type { CalcHostEndpoint, CalcUpdate } from '../../../felix/calc/output.ts';
import {
  hostEndpointUpdate,
  inSync,
  policy,
  policyUpdate,
  port,
  profileUpdate,
  rule,
  tier,
  workload,
} from '../../felix/updates.ts';
import { Flow } from './flow.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

describe('felix in the kernel: established flows of host endpoints', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  const flows: Flow[] = [];

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    felix = await node.startFelix();
    await apply(
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      workload('ns/a', a.interfaceName, a.addresses, { profiles: ['open'] }),
      inSync,
    );
  });
  afterEach(async () => {
    for (const flow of flows.splice(0)) flow.end();
    await apply({ kind: 'host-endpoint-removed', id: 'eth0' });
  });
  after(() => node.remove());

  const apply = (...updates: readonly CalcUpdate[]): Promise<void> => felix.apply(updates);
  const inNode = (): { netns: string } => ({ netns: node.name });
  const outside = (): { netns: string } => ({ netns: node.outside });
  const start = (...args: ConstructorParameters<typeof Flow>): Flow => {
    const flow = new Flow(...args);
    flows.push(flow);
    return flow;
  };
  /** TCP and UDP to these ports, in both directions. */
  const allow = (...ports: readonly number[]): CalcUpdate => {
    const rules = [6, 17].map((protocol) =>
      rule('allow', { protocol, destination: { ports: ports.map((one) => port(one)) } }),
    );
    return policyUpdate('GlobalNetworkPolicy//p', { ingress: rules, egress: rules });
  };
  const tiers = [tier(['GlobalNetworkPolicy//p'], ['GlobalNetworkPolicy//p'])];
  const hostEndpoint = (given: Partial<CalcHostEndpoint>): CalcUpdate =>
    hostEndpointUpdate('eth0', { interfaceName: 'eth0', ...given });
  const cutAndKept = async (
    cut: readonly Flow[],
    kept: readonly Flow[],
    change: () => Promise<void>,
  ): Promise<void> => {
    for (const flow of [...cut, ...kept]) await flow.lives();
    await change();
    for (const flow of cut) await flow.dies();
    for (const flow of kept) await flow.lives();
    // The other end goes on sending, and must not bring it to life again.
    for (const flow of cut) await flow.dies();
  };

  it('cuts what comes to the node, and answers open nothing', async () => {
    await apply(allow(7000, 7001, 7002), hostEndpoint({ tiers }));
    const cut = [
      start(outside(), inNode(), '192.0.2.1', 7000, 'tcp'),
      start(outside(), inNode(), '2001:db8::1', 7000, 'udp'),
    ];
    const kept = [start(outside(), inNode(), '192.0.2.1', 7002, 'tcp')];
    await cutAndKept(cut, kept, () => apply(allow(7002)));
  });

  it('lets no server revive it where egress is open', async () => {
    const open = policyUpdate('GlobalNetworkPolicy//out', { egress: [rule('allow')] });
    const both = [tier(['GlobalNetworkPolicy//p'], ['GlobalNetworkPolicy//out'])];
    await apply(open, allow(7000, 7002), hostEndpoint({ tiers: both }));
    const cut = [
      start(outside(), inNode(), '2001:db8::1', 7000, 'tcp'),
      start(outside(), inNode(), '192.0.2.1', 7000, 'udp'),
    ];
    await cutAndKept(cut, [start(outside(), inNode(), '192.0.2.1', 7002, 'udp')], () => apply(allow(7002)));
  });

  it('cuts what the node sends', async () => {
    await apply(allow(7000, 7002), hostEndpoint({ tiers }));
    const cut = [
      start(inNode(), outside(), '2001:db8::9', 7000, 'tcp'),
      start(inNode(), outside(), '192.0.2.9', 7000, 'udp'),
    ];
    await cutAndKept(cut, [start(inNode(), outside(), '192.0.2.9', 7002, 'tcp')], () => apply(allow(7002)));
  });

  it('cuts what is forwarded, in and out', async () => {
    await apply(allow(7000, 7001, 7002, 7003), hostEndpoint({ forwardTiers: tiers }));
    const cut = [start(outside(), a, '10.65.0.1', 7000, 'tcp'), start(a, outside(), '2001:db8::9', 7001, 'udp')];
    const kept = [start(outside(), a, 'fd00:65::1', 7002, 'udp'), start(a, outside(), '192.0.2.9', 7003, 'tcp')];
    await cutAndKept(cut, kept, () => apply(allow(7002, 7003)));
  });

  it('cuts by what a flow was sent to, before destination NAT', async () => {
    sh(`ip netns exec ${node.name} nft -f - <<'END'
table ip nodeports {
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; udp dport { 30080, 30081 } dnat to 10.65.0.1:7000; }
}
END`);
    const deny = (...ports: readonly number[]): CalcUpdate => ({
      kind: 'policy',
      policy: {
        ...policy('GlobalNetworkPolicy//p', {
          ingress: [rule('deny', { protocol: 17, destination: { ports: ports.map((one) => port(one)) } })],
        }),
        stage: 'pre-dnat',
      },
    });
    await apply(deny(9), hostEndpoint({ preDnatTiers: [tier(['GlobalNetworkPolicy//p'], [])] }));
    const server = start(outside(), a, '10.65.0.1', 7000, 'udp');
    await server.lives();
    await cutAndKept([], [server], () => apply(deny(30_081)));
    for (const nodePort of [30_080, 30_081]) {
      const seen = node.talks(node.outside, '192.0.2.1', nodePort, 'udp');
      assert.equal(seen, false, 'our server does not echo; this is for the entry in connection tracking');
    }
    const tracked = (number: number): boolean =>
      sh(`ip netns exec ${node.name} conntrack -L -p udp 2>/dev/null`).includes(`dport=${number}`);
    assert.deepEqual([tracked(30_080), tracked(30_081)], [true, false]);
    await apply(deny(30_080));
    await until('the flow is forgotten', () => !tracked(30_080));
    await server.lives();
    sh(`ip netns exec ${node.name} nft delete table ip nodeports`);
  });

  it('cuts what a new host endpoint of all interfaces does not let in, but for failsafe ports', async () => {
    const cut = [start(outside(), inNode(), '192.0.2.1', 7000, 'tcp')];
    const kept = [
      start(outside(), inNode(), '192.0.2.1', 22, 'tcp'),
      start(outside(), a, '10.65.0.1', 7000, 'tcp'),
      start(inNode(), a, '10.65.0.1', 7001, 'udp'),
      start(inNode(), inNode(), '127.0.0.1', 7003, 'tcp'),
    ];
    await cutAndKept(cut, kept, () => apply(hostEndpoint({ interfaceName: '*' })));
    await cutAndKept([], kept, () => apply({ kind: 'host-endpoint-removed', id: 'eth0' }));
  });

  it('cuts what workloads send to the node when that is no longer accepted', async () => {
    const toHost = (action: string): CalcUpdate => ({
      kind: 'config',
      parameters: { DefaultEndpointToHostAction: action },
    });
    await apply(toHost('Accept'));
    const cut = [start(a, inNode(), '192.0.2.1', 7000, 'tcp'), start(a, inNode(), '2001:db8::1', 7001, 'udp')];
    const kept = [start(a, outside(), '192.0.2.9', 7000, 'tcp'), start(inNode(), a, '10.65.0.1', 7002, 'tcp')];
    await cutAndKept(cut, kept, () => apply(toHost('Drop')));
  });
});
