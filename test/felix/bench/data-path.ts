// What a packet pays: connections a second and packets a second between two pods of one node, with little and with much
// policy around them, and with the same rules laid out one by one.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CalcRule, CalcUpdate } from '../../../felix/calc/output.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import { type Felix, type Pod, sh, TestNode, until } from '../../system/felix/node.ts';
import { inSync, policyUpdate, port, prefix, profileUpdate, rule, tier, workload } from '../updates.ts';
import { manyPolicies } from './edits.ts';
import type { Row, Section } from './policy.ts';

const source = fileURLToPath(new URL('./connections.c', import.meta.url));
const servicePort = 8080;
const measured = 'NetworkPolicy/ns/measured';

/** What one run of the load gives. */
interface Load {
  readonly perSecond: number;
  readonly cpuUsEach: number;
}

interface Rates {
  readonly connections: Load;
  readonly packets: Load;
}

/** A state of the node to compare with the plain one: how to get there, and back. */
interface Scene {
  readonly what: string;
  readonly aim?: string;
  /** `each`: entered and left again and again. `once`: getting there takes long. */
  readonly entered: 'each' | 'once';
  readonly enter: () => Promise<void>;
  readonly leave: () => Promise<void>;
}

/** A measurement in a scene, and those in the plain state right before and after it. */
interface Comparison {
  readonly seen: Rates;
  readonly around: readonly Rates[];
}

const rounds = 5;

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
  // One scene removes the table, another writes rules by hand.
  const felix = await node.startFelix({ ownTable: false });
  const plain = policyUpdate(measured, { ingress: [allowed, allowedUdp] });
  await apply(felix, [
    profileUpdate('open', [rule('allow')], [rule('allow')]),
    plain,
    ...[client, server].map(endpoint),
    inSync,
  ]);
  const rates = (times: number): Promise<Rates> => measureRates(program, client, seconds, times);
  await startServer(program, server);
  await rates(1); // Warm caches, ARP, and the processor.
  const rows: Row[] = [];
  for (const scene of scenes(node, felix, plain)) {
    rows.push(rowOf(scene, await compare(scene, rates)));
  }
  return {
    title: 'Data path between two pods of one node',
    about: `Each scene against one policy of two rules and two endpoints: TCP connections one after the other (connect, close), and small UDP packets of one flow; ${seconds} s each. Scene and plain state take turns, ${rounds} times, so that what else the machine does is in both, and the median of the ${rounds} ratios is shown; where getting there takes long, ${rounds} measurements before, in and after it. A flow’s first packet meets policy, the others end at the first rule. Processor time is steadier than the rate on a machine with other work.`,
    rows,
  };
}

/** The machine is never quite the same: what is compared is close together in time. */
async function compare(scene: Scene, rates: (times: number) => Promise<Rates>): Promise<readonly Comparison[]> {
  const comparisons: Comparison[] = [];
  const times = scene.entered === 'each' ? 1 : rounds;
  let before = await rates(times);
  for (let round = 0; round < (scene.entered === 'each' ? rounds : 1); round++) {
    await scene.enter();
    const seen = await rates(times);
    await scene.leave();
    const after = await rates(times);
    comparisons.push({ seen, around: [before, after] });
    before = after;
  }
  return comparisons;
}

function scenes(node: TestNode, felix: Felix, plain: CalcUpdate): Scene[] {
  const back = (): Promise<void> => apply(felix, [plain]);
  const bystanders = (count: number, policies: number, first = 0) =>
    Array.from({ length: count }, (_, i) => bystander(first + i, policies));
  const gone = (count: number, first = 0): CalcUpdate[] =>
    Array.from({ length: count }, (_, i) => ({ kind: 'workload-removed', id: `ns/bystander-${first + i}` }));
  const aim = 'within 10 %';
  return [
    { what: 'the same once more', entered: 'each', enter: back, leave: back },
    {
      what: 'a policy of 5,000 rules, the last of which match',
      entered: 'each',
      aim,
      enter: () => apply(felix, [policyUpdate(measured, { ingress: manyRules })]),
      leave: back,
    },
    {
      what: 'those 5,000 rules one by one, as iptables-style agents do',
      entered: 'once',
      enter: async () => {
        await apply(felix, [policyUpdate(measured, { ingress: manyRules })]);
        node.pauseFelix(true);
        layOutOneByOne(node);
      },
      leave: async () => {
        node.pauseFelix(false);
        await back();
      },
    },
    {
      what: '1,000 endpoints',
      entered: 'each',
      aim,
      enter: () => apply(felix, bystanders(1000, 0)),
      leave: () => apply(felix, gone(1000)),
    },
    {
      what: '10,000 policies in the kernel, 200 endpoints with 50 of them each',
      entered: 'once',
      aim,
      enter: () => apply(felix, [...manyPolicies(10_000), ...bystanders(200, 50)]),
      leave: async () => {},
    },
    {
      what: '1,000 endpoints more, beside these',
      entered: 'each',
      aim,
      enter: () => apply(felix, bystanders(1000, 1, 200)),
      leave: () => apply(felix, gone(1000, 200)),
    },
    {
      what: 'no rules of ours at all',
      entered: 'once',
      enter: async () => {
        node.pauseFelix(true);
        sh(`ip netns exec ${node.name} nft delete table inet twill`);
      },
      leave: async () => node.pauseFelix(false),
    },
  ];
}

