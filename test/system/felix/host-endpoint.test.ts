// Shows host endpoints at all four stages with real packets: failsafe ports, normal, forward, pre-DNAT and untracked
// policy, an interface given by name, by address and by "*".

import { strict as assert } from 'node:assert';
import type { CalcHostEndpoint, CalcUpdate } from '../../../felix/calc/output.ts';
import { parseAddress } from '../../../net/address.ts';
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
import { type Felix, type Pod, sh, TestNode } from './node.ts';

describe('felix in the kernel: host endpoints', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  const nodeAddresses = ['192.0.2.1', '2001:db8::1'];
  const outsideAddresses = ['192.0.2.9', '2001:db8::9'];

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    await node.serve(a.netns, 80);
    await node.serve(a.netns, 81);
    for (const number of [22, 8080, 9000]) await node.serve(node.name, number);
    for (const number of [53, 8080]) await node.serve(node.outside, number);
    felix = await node.startFelix();
  });
  after(() => node.remove());

  const apply = (...updates: readonly CalcUpdate[]): Promise<void> => felix.apply(updates);
  const hostEndpoint = (given: Partial<CalcHostEndpoint>): CalcUpdate => hostEndpointUpdate('node1-eth0', { ...given });
  const toNode = (number: number, protocol: 'tcp' | 'udp' = 'tcp'): boolean[] =>
    nodeAddresses.map((address) => node.talks(node.outside, address, number, protocol));
  const fromNode = (number: number, protocol: 'tcp' | 'udp' = 'tcp'): boolean[] =>
    outsideAddresses.map((address) => node.talks(node.name, address, number, protocol));
  const toPod = (number: number): boolean[] => a.addresses.map((address) => node.talks(node.outside, address, number));
  const yes = [true, true];
  const no = [false, false];

  it('leaves the node alone without host endpoints', async () => {
    await apply(
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      workload('ns/a', a.interfaceName, a.addresses, { profiles: ['open'] }),
      inSync,
    );
    assert.doesNotMatch(node.ruleset(), /host-normal/);
    assert.deepEqual([toNode(8080), fromNode(8080), toPod(80)], [yes, yes, yes]);
  });

  it('closes a named interface but for failsafe ports, and leaves forwarding alone', async () => {
    await apply(hostEndpoint({ interfaceName: 'eth0' }));
    assert.deepEqual([toNode(8080), fromNode(8080)], [no, no]);
    assert.deepEqual([toNode(22), fromNode(53, 'udp')], [yes, yes]);
    assert.deepEqual(toPod(80), yes);
    assert.ok(node.talks(node.name, '10.65.0.1', 80), 'to its own workloads');
  });

  it('opens what a policy allows, in each direction', async () => {
    await apply(
      policyUpdate('GlobalNetworkPolicy//host', {
        ingress: [rule('allow', { protocol: 6, destination: { ports: [port(8080)] } })],
        egress: [rule('allow', { protocol: 17 })],
      }),
      hostEndpoint({
        interfaceName: 'eth0',
        tiers: [tier(['GlobalNetworkPolicy//host'], ['GlobalNetworkPolicy//host'])],
      }),
    );
    assert.deepEqual([toNode(8080), toNode(9000), toNode(8080, 'udp')], [yes, no, no]);
    assert.deepEqual([fromNode(8080), fromNode(8080, 'udp')], [no, yes]);
  });

  it('judges forwarded packets by applyOnForward policies, in addition to the workload’s', async () => {
    await apply(
      policyUpdate('GlobalNetworkPolicy//forward', {
        ingress: [rule('allow', { protocol: 6, destination: { ports: [port(80)] } })],
      }),
      hostEndpoint({ interfaceName: 'eth0', forwardTiers: [tier(['GlobalNetworkPolicy//forward'], [])] }),
    );
    assert.deepEqual([toPod(80), toPod(81)], [yes, no]);
    assert.ok(node.talks(a.netns, '192.0.2.9', 8080), 'no egress policy: out it goes');
  });

  it('judges before destination NAT', async () => {
    sh(`ip netns exec ${node.name} nft -f - <<'END'
table ip nodeports {
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; tcp dport { 30080, 30081 } dnat to 10.65.0.1:80; }
}
END`);
    await apply(
      {
        kind: 'policy',
        policy: {
          ...policy('GlobalNetworkPolicy//nodeports', {
            ingress: [rule('deny', { protocol: 6, destination: { ports: [port(30081)] } })],
          }),
          stage: 'pre-dnat',
        },
      },
      hostEndpoint({ interfaceName: 'eth0', preDnatTiers: [tier(['GlobalNetworkPolicy//nodeports'], [])] }),
    );
    assert.ok(node.talks(node.outside, '192.0.2.1', 30080));
    assert.equal(node.talks(node.outside, '192.0.2.1', 30081), false);
    assert.deepEqual(toPod(80), yes);
    sh(`ip netns exec ${node.name} nft delete table ip nodeports`);
  });

  it('does not track what an untracked policy allows, and needs a rule for the answers', async () => {
    const untracked = (answers: boolean): CalcUpdate => ({
      kind: 'policy',
      policy: {
        ...policy('GlobalNetworkPolicy//fast', {
          ingress: [rule('allow', { protocol: 6, destination: { ports: [port(9000)] } })],
          egress: answers ? [rule('allow', { protocol: 6, source: { ports: [port(9000)] } })] : [rule('deny')],
        }),
        stage: 'untracked',
      },
    });
    const tiers = [tier(['GlobalNetworkPolicy//fast'], ['GlobalNetworkPolicy//fast'])];
    await apply(untracked(true), hostEndpoint({ interfaceName: 'eth0', untrackedTiers: tiers }));
    assert.deepEqual(toNode(9000), yes);
    assert.doesNotMatch(sh(`ip netns exec ${node.name} conntrack -L 2>/dev/null`), /dport=9000/);
    await apply(untracked(false));
    assert.deepEqual(toNode(9000), no);
    assert.deepEqual(toNode(22), yes, 'failsafe ports stay open');
  });

  it('finds the interface by an expected address, and takes "*" for all others', async () => {
    const address = parseAddress('192.0.2.1');
    assert.ok(address !== undefined);
    await apply({ kind: 'host-endpoint-removed', id: 'node1-eth0' });
    assert.deepEqual(toNode(8080), yes);
    await apply(hostEndpoint({ expectedAddresses: [address] }));
    assert.deepEqual(toNode(8080), no);
    await apply(hostEndpoint({ interfaceName: '*' }));
    assert.deepEqual(toNode(8080), no);
    assert.deepEqual([node.talks(node.name, '127.0.0.1', 8080), toPod(80)], [true, yes]);
    await apply({ kind: 'host-endpoint-removed', id: 'node1-eth0' });
    assert.deepEqual(toNode(8080), yes);
    assert.doesNotMatch(node.ruleset(), /host-(normal|forward|prednat|untracked)/);
  });
});
