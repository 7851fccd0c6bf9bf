// Shows that peers which watch a node by BFD, 50 ms × 3, notice nothing when its routing process is killed with -9: BFD runs
// in a process of its own that says so (RFC 5880 §4.1, the C bit), and graceful restart does the rest. Not a packet and not a
// route is lost, with BIRD and with FRR; and BFD holds while the routing process takes many routes.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BfdReport } from '../../../bgp/bfd/engine.ts';
import type { PeersReport, StatusReport } from '../../../bgp/status.ts';
import { callControl } from '../../../runtime/control.ts';
import { Agent, eventually } from './agent-in-netns.ts';
import { Bench, quietly, until } from './routers.ts';

const pod = '10.244.0.5';
const outside = '192.0.2.1';
const annotations = { 'twill.io/bfd': '50ms x 3' };

/** On a busy machine several processes take their time to start. */
const startMs = 90_000;

describe('BFD in a process of its own', function () {
  this.timeout(240_000);
  let bench: Bench;
  let agent: Agent;
  let node: ChildProcess;

  beforeEach(async () => {
    bench = new Bench('bfdp');
    bench.ip(bench.us, 'link', 'add', 'pod', 'type', 'veth', 'peer', 'name', 'pod0');
    bench.ip(bench.us, 'addr', 'add', `${pod}/32`, 'dev', 'lo');
    bench.ip(bench.them, 'addr', 'add', `${outside}/32`, 'dev', 'lo');
    agent = await Agent.prepare(bench);
    await agent.put('IPPool', 'pods', { cidr: '10.244.0.0/16' });
    await agent.put('BGPPeer', 'tor', { peerIP: '10.77.0.2', asNumber: 64601 }, annotations);
    await agent.affinity('10.244.0.0/26', 'confirmed');
    node = agent.startNode();
  });
  afterEach(async () => {
    await bench.stop(node);
    await agent.close();
    await bench.close();
  });

  const childOf = (role: string): number | undefined => {
    const children = quietly(() => readFileSync(`/proc/${node.pid}/task/${node.pid}/children`, 'utf8'))
      .trim()
      .split(' ');
    const found = children.find((pid) =>
      quietly(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).includes(`\0${role}\0`),
    );
    return found === undefined ? undefined : Number(found);
  };
  const peerUp = async (): Promise<boolean> => {
    const { peers } = await agent.ask<PeersReport>('/v1/peers');
    return peers.length > 0 && peers.every(({ state, bfd }) => state === 'Established' && bfd?.state === 'Up');
  };
  const sessions = (): Promise<readonly BfdReport[]> =>
    callControl(join(bench.directory, 'bfd.sock'), '/v1/sessions') as Promise<readonly BfdReport[]>;
  const ourRoutes = (): string => bench.ip(bench.us, 'route', 'show', 'proto', '81');
  const theirRoutes = (): string => bench.ip(bench.them, 'route', 'show', '10.244.0.0/26');

  /** Sends a packet every 5 ms from each side until stopped; returns how many were lost, those on their way at the end aside. */
  function pings(): () => Promise<number> {
    const start = (netns: string, from: string, to: string): ChildProcess =>
      spawn('ip', ['netns', 'exec', netns, 'ping', '-i', '0.005', '-I', from, to], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    const running = [start(bench.us, pod, outside), start(bench.them, outside, pod)].map((child) => {
      let text = '';
      child.stdout?.on('data', (bytes) => {
        text += String(bytes);
      });
      return { child, text: () => text };
    });
    return async () => {
      let lost = 0;
      for (const { child, text } of running) {
        const gone = new Promise((resolve) => child.once('close', resolve));
        child.kill('SIGINT');
        await gone;
        const answered = [...text().matchAll(/bytes from .* icmp_seq=(\d+)/g)].map(([, seq]) => Number(seq));
        assert(answered.length > 100, text());
        lost += Math.max(...answered) - new Set(answered).size;
      }
      return lost;
    };
  }

  /** What both kernels have, whenever it differs, and how often the peer lost BFD. */
  async function killWhileWatching(bfdDowns: () => number): Promise<void> {
    await eventually(peerUp, startMs);
    await until(() => ourRoutes().includes('192.0.2.0/24') && theirRoutes().includes('via 10.77.0.1'));
    const [before, bfd, lostBefore] = [[ourRoutes(), theirRoutes()], childOf('bfd'), bfdDowns()];
    assert(bfd !== undefined);
    const [report] = await sessions();
    const seen = new Set<string>();
    const timer = setInterval(() => seen.add(JSON.stringify([ourRoutes(), theirRoutes()])), 20);
    const stopPings = pings();
    const killed = childOf('bgp');
    assert(killed !== undefined);
    process.kill(killed, 'SIGKILL');
    await eventually(
      async () => childOf('bgp') !== undefined && childOf('bgp') !== killed && (await peerUp()),
      startMs,
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const lost = await stopPings();
    clearInterval(timer);
    assert.equal(lost, 0, `${lost} packets lost`);
    assert.deepEqual([...seen], [JSON.stringify(before)]);
    assert.equal(childOf('bfd'), bfd, 'the BFD process is the same');
    const [after] = await sessions();
    assert.deepEqual([after?.timesDown, after?.state], [report?.timesDown, 'Up']);
    assert.equal(bfdDowns(), lostBefore);
  }

  const bird = `
router id 10.77.0.2;
log "LOGFILE" all;
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol bfd { interface "e0" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 300 ms; multiplier 3; }; }
protocol bgp twill {
  local 10.77.0.2 as 64601;
  neighbor 10.77.0.1 as 64701;
  direct;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  graceful restart on;
  passive on;
  bfd on;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}`;

  const startBird = (config = bird): Promise<ChildProcess> =>
    bench.startBird(config.replace('LOGFILE', join(bench.directory, 'bird.txt')), true);
  const birdDowns = (): number => {
    const log = quietly(() => readFileSync(join(bench.directory, 'bird.txt'), 'utf8'));
    return (log.match(/BFD session down|Received: BFD/g) ?? []).length;
  };

  it('outlives kill -9 of the routing process: BIRD', async () => {
    await startBird();
    await killWhileWatching(birdDowns);
  });

  it('outlives kill -9 of the routing process: FRR', async () => {
    const config = `
frr defaults datacenter
router bgp 64601
 bgp router-id 10.77.0.2
 bgp graceful-restart
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.77.0.1 remote-as 64701
 neighbor 10.77.0.1 bfd
 neighbor 10.77.0.1 passive
 address-family ipv4 unicast
  network 192.0.2.0/24
 exit-address-family
`;
    await bench.startFrr(config, ['zebra', 'bfdd', 'bgpd']);
    bench.vtysh(
      ['configure terminal', 'bfd', 'peer 10.77.0.1 interface e0', 'receive-interval 50', 'transmit-interval 50'].join(
        '\n',
      ),
      'bfdd',
    );
    const downs = (): number =>
      Number(
        /Session down events: (\d+)/.exec(quietly(() => bench.vtysh('show bfd peers counters', 'bfdd')))?.[1] ?? 0,
      );
    await killWhileWatching(downs);
  });

  it('holds while the routing process takes many routes and writes them into the kernel', async () => {
    // A million hold as well, and take five times as long.
    const routes = 200_000;
    await startBird();
    bench.ip(bench.them, 'addr', 'add', '10.77.0.3/24', 'dev', 'e0');
    await agent.put('BGPPeer', 'flood', { peerIP: '10.77.0.3', asNumber: 64602 });
    await eventually(
      async () => (await agent.ask<PeersReport>('/v1/peers')).peers.some(({ bfd }) => bfd?.state === 'Up'),
      startMs,
    );
    await eventually(async () => (await sessions())[0]?.detectionMs === 150, startMs);
    const [before] = await sessions();
    const downsBefore = birdDowns();
    const flood = [process.execPath, '--import', 'tsx', 'test/system/bgp/flood.ts'];
    bench.start('flood', ...flood, '10.77.0.1', '10.77.0.3', '64602', `${routes}`);
    const inKernel = async (): Promise<boolean> => (await agent.ask<StatusReport>('/v1/status')).fib.routes >= routes;
    await eventually(inKernel, 150_000);
    const [after] = await sessions();
    assert.deepEqual([after?.timesDown, after?.state, after?.detectionMs], [before?.timesDown, 'Up', 150]);
    assert.match(bench.birdc('show', 'bfd', 'sessions'), /10\.77\.0\.1 +e0 +Up/);
    assert.equal(birdDowns(), downsBefore);
  });

  // BIRD ends a session whose BFD ends, on purpose or not; gracefully when told to.
  it('is ended after the routing process, so that BIRD keeps the routes', async () => {
    await startBird(bird.replace('bfd on;', 'bfd graceful;'));
    await eventually(peerUp, startMs);
    await until(() => theirRoutes().includes('via 10.77.0.1'));
    await bench.stop(node);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.match(theirRoutes(), /via 10\.77\.0\.1/);
    assert.match(ourRoutes(), /192\.0\.2\.0\/24/);
  });
});
