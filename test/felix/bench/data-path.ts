// What a packet pays: connections a second and packets a second between two pods of one node, with little and with much
// policy around them, and with the same rules laid out one by one.
//
//   a node of its own for each scene ─┐
//   the plain node ───────────────────┴─► short measurements in turns: plain, scene, plain, next scene, plain, …
//
// A machine is never quite the same for long, so what is compared lies milliseconds apart, and the median of many such
// comparisons counts.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CalcRule, CalcUpdate } from '../../../felix/calc/output.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import { type Felix, type Pod, sh, TestNode, until } from '../../system/felix/node.ts';
import { inSync, ipSet, policyUpdate, port, prefix, profileUpdate, rule, tier, workload } from '../updates.ts';
import { address, manyPolicies, policyName } from './edits.ts';
import type { Row, Section } from './policy.ts';

const source = fileURLToPath(new URL('./connections.c', import.meta.url));
const servicePort = 8080;
const measured = 'NetworkPolicy/ns/measured';
const aim = 'within 10 %';

const modes = ['connect', 'flow', 'oneway'] as const;
type Mode = (typeof modes)[number];

/** What one measurement gives. */
interface Load {
  readonly perSecond: number;
  readonly cpuUsEach: number;
}

/** A state of a node, to be compared with the plain one. */
interface Scene {
  readonly what: string;
  readonly aim?: string;
  readonly updates: readonly CalcUpdate[];
  /** The policies of the server; the measured one alone when absent. */
  readonly policies?: readonly string[];
  /** After felix has brought it about. */
  readonly byHand?: (node: TestNode) => void;
}

/** A measurement in a scene, and those of the plain node right before and after it. */
interface Comparison {
  readonly seen: Load;
  readonly around: readonly [Load, Load];
}

