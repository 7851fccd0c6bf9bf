// Shows the bgp child of twill-node as it runs: resources in a datastore become sessions with BIRD and kernel routes; it
// answers its control API; killed with -9 it loses nothing, and while it is dead nothing changes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeersReport, StatusReport, WhyReport } from '../../../bgp/status.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, quietly, until } from './routers.ts';

const bird = `
router id 10.77.0.2;
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol bgp twill {
  local 10.77.0.2 as 64601;
  neighbor 10.77.0.1 as 64701;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}`;

describe('twill-node bgp', () => {
  let bench: Bench;
  let agent: Agent;
  const put = (kind: string, name: string, spec: object): Promise<void> => agent.put(kind, name, spec);
  const affinity = (block: string, state: string): Promise<void> => agent.affinity(block, state);
  const ask = <T>(path: string): Promise<T> => agent.ask<T>(path);
  const peers = (): Promise<PeersReport> => ask<PeersReport>('/v1/peers');

  before(async () => {
    bench = new Bench('agent');
    agent = await Agent.prepare(bench);
    await put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await put('BGPPeer', 'tor', { peerIP: '10.77.0.2', asNumber: 64601 });
    await affinity('10.244.0.0/26', 'confirmed');
    await bench.startBird(bird);
  });
  after(async () => {
    await agent.close();
    await bench.close();
  });

  const ourRoutes = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');
  const theirRoute = (block: string): string => bench.ip(bench.them, 'route', 'show', block);
  const isUp = async (): Promise<boolean> => (await peers()).peers.every(({ state }) => state === 'Established');

  it('makes sessions and routes of resources, follows changes, and says why', async () => {
    agent.start();
    await eventually(isUp);
    await until(() => theirRoute('10.244.0.0/26').includes('via 10.77.0.1') && ourRoutes().includes('192.0.2.0/24'));
    assert.match(ourRoutes(), /blackhole 10\.244\.0\.0\/26/);
    const [peer] = (await peers()).peers;
    assert.deepEqual(
      [peer?.name, peer?.type, peer?.routesIn, peer?.routesOut],
      ['global:tor:10.77.0.2', 'global', 1, 1],
    );
    await affinity('10.244.1.0/26', 'confirmed');
    await affinity('10.244.2.0/26', 'pending');
    await until(() => theirRoute('10.244.1.0/26').includes('via 10.77.0.1'));
    assert.equal(theirRoute('10.244.2.0/26'), '');
    await affinity('10.244.1.0/26', 'pendingDeletion');
    await until(() => theirRoute('10.244.1.0/26') === '' && !ourRoutes().includes('10.244.1.0'));
    const why = await ask<WhyReport>('/v1/why?prefix=192.0.2.0/24');
    assert.equal(why.paths[0]?.best, true);
    await put('BGPPeer', 'broken', { peerIP: '10.77.0.9' });
    await eventually(async () => (await ask<StatusReport>('/v1/status')).problems.length === 1);
    const status = await ask<StatusReport>('/v1/status');
    assert.deepEqual([status.ready, status.asn, status.routerId], [true, 64701, '10.77.0.1']);
    assert.equal(status.problems[0]?.resource, 'BGPPeer/broken');
    assert.match(String(await ask('/metrics')), /twill_bgp_peer_up\{peer="global:tor:10\.77\.0\.2"[^\n]* 1\n/);
  });

  it('killed with -9 and started again, loses no route on either side', async () => {
    const [running] = agent.children.slice(-1);
    const before = ourRoutes();
    const seen = new Set<string>();
    const timer = setInterval(() => seen.add(`${ourRoutes()} | ${theirRoute('10.244.0.0/26')}`), 20);
    running?.kill('SIGKILL');
    await until(() =>
      /Connect|Active|Idle|Passive|start/.test(quietly(() => bench.birdc('show', 'protocols', 'twill'))),
    );
    agent.start();
    await eventually(isUp);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    clearInterval(timer);
    assert.deepEqual(
      [...seen].map((state) => state.split(' | ')[0]),
      [before],
    );
    for (const state of seen) assert.match(state.split(' | ')[1] ?? '', /via 10\.77\.0\.1/);
  });

  it('logs from the severity on that BGPConfiguration names, the node’s own before the common one, while it runs', async () => {
    const logged = async (level: 'debug' | 'info' | 'error'): Promise<boolean> => {
      agent.takeLog();
      // Settings are logged as debug, drops of a peer as info.
      await affinity(`10.244.${9 + turn++}.0/26`, 'confirmed');
      await put('BGPPeer', 'nobody', { peerIP: `10.77.0.${100 + turn}`, asNumber: 64999 });
      await eventually(async () => (await peers()).peers.some(({ address }) => address === `10.77.0.${100 + turn}`));
      const levels = new Set([...agent.takeLog().matchAll(/"level":(\d+)/g)].map(([, number]) => Number(number)));
      return levels.has({ debug: 20, info: 30, error: 50 }[level]);
    };
    let turn = 0;
    await put('BGPConfiguration', 'default', { logSeverityScreen: 'Debug' });
    await eventually(() => logged('debug'));
    await put('BGPConfiguration', 'node.n1', { logSeverityScreen: 'Error' });
    await eventually(async () => !(await logged('info')));
    await agent.delete('BGPConfiguration', 'node.n1');
    await eventually(() => logged('debug'));
    await agent.delete('BGPConfiguration', 'default');
    await eventually(async () => !(await logged('debug')) && (await logged('info')));
    await agent.delete('BGPPeer', 'nobody');
  });

  it('answers twillctl bgp and drains a node', async () => {
    const twillctl = (...words: string[]): string =>
      execFileSync(process.execPath, ['--import', 'tsx', 'cli/main.ts', ...words], {
        encoding: 'utf8',
        env: {
          ...process.env,
          TWILL_RUN_DIR: bench.directory,
          ETCD_ENDPOINTS: agent.endpoint,
        },
      });
    assert.match(twillctl('bgp', 'peers'), /global:tor:10\.77\.0\.2 +10\.77\.0\.2 +64601 +Established/);
    assert.match(twillctl('bgp', 'routes'), /\* +192\.0\.2\.0\/24 +10\.77\.0\.2 +global:tor:10\.77\.0\.2 +64601 i/);
    assert.match(twillctl('bgp', 'routes', '--advertised', '10.77.0.2'), /10\.244\.0\.0\/26/);
    const why = twillctl('bgp', 'why', '192.0.2.0/24');
    assert.match(why, /\* from .*: best\n.*next hop 10\.77\.0\.2/);
    assert.match(why, /✗ global:tor:10\.77\.0\.2: /);
    const communities = (): string => bench.birdc('show', 'route', '10.244.0.0/26', 'all');
    twillctl('node', 'drain-bgp', 'n1');
    await until(() => communities().includes('(65535,0)'), communities);
    twillctl('node', 'undrain-bgp', 'n1');
    await until(() => !communities().includes('(65535,0)'), communities);
  });

  it('says that the peer’s key is another one, by the kernel’s counters', async () => {
    mkdirSync(join(bench.directory, 'secrets', 'tor'), { recursive: true });
    writeFileSync(join(bench.directory, 'secrets', 'tor', 'password'), 'not what BIRD has\n');
    bench.file(
      'bird.conf',
      `log stderr all;\nprotocol device { scan time 1; }\n${bird.replace('graceful', 'password "right"; graceful')}`,
    );
    bench.birdc('configure');
    const password = { secretKeyRef: { name: 'tor', key: 'password' } };
    await put('BGPPeer', 'tor', { peerIP: '10.77.0.2', asNumber: 64601, password });
    await eventually(async () => /TCP-MD5 key/.test((await peers()).peers[0]?.detail ?? ''), 30_000);
    writeFileSync(join(bench.directory, 'secrets', 'tor', 'password'), 'right\n');
    await eventually(isUp);
  });

  it('changes nothing while the datastore is locked, and catches up when it is unlocked', async () => {
    await put('ClusterInformation', 'default', { datastoreReady: false });
    await affinity('10.244.3.0/26', 'confirmed');
    const follows = async (): Promise<boolean> =>
      (await ask<StatusReport>('/v1/status')).datastore.revision >= (await agent.revision());
    await eventually(follows);
    // Longer than the agent waits for further changes before it applies them.
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.ok(!ourRoutes().includes('10.244.3.0/26'), ourRoutes());
    assert.ok(await isUp());
    await put('ClusterInformation', 'default', { datastoreReady: true });
    await until(() => ourRoutes().includes('blackhole 10.244.3.0/26'));
  });

  it('ended by SIGTERM, leaves its routes and says nothing to its peers', async () => {
    const [running] = agent.children.slice(-1);
    const before = ourRoutes();
    const gone = new Promise<number | null>((resolve) => running?.once('exit', (code) => resolve(code)));
    running?.kill('SIGTERM');
    assert.equal(await gone, 0);
    assert.equal(ourRoutes(), before);
    assert.match(theirRoute('10.244.0.0/26'), /via 10\.77\.0\.1/);
  });
});
