// Shows BGP with a workload of the node: a BIRD in a pod's namespace calls the address that all nodes have for that, over both
// families; its routes lead to the pod, and go with it; the address is there only while somebody needs it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { PeersReport } from '../../../bgp/status.ts';
import { isKind, resourceKey } from '../../../datastore/model/index.ts';
import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, quietly, until } from './routers.ts';

const peering = { localWorkloadPeeringIPV4: '169.254.0.179', localWorkloadPeeringIPV6: 'fd00:179::1' };

describe('a workload as peer', () => {
  const pod = `tw-bgp2-pod-${process.pid}`;
  let bench: Bench;
  let agent: Agent;
  before(async () => {
    bench = new Bench('workload');
    agent = await Agent.prepare(bench);
    await agent.put('Node', 'n1', { bgp: { ipv4Address: '10.77.0.1/24', ipv6Address: 'fd77::1/64', asNumber: 64701 } });
    await agent.put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await agent.affinity('10.244.0.0/26', 'confirmed');
    attachPod();
    startPodBird();
  });
  after(async () => {
    await agent.close();
    await bench.close();
    deleteNetns(pod);
  });

  /** As the CNI plugin does. */
  function attachPod(): void {
    createNetns(pod);
    bench.ip(bench.us, 'link', 'add', 'cali1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod);
    bench.ip(bench.us, 'link', 'set', 'cali1', 'up', 'address', 'ee:ee:ee:ee:ee:ee');
    bench.ip(bench.us, 'addr', 'add', 'fe80::ecee:eeff:feee:eeee/64', 'dev', 'cali1', 'nodad');
    bench.ip(bench.us, 'route', 'add', '10.244.0.5/32', 'dev', 'cali1', 'proto', '80');
    bench.ip(bench.us, '-6', 'route', 'add', 'fd00:244::5/128', 'dev', 'cali1', 'proto', '80');
    for (const dev of ['lo', 'eth0']) bench.ip(pod, 'link', 'set', dev, 'up');
    bench.ip(pod, 'addr', 'add', '10.244.0.5/32', 'dev', 'eth0');
    bench.ip(pod, 'addr', 'add', 'fd00:244::5/128', 'dev', 'eth0', 'nodad');
    bench.ip(pod, 'route', 'add', '169.254.1.1', 'dev', 'eth0');
    bench.ip(pod, 'route', 'add', 'default', 'via', '169.254.1.1');
    bench.ip(pod, 'neigh', 'add', '169.254.1.1', 'dev', 'eth0', 'lladdr', 'ee:ee:ee:ee:ee:ee');
    bench.ip(pod, '-6', 'route', 'add', 'default', 'via', 'fe80::ecee:eeff:feee:eeee', 'dev', 'eth0');
  }

  function startPodBird(): void {
    const session = (name: string, own: string, other: string, channel: string, how: string): string => `
protocol bgp ${name} {
  local ${own} as 65401; neighbor ${other} as 64701; multihop; ${how}
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ${channel} { import all; export where source = RTS_STATIC; next hop self; };
}`;
    const path = bench.file(
      'pod.conf',
      `router id 10.244.0.5;
protocol device { scan time 1; }
protocol static { ipv4; route 10.123.0.0/26 blackhole; }
protocol static { ipv6; route fd00:123::/64 blackhole; }
${session('four', '10.244.0.5', peering.localWorkloadPeeringIPV4, 'ipv4', '')}
${session('six', 'fd00:244::5', peering.localWorkloadPeeringIPV6, 'ipv6', 'passive on;')}`,
    );
    bench.startIn(
      netnsPath(pod),
      'pod',
      'bird',
      '-f',
      '-c',
      path,
      '-s',
      podControl(),
      '-P',
      `${bench.directory}/pod.pid`,
    );
  }

  const podControl = (): string => join(bench.directory, 'pod.ctl');
  const inPod = (...words: string[]): string => quietly(() => bench.run('birdc', '-s', podControl(), ...words));
  const routes = (family: '-4' | '-6', ...words: string[]): string =>
    bench.ip(bench.us, family, 'route', 'show', ...words);
  const addresses = (): string =>
    ['-4', '-6'].map((f) => bench.ip(bench.us, f, 'route', 'show', 'table', 'local', 'proto', '83')).join('');
  const peers = async (): Promise<PeersReport['peers']> => (await agent.ask<PeersReport>('/v1/peers')).peers;

  async function putPod(labels: Readonly<Record<string, string>>): Promise<void> {
    const kind = 'WorkloadEndpoint';
    assert(isKind(kind));
    const [namespace, name] = ['default', 'n1-k8s-router-eth0'];
    const spec = {
      node: 'n1',
      orchestrator: 'k8s',
      pod: 'router',
      endpoint: 'eth0',
      interfaceName: 'cali1',
      ipNetworks: ['10.244.0.5/32', 'fd00:244::5/128'],
    };
    const value = { kind, apiVersion: 'projectcalico.org/v3', metadata: { namespace, name, labels }, spec };
    await agent.write(resourceKey({ kind, namespace, name }), JSON.stringify(value));
  }

  it('has sessions whichever end calls, and its routes lead to it', async () => {
    await putPod({ role: 'router' });
    await agent.put('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false, ...peering });
    await agent.put('BGPPeer', 'routers', { localWorkloadSelector: "role == 'router'", asNumber: 65401 });
    agent.start();
    await eventually(async () => (await peers()).filter(({ state }) => state === 'Established').length === 2, 30_000);
    assert.deepEqual(
      (await peers()).map(({ name, type }) => [name, type]),
      [
        ['local-workload:routers:10.244.0.5', 'local workload'],
        ['local-workload:routers:fd00:244::5', 'local workload'],
      ],
    );
    await until(
      () => /10\.123\.0\.0\/26 via 10\.244\.0\.5 dev cali1/.test(routes('-4', 'proto', '81')),
      () => routes('-4'),
    );
    await until(
      () => /fd00:123::\/64 via fd00:244::5 dev cali1/.test(routes('-6', 'proto', '81')),
      () => routes('-6'),
    );
    await until(
      () => /BGP\.next_hop: 169\.254\.0\.179/.test(inPod('show', 'route', '10.244.0.0/26', 'all')),
      () => inPod('show', 'route', 'all'),
    );
    assert.match(addresses(), /local 169\.254\.0\.179 dev lo.*\n.*fd00:179::1 dev lo/);
  });

  it('is there again after a restart of the agent, without a route being lost', async () => {
    const [running] = agent.children.slice(-1);
    const lost: string[] = [];
    const timer = setInterval(() => {
      if (!routes('-4').includes('10.123.0.0/26 via 10.244.0.5')) lost.push(routes('-4'));
    }, 20);
    try {
      running?.kill('SIGKILL');
      await until(() => !inPod('show', 'protocols', 'four').includes('Established'));
      agent.start();
      await eventually(async () => (await peers()).filter(({ state }) => state === 'Established').length === 2, 30_000);
    } finally {
      clearInterval(timer);
    }
    assert.deepEqual(lost, []);
  }).timeout(90_000);

  it('is gone with its label, and the address with it', async () => {
    await putPod({});
    await eventually(async () => (await peers()).length === 0);
    await until(
      () => !routes('-4').includes('10.123.0.0') && addresses() === '',
      () => routes('-4') + addresses(),
    );
    assert.doesNotMatch(bench.ip(bench.us, 'addr', 'show', 'lo'), /fd00:179/);
    await putPod({ role: 'router' });
    await eventually(async () => (await peers()).filter(({ state }) => state === 'Established').length === 2, 30_000);
    await agent.delete('BGPPeer', 'routers');
    await eventually(async () => (await peers()).length === 0);
    await until(() => addresses() === '');
  });
});