export async function measureDataPath(rounds: number, seconds: number): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'twill-bench-'));
  const sites: Site[] = [];
  try {
    const program = join(folder, 'connections');
    execFileSync('cc', ['-O2', '-o', program, source]);
    const plain = await Site.build(program, plainScene);
    sites.push(plain);
    const rows: Row[] = [];
    const compared: { readonly scene: Scene; readonly site: Site }[] = [];
    for (const scene of scenes) {
      const site = await Site.build(program, scene);
      sites.push(site);
      compared.push({ scene, site });
    }
    const comparisons = await takeTurns(plain, sites.slice(1), rounds, seconds);
    for (const { scene, site } of compared) rows.push(rowOf(scene, comparisons.get(site) ?? new Map()));
    return {
      title: 'Data path between two pods of one node',
      about: `Each scene, a node of its own, against a node with one policy of two rules and two endpoints: TCP connections one after the other (connect, close), small UDP packets of a flow that was answered, and of one that never was. The first packet of a flow meets policy, and so does every packet of a flow that nobody answers; the others end at the first rule. ${rounds} rounds, in which every measurement of ${seconds * 1000} ms lies between two of the plain node; shown is the median of the ratios, and of the processor time for each.`,
      rows,
    };
  } finally {
    for (const site of sites) await site.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function takeTurns(
  plain: Site,
  others: readonly Site[],
  rounds: number,
  seconds: number,
): Promise<Map<Site, Map<Mode, Comparison[]>>> {
  const comparisons = new Map<Site, Map<Mode, Comparison[]>>();
  for (const site of others) comparisons.set(site, new Map(modes.map((mode) => [mode, []])));
  // The first round warms caches, neighbours and the processor.
  for (let round = -1; round < rounds; round++) {
    for (const mode of modes) {
      let before = await plain.load(mode, seconds);
      for (const site of others) {
        const seen = await site.load(mode, seconds);
        const after = await plain.load(mode, seconds);
        if (round >= 0)
          comparisons
            .get(site)
            ?.get(mode)
            ?.push({ seen, around: [before, after] });
        before = after;
      }
    }
  }
  return comparisons;
}

function rowOf({ what, aim }: Scene, comparisons: ReadonlyMap<Mode, readonly Comparison[]>): Row {
  const part = (mode: Mode, unit: string): string => {
    const list = comparisons.get(mode) ?? [];
    const change = (pick: (load: Load) => number): string => {
      const percent =
        100 * median(list.map(({ seen, around: [a, b] }) => (2 * pick(seen)) / (pick(a) + pick(b)))) - 100;
      return `${percent >= 0 ? '+' : ''}${percent.toFixed(1)} %`;
    };
    const rate = median(list.map(({ seen }) => seen.perSecond));
    const cpu = median(list.map(({ seen }) => seen.cpuUsEach));
    const digits = cpu < 20 ? 2 : 1;
    return `${(rate / 1000).toFixed(rate < 100_000 ? 1 : 0)}k ${unit}/s (${change(({ perSecond }) => perSecond)}), ${cpu.toFixed(digits)} µs each (${change(({ cpuUsEach }) => cpuUsEach)})`;
  };
  const seen = [
    part('connect', 'connections'),
    part('flow', 'packets'),
    `never answered: ${part('oneway', 'packets')}`,
  ].join('; ');
  return { what, seen, ...(aim && { aim }) };
}

/** A node with two pods, and the load between them. */
class Site {
  private readonly node: TestNode;
  private readonly children: ChildProcess[] = [];
  private answers: AsyncIterator<string> | undefined;
  private loader: ChildProcess | undefined;

  private constructor(node: TestNode) {
    this.node = node;
  }

  static async build(program: string, scene: Scene): Promise<Site> {
    const node = new TestNode();
    const site = new Site(node);
    try {
      const client = node.addPod('client', 1);
      const server = node.addPod('server', 2);
      // One scene removes the table, another writes rules by hand: nobody must mind.
      const felix = await node.startFelix({ ownTable: false, events: false });
      await apply(felix, [
        profileUpdate('open', [rule('allow')], [rule('allow')]),
        policyUpdate(measured, { ingress: [allowed, allowedUdp] }),
        ...scene.updates,
        endpoint(client, []),
        endpoint(server, scene.policies ?? [measured]),
        inSync,
      ]);
      scene.byHand?.(node);
      await site.start(program, client, server);
      return site;
    } catch (error) {
      await site.remove();
      throw error;
    }
  }

  /** One measurement. */
  async load(mode: Mode, seconds: number): Promise<Load> {
    this.loader?.stdin?.write(`${mode} ${seconds}\n`);
    const { value } = (await this.answers?.next()) ?? { value: '' };
    const [count = 0, cpuUs = 0] = String(value).split(' ').map(Number);
    if (!(count > 0)) throw new Error(`nothing got through: ${mode}`);
    return { perSecond: count / seconds, cpuUsEach: cpuUs / count };
  }

  async remove(): Promise<void> {
    for (const child of this.children) child.kill('SIGKILL');
    await this.node.remove();
  }

  private async start(program: string, client: Pod, server: Pod): Promise<void> {
    const run = ({ netns }: Pod, ...args: string[]): ChildProcess => {
      const child = spawn('ip', ['netns', 'exec', netns, program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
      this.children.push(child);
      return child;
    };
    const serving = run(server, 'serve', `${servicePort}`);
    let printed = '';
    serving.stdout?.on('data', (chunk) => {
      printed += String(chunk);
    });
    await until('the server is ready', () => printed.includes('ready'));
    const loader = run(client, 'load', '10.65.0.2', `${servicePort}`);
    if (!loader.stdout) throw new Error('no output of the load');
    this.loader = loader;
    this.answers = createInterface({ input: loader.stdout })[Symbol.asyncIterator]();
  }
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

const endpoint = (pod: Pod, policies: readonly string[]): CalcUpdate =>
  workload(`ns/${pod.name}`, pod.interfaceName, pod.addresses, {
    profiles: ['open'],
    tiers: policies.length > 0 ? [tier(policies, [])] : [],
  });

/** An endpoint that has policies and no traffic; its interface does not exist, which its rules do not mind. */
const bystander = (i: number, policies: number): CalcUpdate =>
  workload(`ns/bystander-${i}`, `caliby${i}`, [`10.65.${16 + (i >> 8)}.${i & 255}`], {
    profiles: ['open'],
    tiers: [
      tier(
        Array.from({ length: policies }, (_, k) => policyName((i * 50 + k) % 10_000)),
        [],
      ),
    ],
  });

const bystanders = (count: number, policies: number): CalcUpdate[] =>
  Array.from({ length: count }, (_, i) => bystander(i, policies));

/** The client is one of very many. */
const crowd = ipSet('s:crowd', '10.65.0.1', ...Array.from({ length: 99_999 }, (_, i) => address((128 << 16) + i)));

const plainScene: Scene = { what: 'one policy of two rules', updates: [] };

const scenes: readonly Scene[] = [
  { what: 'the same on another node', updates: [] },
  {
    what: 'a policy of 5,000 rules, the last of which match',
    aim,
    updates: [policyUpdate(measured, { ingress: manyRules })],
  },
  {
    what: 'those 5,000 rules one by one, as iptables-style agents do',
    updates: [policyUpdate(measured, { ingress: manyRules })],
    byHand: layOutOneByOne,
  },
  { what: '1,000 endpoints', aim, updates: bystanders(1000, 0) },
  {
    what: '10,000 policies in the kernel, 200 endpoints with 50 of them each',
    aim,
    updates: [...manyPolicies(10_000), ...bystanders(200, 50)],
  },
  {
    what: '10,000 policies in the kernel, 1,000 endpoints with 50 of them each',
    aim,
    updates: [...manyPolicies(10_000), ...bystanders(1000, 50)],
  },
  {
    what: 'a rule whose selector matches 100,000 endpoints',
    aim,
    updates: [
      crowd,
      policyUpdate(measured, {
        ingress: [allowed, allowedUdp].map((one) => ({ ...one, source: { ...one.source, ipSets: ['s:crowd'] } })),
      }),
    ],
  },
  {
    what: '1,000 policies select the server, the last of them allows',
    updates: manyPolicies(999),
    policies: [...Array.from({ length: 999 }, (_, i) => policyName(i)), measured],
  },
  {
    what: 'no rules of ours at all',
    updates: [],
    byHand: (node) => sh(`ip netns exec ${node.name} nft delete table inet twill`),
  },
];

async function apply(felix: Felix, updates: readonly CalcUpdate[]): Promise<void> {
  for (const update of updates) felix.dataplane.onUpdate(update);
  await felix.dataplane.settled();
  const { lastError } = felix.dataplane.status();
  if (lastError !== '') throw new Error(lastError);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** The policy's chain with a rule for each rule. */
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
