// Start of day, memory, and single changes: graph and dataplane together, into a real kernel.

import { type PerformanceEntry, PerformanceObserver, performance } from 'node:perf_hooks';
import { createCalcGraph, type RawUpdate } from '../../../felix/calc/graph.ts';
import { keepHeapSmall } from '../../../runtime/heap.ts';
import { Cluster, type ClusterSize } from '../calc/cluster.ts';
import { entry } from '../calc/world.ts';
import { BenchNode, cpuSecSince, percentiles } from './node.ts';
import type { Row, Section } from './policy.ts';

/** Half of all apps have these roles. */
const crowdPolicy = entry('GlobalNetworkPolicy', 'crowd', {
  spec: {
    order: 1000,
    selector: 'all()',
    ingress: [{ action: 'Allow', source: { selector: "role in { 'frontend', 'backend' }" } }],
  },
});

export async function measureChanges(size: ClusterSize, rounds: number): Promise<Section> {
  const node = new BenchNode('tw-dataplane-bench');
  try {
    return await measure(node, size, rounds);
  } finally {
    await node.remove();
  }
}

async function measure(node: BenchNode, size: ClusterSize, rounds: number): Promise<Section> {
  // As the felix child of twill-node does.
  keepHeapSmall();
  const cluster = new Cluster(size, 1);
  const graph = createCalcGraph({ nodeName: 'here' });
  await node.felix.dataplane.start();
  let calcMs = 0;
  let calcCpuSec = 0;
  const timed = <T>(work: () => T): T => {
    const started = performance.now();
    const cpu = process.cpuUsage();
    const result = work();
    calcMs += performance.now() - started;
    calcCpuSec += cpuSecSince(cpu);
    return result;
  };
  // Generating the cluster is not part of the start of day.
  for (const page of cluster.pages()) timed(() => graph.onUpdates(page));
  const first = timed(() => {
    graph.onInSync();
    return graph.flush();
  });
  node.makeInterfaces(first);
  const applyCpu = process.cpuUsage();
  const applyMs = await node.apply(first);
  const applyCpuSec = cpuSecSince(applyCpu);
  const residentMiB = process.memoryUsage().rss / 2 ** 20;
  const { policies, ipSets, endpoints, routes } = node.felix.dataplane.status();
  const members = first.reduce((sum, update) => sum + (update.kind === 'ip-set' ? update.members.length : 0), 0);

  const rows: Row[] = [
    { what: 'start of day, calculation', seen: wallAndCpu(calcMs, calcCpuSec) },
    { what: 'start of day, first complete apply to the kernel', seen: wallAndCpu(applyMs, applyCpuSec) },
    {
      what: 'start of day, both',
      seen: wallAndCpu(calcMs + applyMs, calcCpuSec + applyCpuSec),
      aim: 'under 10 s',
    },
    {
      what: 'resident memory after it (benchmark included)',
      seen: `${residentMiB.toFixed(0)} MiB`,
      aim: 'under 600 MiB',
    },
    {
      what: 'in the kernel then',
      seen: `${endpoints} endpoints, ${policies} policies and profiles, ${ipSets} IP sets with ${members} members, ${routes} routes`,
    },
  ];

  let revision = 10;
  const change = async (what: string, updates: (round: number) => readonly RawUpdate[]): Promise<void> => {
    const times: { readonly start: number; readonly ms: number }[] = [];
    const pauses = new GcPauses();
    let reached = 0;
    for (let round = 0; round < rounds; round++) {
      const raw = updates(round);
      const started = performance.now();
      graph.onUpdates(raw);
      const flushed = graph.flush();
      if (flushed.length > 0) {
        node.makeInterfaces([]);
        await node.apply(flushed);
        reached++;
      }
      times.push({ start: started, ms: performance.now() - started });
      // What comes next must not wait for our own pause after an apply.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const { p50, p99 } = percentiles(times.map(({ ms }) => ms));
    const collected = await pauses.end();
    const alone = percentiles(times.map(({ start, ms }) => ms - collected(start, start + ms)));
    const share = `${Math.round((100 * reached) / rounds)} % reach this node`;
    rows.push({
      what: `${what}: kernel updated (${share})`,
      seen: `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms (${alone.p99.toFixed(2)} ms without garbage collection)`,
      aim: 'p50 under 5 ms, p99 under 20 ms',
    });
  };
  const put = ([key, value]: readonly [string, string]): RawUpdate => ({ key, value, revision: ++revision });
  // Namespaces of local endpoints: those that this node's policies look at.
  const near = (round: number): number => size.endpoints - (size.endpoints % size.namespaces) + (round % 200);
  await change('one remote endpoint more', (round) => [put(cluster.endpoint(near(round) + size.namespaces * round))]);
  await change('labels of one remote endpoint', (round) => [
    put(cluster.endpoint(size.namespaces * 4 + (round % 200), round % 2 === 0)),
  ]);
  await change('one rule of one policy', (round) => [put(cluster.policy(round % 200, 9000 + round))]);
  await change('one policy gone, and back', (round) => {
    const [key, value] = cluster.policy((round >> 1) % 200);
    return [{ key, value: round % 2 === 0 ? undefined : value, revision: ++revision }];
  });
  await change('one network set', (round) => [put(cluster.networkSet(round))]);
  const crowdMs = await (async () => {
    const started = performance.now();
    graph.onUpdates([put(crowdPolicy)]);
    await node.apply(graph.flush());
    return performance.now() - started;
  })();
  const crowd = Math.floor(size.endpoints / 2).toLocaleString('en');
  rows.push({
    what: `a policy whose rule selects ${crowd} endpoints: kernel updated`,
    seen: `${crowdMs.toFixed(0)} ms`,
  });
  // Of the first app in its namespace, which has one of the roles.
  const apart = 8 * size.namespaces;
  const next = Math.ceil(size.endpoints / apart) * apart;
  await change('one endpoint more of those', (round) => [put(cluster.endpoint(next + round))]);
  if (node.felix.dataplane.status().lastError !== '') throw new Error(node.felix.dataplane.status().lastError);
  return {
    title: `${size.endpoints} endpoints (${size.localEndpoints} local), ${size.policies} policies, ${size.networkSets} network sets`,
    about:
      'The calculation graph and the dataplane in one process; the kernel is a network namespace with an interface for each local endpoint. A change is timed from the datastore’s event to the end of the netlink transaction.',
    rows,
  };
}

/** When the garbage collector held everything up: the benchmark makes more garbage than an agent does. */
class GcPauses {
  private readonly pauses: PerformanceEntry[] = [];
  private readonly observer = new PerformanceObserver((list) => this.pauses.push(...list.getEntries()));

  constructor() {
    this.observer.observe({ entryTypes: ['gc'] });
  }

  /** Milliseconds of pauses between two points in time. */
  async end(): Promise<(start: number, end: number) => number> {
    // Entries are delivered a turn later.
    await new Promise((resolve) => setTimeout(resolve, 50));
    this.observer.disconnect();
    return (start, end) =>
      this.pauses.reduce((sum, { startTime, duration }) => {
        return sum + Math.max(0, Math.min(end, startTime + duration) - Math.max(start, startTime));
      }, 0);
  }
}

/** The processor's time, of all threads and of the kernel for us, holds on a machine with other work; the clock's does not. */
const wallAndCpu = (wallMs: number, cpuSec: number): string =>
  `${(wallMs / 1000).toFixed(2)} s (${cpuSec.toFixed(2)} s of processor time)`;
