// Measures the calculation graph with a large cluster: start of day, memory, and the cost of one change.
//
//   npm run bench:calc [-- --endpoints 250000 --seed 1]

import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { createCalcGraph, type RawUpdate } from '../../../felix/calc/graph.ts';
import { Cluster, largeCluster } from './cluster.ts';
import { key } from './world.ts';

const { values } = parseArgs({
  options: { endpoints: { type: 'string' }, seed: { type: 'string' }, rounds: { type: 'string' } },
});
const size = { ...largeCluster, endpoints: Number(values.endpoints ?? largeCluster.endpoints) };
const cluster = new Cluster(size, Number(values.seed ?? 1));
const rounds = Number(values.rounds ?? 300);

const heapMiB = (): number => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

const before = heapMiB();
const graph = createCalcGraph({ nodeName: 'here' });
let generatingMs = 0;
const start = performance.now();
const startCpu = process.cpuUsage();
let mark = start;
for (const page of cluster.pages()) {
  generatingMs += performance.now() - mark;
  graph.onUpdates(page);
  mark = performance.now();
}
graph.onInSync();
const first = graph.flush();
const startMs = performance.now() - start - generatingMs;
const { user, system } = process.cpuUsage(startCpu);
const counts = new Map<string, number>();
let members = 0;
for (const update of first) {
  counts.set(update.kind, (counts.get(update.kind) ?? 0) + 1);
  if (update.kind === 'ip-set') members += update.members.length;
}
console.log(
  `start of day    ${(startMs / 1000).toFixed(2)} s, of which flush ${(performance.now() - mark).toFixed(0)} ms`,
);
// Beside other work the processor's time says more; it includes making the cluster.
console.log(
  `processor time  ${((user + system) / 1e6).toFixed(2)} s, ${(generatingMs / 1000).toFixed(2)} s of it to make the cluster`,
);
console.log(`first flush     ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}; ${members} members`);
first.length === 0 || console.log(`heap            ${(heapMiB() - before).toFixed(0)} MiB`);
if (graph.faults.size > 0) console.log('faults          ', graph.faults.size, [...graph.faults][0]);

function measure(what: string, change: (round: number) => RawUpdate[]): void {
  const times: number[] = [];
  let updates = 0;
  for (let round = 0; round < rounds; round++) {
    const raw = change(round);
    const from = performance.now();
    graph.onUpdates(raw);
    updates += graph.flush().length;
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): string => (times[Math.floor(times.length * part)] ?? 0).toFixed(3);
  console.log(`${what.padEnd(36)} p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  ${(updates / rounds).toFixed(1)} updates`);
}

const update = ([at, value]: readonly [string, string]): RawUpdate => ({ key: at, value, revision: 2 });

measure('one remote endpoint more', (i) => [update(cluster.endpoint(size.endpoints + i))]);
measure('one remote endpoint less', (i) => [
  { key: cluster.endpoint(size.endpoints + i)[0], value: undefined, revision: 3 },
]);
measure('labels of one remote endpoint', (i) => [update(cluster.endpoint(cluster.anyEndpoint(), i % 2 === 0))]);
measure('one rule of one policy', (i) => [update(cluster.policy(i, 9000 + i))]);
measure('one global policy', (i) => [update(cluster.globalPolicy(i % 100))]);
measure('one policy gone and back', (i) => [
  { key: cluster.policy(i)[0], value: undefined, revision: 4 },
  update(cluster.policy(i)),
]);
measure('one network set', (i) => [update(cluster.networkSet(i))]);
measure('labels of one namespace', (i) => [
  {
    key: key('Profile', `kns.ns-${i}`),
    value: JSON.stringify({
      kind: 'Profile',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: `kns.ns-${i}` },
      spec: { labelsToApply: { 'pcns.projectcalico.org/name': `ns-${i}`, 'pcns.team': `team-${i % 3}` } },
    }),
    revision: 5,
  },
]);
