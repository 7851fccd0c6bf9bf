// Chaos: resources come, change and go at random, felix is killed at random moments, etcd is frozen and killed. All the
// while packets that are forbidden at every moment are sent, and none may arrive; at the end the kernel has exactly what
// a fresh calculation of the datastore's content renders.
//
// A failure prints its seed; SEED=<n> CHAOS_SEC=<n> repeats it, or runs longer.

import { strict as assert } from 'node:assert';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCalcGraph } from '../../../felix/calc/graph.ts';
import { surroundingsOf } from '../../../felix/dataplane/surroundings.ts';
import { DesiredTable } from '../../../felix/dataplane/table.ts';
import { readTable } from '../../../felix/nft/decode.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../linux/netlink/socket.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { callControl } from '../../../runtime/control.ts';
import { entry } from '../../felix/calc/world.ts';
import { TestNode, until } from './node.ts';
import { RandomWorld } from './random-world.ts';

const program = fileURLToPath(new URL('../../../agent/main.ts', import.meta.url));
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const seconds = Number(process.env['CHAOS_SEC'] ?? 8);
const forbiddenPort = 9999;

/** Denied before everything else, for all pods, at all times. */
const guard = [
  entry('ClusterInformation', 'default', { spec: { datastoreReady: true } }),
  entry('Tier', 'guard', { spec: { order: -1000, defaultAction: 'Pass' } }),
  entry('GlobalNetworkPolicy', 'guard', {
    spec: {
      tier: 'guard',
      selector: 'all()',
      types: ['Ingress'],
      ingress: [{ action: 'Deny', protocol: 'UDP', destination: { ports: [forbiddenPort] } }, { action: 'Pass' }],
    },
  }),
] as const;

