// What a packet pays: connections a second and packets a second between two pods of one node, with little and with much
// policy around them, and with the same rules laid out one by one.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CalcRule, CalcUpdate } from '../../../felix/calc/output.ts';
import { type Felix, type Pod, sh, TestNode, until } from '../../system/felix/node.ts';
import { inSync, policyUpdate, port, prefix, profileUpdate, rule, tier, workload } from '../updates.ts';
import { manyPolicies } from './edits.ts';
import type { Row, Section } from './policy.ts';

const source = fileURLToPath(new URL('./connections.c', import.meta.url));
const servicePort = 8080;
const measured = 'NetworkPolicy/ns/measured';

interface Rates {
  readonly connections: number;
  readonly packets: number;
}

export async function measureDataPath(seconds: number): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'twill-bench-'));
  const node = new TestNode();
  try {
    const program = join(folder, 'connections');
    execFileSync('cc', ['-O2', '-o', program, source]);
    return await measure(node, program, seconds);
  } finally {
    await node.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(node: TestNode, program: string, seconds: number): Promise<Section> {
  const client = node.addPod('client', 1);
  const server = node.addPod('server', 2);
  const felix = await node.startFelix();
  await apply(felix, [
    profileUpdate('open', [rule('allow')], [rule('allow')]),
    policyUpdate(measured, { ingress: [allowed] }),
    ...[client, server].map(endpoint),
    inSync,
  ]);
  const rates = (): Promise<Rates> => measureRates(program, client, server, seconds);
  await rates(); // Warm caches, ARP, and the processor.
  const rows: Row[] = [];
  const row = (what: string, seen: Rates, base: Rates): void => {
    const percent = (a: number, b: number): string => `${a >= b ? '+' : ''}${((100 * a) / b - 100).toFixed(1)} %`;
    rows.push({
      what,
      seen: `${seen.connections.toFixed(0)} connections/s (${percent(seen.connections, base.connections)}), ${(seen.packets / 1000).toFixed(0)}k packets/s (${percent(seen.packets, base.packets)})`,
      aim: seen === base ? '' : 'within 10 %',
    });
  };
  const base = await rates();
  row('1 policy of 1 rule, 2 endpoints', base, base);

  await apply(felix, [policyUpdate(measured, { ingress: manyRules })]);
  row('1 policy of 5,000 rules, the last one matches', await rates(), base);
  const slow = await withRulesOneByOne(node, rates);
  row('the same 5,000 rules one by one, as iptables-style agents do', slow, base);
  await apply(felix, [policyUpdate(measured, { ingress: [allowed] })]);

  await apply(felix, [...manyPolicies(10_000), ...Array.from({ length: 200 }, (_, i) => bystander(i))]);
  row('10,000 policies in the kernel, 200 endpoints with 50 each', await rates(), base);
  await apply(felix, [...Array.from({ length: 1000 }, (_, i) => bystander(i, 1))]);
  row('10,000 policies and 1,000 endpoints', await rates(), base);
  const again = await withoutPolicy(node, rates);
  row('no rules at all, for comparison', again, base);
  return {
    title: 'Data path between two pods of one node',
    about: `TCP connections one after the other from one process (connect, close), and small UDP packets of one flow as received; ${seconds} s each, median of 3. A flow’s first packet meets policy, the others end at the first rule.`,
    rows: rows.map((one, i) => (i === 2 || i === 5 ? { what: one.what, seen: one.seen } : one)),
  };
}

const allowed = rule('allow', { protocol: 6, destination: { ports: [port(servicePort)] } });
const allowedUdp = rule('allow', { protocol: 17, destination: { ports: [port(servicePort)] } });

/** 4,998 that do not match, and at the end the two that do. */
const manyRules: readonly CalcRule[] = [
  ...Array.from({ length: 4998 }, (_, i) =>
    rule('allow', {
      protocol: 6,
      source: { prefixes: [prefix(`172.${16 + (i >> 8)}.${i & 255}.0/24`)] },
      destination: { ports: [port(servicePort)] },
    }),
  ),
  allowed,
  allowedUdp,
];

const endpoint = (pod: Pod): CalcUpdate =>
  workload(`ns/${pod.name}`, pod.interfaceName, pod.addresses, {
    profiles: ['open'],
    tiers: pod.name === 'server' ? [tier([measured], [])] : [],
  });

/** An endpoint that has policies and no traffic; its interface does not exist, which its rules do not mind. */
const bystander = (i: number, policies = 50): CalcUpdate =>
  workload(`ns/bystander-${i}`, `caliby${i}`, [`10.65.${16 + (i >> 8)}.${i & 255}`], {
    profiles: ['open'],
    tiers: [
      tier(
        Array.from({ length: policies }, (_, k) => `NetworkPolicy/ns/policy-${(i * 50 + k) % 10_000}`),
        [],
      ),
    ],
  });

async function apply(felix: Felix, updates: readonly CalcUpdate[]): Promise<void> {
  for (const update of updates) felix.dataplane.onUpdate(update);
  await felix.dataplane.settled();
  const { lastError } = felix.dataplane.status();
  if (lastError !== '') throw new Error(lastError);
}

async function measureRates(program: string, client: Pod, server: Pod, seconds: number): Promise<Rates> {
  const run = (mode: 'connect' | 'send'): Promise<number> =>
    output(spawn('ip', ['netns', 'exec', client.netns, program, mode, '10.65.0.2', `${servicePort}`, `${seconds}`]));
  const connections: number[] = [];
  const packets: number[] = [];
  for (let i = 0; i < 3; i++) {
    const serving = spawn('ip', ['netns', 'exec', server.netns, program, 'serve', `${servicePort}`]);
    let printed = '';
    serving.stdout.on('data', (chunk) => {
      printed += String(chunk);
    });
    await until('the server is ready', () => printed.includes('ready'));
    connections.push((await run('connect')) / seconds);
    await run('send');
    const ended = new Promise((resolve) => serving.once('exit', resolve));
    sh(`kill $(ip netns pids ${server.netns})`);
    await ended;
    packets.push(Number(printed.split('\n')[1]) / seconds);
  }
  return { connections: median(connections), packets: median(packets) };
}

function output(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    child.once('error', reject);
    child.once('close', () => resolve(Number(text)));
  });
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** The policy's chain with a rule for each rule; felix is stopped meanwhile, or it would put it right. */
async function withRulesOneByOne(node: TestNode, rates: () => Promise<Rates>): Promise<Rates> {
  const chain = `inet twill ingress/${measured}`;
  const lines = manyRules.map(({ protocol, source: { prefixes } }) => {
    const [net] = prefixes;
    const from = net
      ? `ip saddr 172.${(Number(net.address) >>> 16) & 255}.${(Number(net.address) >>> 8) & 255}.0/24 `
      : '';
    return `add rule ${chain} ${from}meta l4proto ${protocol} th dport ${servicePort} counter accept`;
  });
  node.pauseFelix(true);
  try {
    execFileSync('ip', ['netns', 'exec', node.name, 'nft', '-f', '-'], {
      input: `flush chain ${chain}\n${lines.join('\n')}\n`,
    });
    return await rates();
  } finally {
    node.pauseFelix(false);
  }
}

async function withoutPolicy(node: TestNode, rates: () => Promise<Rates>): Promise<Rates> {
  node.pauseFelix(true);
  sh(`ip netns exec ${node.name} nft delete table inet twill`);
  return rates();
}
