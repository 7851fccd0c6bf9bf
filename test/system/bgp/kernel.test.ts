// Shows the bgp child of twill-node and the kernel's table beside BIRD: routes to peers behind a gateway, metrics that
// filters set, next hops that other learned routes lead to, pods that no block speaks for; and that whatever others do to
// our routes is repaired, while theirs are left alone.

import assert from 'node:assert/strict';
import type { PeersReport, StatusReport, WhyReport } from '../../../bgp/status.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, quietly, until } from './routers.ts';

const farPeer = '192.0.2.1';
const bird = (routes: readonly string[]): string => `
router id 10.77.0.2;
protocol static { ipv4; ${routes.map((route) => `route ${route} blackhole;`).join(' ')} }
protocol bgp twill {
  local ${farPeer} as 64601;
  neighbor 10.77.0.1 as 64701;
  multihop;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  graceful restart on;
  ipv4 {
    import all;
    export filter {
      if source != RTS_STATIC then reject;
      if net = 203.0.113.0/24 then bgp_next_hop = 172.20.0.1;
      accept;
    };
  };
}`;
const allRoutes = ['198.51.100.0/24', '172.20.0.0/16', '203.0.113.0/24'];

describe('twill-node bgp and the kernel', () => {
  let bench: Bench;
  let agent: Agent;
  const put = (kind: string, name: string, spec: object): Promise<void> => agent.put(kind, name, spec);
  const far = { peerIP: farPeer, asNumber: 64601, reachableBy: '10.77.0.2' };
  const show = (...words: string[]): string => bench.ip(bench.us, 'route', 'show', ...words).trim();
  const isUp = async (): Promise<boolean> => {
    const { peers } = await agent.ask<PeersReport>('/v1/peers');
    return peers.length > 0 && peers.every(({ state }) => state === 'Established');
  };
  const why = (prefix: string): Promise<WhyReport> => agent.ask<WhyReport>(`/v1/why?prefix=${prefix}`);
  const failures = async () => (await agent.ask<StatusReport>('/v1/status')).fib.failures;
  const birdHas = (prefix: string): boolean => quietly(() => bench.birdc('show', 'route', prefix)).includes('twill');
  function reconfigure(routes: readonly string[]): void {
    bench.file('bird.conf', `log stderr all;\nprotocol device { scan time 1; }\n${bird(routes)}`);
    bench.birdc('configure');
  }

  before(async () => {
    bench = new Bench('kernel');
    bench.ip(bench.them, 'addr', 'add', `${farPeer}/32`, 'dev', 'lo');
    bench.ip(bench.us, 'link', 'add', 'cali1', 'type', 'veth', 'peer', 'name', 'pod1');
    bench.ip(bench.us, 'link', 'set', 'cali1', 'up');
    bench.ip(bench.us, 'link', 'set', 'pod1', 'up');
    agent = await Agent.prepare(bench);
    await put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await put('BGPPeer', 'far', far);
    await agent.affinity('10.244.0.0/26', 'confirmed');
    await bench.startBird(bird(allRoutes));
    agent.start();
    await eventually(isUp);
  });
  after(async () => {
    await agent.close();
    await bench.close();
  });

  it('reaches a peer by a gateway, and what it announces too', async () => {
    assert.equal(show(farPeer), `${farPeer} via 10.77.0.2 dev e0 proto 81 metric 1024`);
    await until(() => show('198.51.100.0/24') === '198.51.100.0/24 via 10.77.0.2 dev e0 proto 81 metric 1024');
    assert.match((await why(`${farPeer}/32`)).fib, /^via 10\.77\.0\.2 dev e0 \(BGPPeer\/far reachableBy\)$/);
  });

  it('resolves a next hop through a learned route, and says so', async () => {
    await until(() => show('203.0.113.0/24') === '203.0.113.0/24 via 10.77.0.2 dev e0 proto 81 metric 1024');
    assert.match(
      (await why('203.0.113.0/24')).fib,
      /to reach 172\.20\.0\.1 through 172\.20\.0\.0\/16, 192\.0\.2\.1\/32/,
    );
    reconfigure(['198.51.100.0/24', '203.0.113.0/24']);
    await until(() => show('172.20.0.0/16') === '' && show('203.0.113.0/24') === '');
    assert.equal(
      (await why('203.0.113.0/24')).paths[0]?.verdict,
      'next hop 172.20.0.1 unreachable: no route leads to it',
    );
    reconfigure(allRoutes);
    await until(() => show('203.0.113.0/24') !== '');
  });

  it('gives routes the metric that a filter sets, without a moment without them', async () => {
    const withPriority = (value: number) =>
      put('BGPFilter', 'metric', {
        importV4: [
          {
            action: 'Accept',
            cidr: '198.51.100.0/24',
            matchOperator: 'Equal',
            operations: [{ setPriority: { value } }],
          },
        ],
      });
    const seen = new Set<string>();
    const timer = setInterval(() => seen.add(show('198.51.100.0/24')), 2);
    try {
      await withPriority(512);
      await put('BGPPeer', 'far', { ...far, filters: ['metric'] });
      await until(() => show('198.51.100.0/24').endsWith('metric 512'));
      await withPriority(300);
      await until(() => show('198.51.100.0/24').endsWith('metric 300'));
    } finally {
      clearInterval(timer);
    }
    assert.match(show('203.0.113.0/24'), /metric 1024$/);
    assert.equal(seen.has(''), false);
  });

  it('killed with -9 and started again, writes none of that anew', async () => {
    const [running] = agent.children.slice(-1);
    const before = show('proto', '81');
    const changes: string[] = [];
    const monitor = bench.monitorRoutes((line) => changes.push(line));
    await until(() => monitor.ready);
    running?.kill('SIGKILL');
    await until(() => running?.signalCode === 'SIGKILL');
    assert.equal(show('proto', '81'), before);
    agent.start();
    await eventually(isUp);
    await until(() => birdHas('10.244.0.0/26'));
    // The restart is over when the peer has sent all, and what nobody stands for has gone.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(show('proto', '81'), before);
    assert.deepEqual(changes, []);
    await monitor.stop();
    await put('BGPPeer', 'far', far);
    await until(() => show('198.51.100.0/24').endsWith('metric 1024'));
  });

  it('repairs at once what others remove or change of ours', async () => {
    const route = show('198.51.100.0/24');
    bench.ip(bench.us, 'route', 'del', '198.51.100.0/24');
    await until(() => show('198.51.100.0/24') === route, undefined, 2000);
    bench.ip(bench.us, 'route', 'replace', 'blackhole', '198.51.100.0/24', 'proto', '81', 'metric', '1024');
    await until(() => show('198.51.100.0/24') === route, undefined, 2000);
    bench.ip(bench.us, 'route', 'flush', 'proto', '81');
    await until(
      () => show('proto', '81').split('\n').length === 5,
      () => show('proto', '81'),
      2000,
    );
  });

  it('leaves alone what others put in the place of ours, until it is gone', async () => {
    const ours = show('198.51.100.0/24');
    const theirs = ['198.51.100.0/24', 'via', '10.77.0.3', 'proto', 'static', 'metric', '1024'];
    bench.ip(bench.us, 'route', 'replace', ...theirs);
    await eventually(async () => (await failures()).some(({ prefix }) => prefix === '198.51.100.0/24'));
    assert.match(show('198.51.100.0/24'), /via 10\.77\.0\.3 dev e0 proto static/);
    assert.deepEqual(await failures(), [{ prefix: '198.51.100.0/24', error: 'EEXIST' }]);
    bench.ip(bench.us, 'route', 'del', '198.51.100.0/24');
    await until(() => show('198.51.100.0/24') === ours, undefined, 2000);
    await eventually(async () => (await failures()).length === 0);
    bench.ip(bench.us, 'route', 'add', ...theirs.slice(0, -1), '50');
    bench.ip(bench.us, 'route', 'del', '198.51.100.0/24', 'proto', 'static');
    assert.equal(show('198.51.100.0/24'), ours);
  });

  it('announces pods that no block speaks for, for as long as they have a route', async () => {
    const pod = (...words: string[]): string => bench.ip(bench.us, 'route', ...words, 'dev', 'cali1', 'proto', '80');
    pod('add', '10.244.9.7/32');
    pod('add', '10.244.0.5/32');
    pod('add', '172.31.0.7/32');
    await until(() => birdHas('10.244.9.7/32'));
    assert.equal(birdHas('10.244.0.5/32') || birdHas('172.31.0.7/32'), false);
    pod('add', '10.244.0.6/32', 'metric', '512');
    await until(() => birdHas('10.244.0.6/32'));
    pod('del', '10.244.0.6/32');
    await until(() => !birdHas('10.244.0.6/32'));
    // The kernel takes the route away with the link, and says nothing of it.
    bench.ip(bench.us, 'link', 'set', 'cali1', 'down');
    await until(() => !birdHas('10.244.9.7/32'));
    assert.equal(birdHas('10.244.0.0/26'), true);
  });

  it('takes the route to a peer away when nobody asks for it any more', async () => {
    await put('BGPPeer', 'far', { peerIP: farPeer, asNumber: 64601 });
    await until(() => show(farPeer) === '');
  });
});