describe('felix under chaos', function () {
  this.timeout(seconds * 1000 + 90_000);
  let node: TestNode;
  let folder: string;
  let etcd: ChildProcess;
  let felix: ChildProcess;
  const others: ChildProcess[] = [];

  before(() => {
    node = new TestNode();
    folder = mkdtempSync(join(tmpdir(), 'twill-chaos-'));
  });
  after(async () => {
    for (const child of [felix, etcd, ...others]) child?.kill('SIGKILL');
    await node.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const inside = (netns: string, command: string, args: readonly string[]): ChildProcess =>
    spawn('nsenter', [`--net=${netnsPath(netns)}`, command, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const startEtcd = (): ChildProcess => {
    const client = 'http://127.0.0.1:2379';
    const peer = 'http://127.0.0.1:2380';
    return inside(node.name, 'etcd', [
      ...['--data-dir', join(folder, 'etcd'), '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client, '--listen-peer-urls', peer],
    ]);
  };
  const startFelix = (): ChildProcess =>
    inside(node.name, process.execPath, [
      ...['--import', 'tsx', program, 'felix', '--node-name', 'here', '--run-dir', folder],
      ...['--etcd-endpoints', 'http://127.0.0.1:2379'],
    ]);
  const etcdctl = (args: readonly string[], input = ''): boolean => {
    try {
      const env = { ...process.env, ETCDCTL_API: '3' };
      execFileSync('ip', ['netns', 'exec', node.name, 'etcdctl', '--command-timeout=2s', ...args], {
        env,
        input,
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      return true;
    } catch {
      return false;
    }
  };

  /** Makes etcd's content that of the world. False when etcd did not take it. */
  const stored = new Map<string, string>();
  function store(wanted: ReadonlyMap<string, string>): boolean {
    const changes: string[] = [];
    for (const [key, value] of wanted) if (stored.get(key) !== value) changes.push(`put ${key} ${quote(value)}`);
    for (const key of stored.keys()) if (!wanted.has(key)) changes.push(`del ${key}`);
    for (let start = 0; start < changes.length; start += 100) {
      if (!etcdctl(['txn'], `\n${changes.slice(start, start + 100).join('\n')}\n\n\n`)) return false;
    }
    stored.clear();
    for (const [key, value] of wanted) stored.set(key, value);
    return true;
  }

  it(`lets no forbidden packet through, and ends in the right state (seed ${seed}, ${seconds} s)`, async () => {
    const pods = ['a', 'b', 'c', 'd'].map((name, i) => node.addPod(name, i + 1));
    const stranger = node.addPod('stranger', 99);
    const world = new RandomWorld(
      seed,
      pods.map(({ name, interfaceName, addresses }, i) => ({
        namespace: i < 2 ? 'n1' : 'n2',
        name,
        interfaceName,
        addresses: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      })),
      ['192.0.2.9/32', '2001:db8::9/128'],
    );
    const wanted = (): Map<string, string> => new Map([...guard, ...world.entries]);
    etcd = startEtcd();
    await until('etcd', () => etcdctl(['endpoint', 'health']), 15_000);
    assert.ok(store(wanted()));
    felix = startFelix();
    await until('felix is ready', isReady, 20_000);

    // Listeners on the forbidden port in every pod, and on any port for what a stranger sends.
    let arrived = '';
    for (const { netns, name } of pods) {
      const script = `const d=require('dgram').createSocket('udp6');d.on('message',(m,r)=>console.log('${name}',String(m),r.address));d.bind(${forbiddenPort});`;
      const listener = inside(netns, process.execPath, ['-e', script]);
      listener.stdout?.on('data', (chunk) => {
        arrived += String(chunk);
      });
      others.push(listener);
    }
    for (const netns of [node.outside, stranger.netns, ...pods.slice(0, 2).map((pod) => pod.netns)]) {
      // What a pod sends to itself does not leave it.
      const targets = JSON.stringify(pods.filter((pod) => pod.netns !== netns).flatMap(({ addresses }) => addresses));
      const script = `const c=require('dgram');const s={4:c.createSocket('udp4'),6:c.createSocket('udp6')};for(const k of [4,6])s[k].on('error',()=>{});setInterval(()=>{for(const t of ${targets})s[t.includes(':')?6:4].send('forbidden',${forbiddenPort},t,()=>{})},10)`;
      others.push(inside(netns, process.execPath, ['-e', script]));
    }

    const events = { steps: 0, kills: 0, freezes: 0, etcdKills: 0 };
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await pause(world.below(150));
      if (world.chance(0.7)) {
        world.step();
        if (store(wanted())) events.steps++;
      } else if (world.chance(0.6)) {
        felix.kill('SIGKILL');
        events.kills++;
        await pause(world.below(300));
        felix = startFelix();
      } else if (world.chance(0.5)) {
        etcd.kill('SIGSTOP');
        events.freezes++;
        await pause(world.below(1500));
        etcd.kill('SIGCONT');
      } else {
        etcd.kill('SIGKILL');
        events.etcdKills++;
        await pause(world.below(500));
        etcd = startEtcd();
        await until('etcd again', () => etcdctl(['endpoint', 'health']), 15_000);
      }
    }
    await until('the last changes are stored', () => store(wanted()), 20_000);
    await until('felix is ready again', isReady, 20_000);
    await until('the kernel has what a fresh start renders', () => difference(wanted()) === '', 15_000).catch(() => {
      assert.equal(difference(wanted()), '');
    });
    assert.equal(arrived, '', `forbidden packets arrived (seed ${seed}, ${JSON.stringify(events)})`);
    assert.ok(events.steps > 0, JSON.stringify(events));
  });

  async function isReady(): Promise<boolean> {
    try {
      const status = await callControl(join(folder, 'felix.sock'), '/v1/status', { timeoutMs: 500 });
      const { ready, datastore } = status as { ready: boolean; datastore: { status: string } };
      return ready && datastore.status === 'in-sync';
    } catch {
      return false;
    }
  }

  /** What a fresh start would still have to write. */
  function difference(entries: ReadonlyMap<string, string>): string {
    const graph = createCalcGraph({ nodeName: 'here' });
    graph.onUpdates([...entries].map(([key, value]) => ({ key, value, revision: 1 })));
    graph.onInSync();
    const table = new DesiredTable();
    const links = new Rtnetlink({ netns: netnsPath(node.name) });
    table.setInterfaces(surroundingsOf(links).interfaces);
    links.close();
    for (const update of graph.flush()) table.receive(update);
    table.render();
    const socket = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: netnsPath(node.name) });
    table.ruleset.rebase(readTable(socket));
    socket.close();
    return table.ruleset.pending().text();
  }
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** As etcdctl's transactions read words. */
const quote = (value: string): string => JSON.stringify(value);