function rowOf({ what, aim }: Scene, comparisons: readonly Comparison[]): Row {
  const part = (pick: (rates: Rates) => number, text: (value: number) => string): string => {
    const ratios = comparisons.map(({ seen, around }) => {
      const base = around.reduce((sum, rates) => sum + pick(rates), 0) / around.length;
      return pick(seen) / base;
    });
    const percent = 100 * median(ratios) - 100;
    return `${text(median(comparisons.map(({ seen }) => pick(seen))))} (${percent >= 0 ? '+' : ''}${percent.toFixed(1)} %)`;
  };
  const text = [
    part(
      ({ connections }) => connections.perSecond,
      (value) => `${value.toFixed(0)} connections/s`,
    ),
    part(
      ({ connections }) => connections.cpuUsEach,
      (value) => `${value.toFixed(1)} µs each`,
    ),
    part(
      ({ packets }) => packets.perSecond,
      (value) => `${(value / 1000).toFixed(0)}k packets/s`,
    ),
    part(
      ({ packets }) => packets.cpuUsEach,
      (value) => `${value.toFixed(2)} µs each`,
    ),
  ];
  return { what, seen: text.join(', '), ...(aim && { aim }) };
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

async function measureRates(program: string, client: Pod, seconds: number, times: number): Promise<Rates> {
  const run = async (mode: 'connect' | 'send'): Promise<Load> => {
    const args = ['netns', 'exec', client.netns, program, mode, '10.65.0.2', `${servicePort}`, `${seconds}`];
    const load = await loadOf(spawn('ip', args), seconds);
    if (!(load.perSecond > 0)) throw new Error('nothing got through');
    return load;
  };
  const connections: Load[] = [];
  const packets: Load[] = [];
  for (let i = 0; i < times; i++) {
    connections.push(await run('connect'));
    packets.push(await run('send'));
  }
  return { connections: medianLoad(connections), packets: medianLoad(packets) };
}

/** Serves until it is killed with the node. */
async function startServer(program: string, { netns }: Pod): Promise<void> {
  const serving = spawn('ip', ['netns', 'exec', netns, program, 'serve', `${servicePort}`]);
  let printed = '';
  serving.stdout.on('data', (chunk) => {
    printed += String(chunk);
  });
  await until('the server is ready', () => printed.includes('ready'));
}

function loadOf(child: ChildProcess, seconds: number): Promise<Load> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    child.once('error', reject);
    child.once('close', () => {
      const [count = 0, cpuUs = 0] = text.split(' ').map(Number);
      resolve({ perSecond: count / seconds, cpuUsEach: cpuUs / count });
    });
  });
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

const medianLoad = (loads: readonly Load[]): Load => ({
  perSecond: median(loads.map((load) => load.perSecond)),
  cpuUsEach: median(loads.map((load) => load.cpuUsEach)),
});

/** The policy's chain with a rule for each rule. Felix must not hear of it, or it would put it right. */
function layOutOneByOne(node: TestNode): void {
  const chain = `inet twill ingress/${measured}`;
  const lines = manyRules.map(({ protocol, source: { prefixes } }) => {
    const [net] = prefixes;
    const from = net ? `ip saddr ${formatPrefix(net)} ` : '';
    return `add rule ${chain} ${from}meta l4proto ${protocol} th dport ${servicePort} counter accept`;
  });
  execFileSync('ip', ['netns', 'exec', node.name, 'nft', '-f', '-'], {
    input: `flush chain ${chain}\n${lines.join('\n')}\n`,
  });
}
