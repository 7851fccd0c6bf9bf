// What the periodic comparison with the kernel costs with very many sets, and whether it is in the way of an edit.

import { performance } from 'node:perf_hooks';
import { inSync, profileUpdate, rule, tier, workload } from '../updates.ts';
import { editedPolicy, manyPolicies, policyName } from './edits.ts';
import { BenchNode, cpuSecSince, percentiles } from './node.ts';
import type { Section } from './policy.ts';

export async function measureAudit(policies: number, rounds: number): Promise<Section> {
  const node = new BenchNode('tw-dataplane-bench');
  const { dataplane } = node.felix;
  try {
    await dataplane.start();
    const used = Array.from({ length: policies }, (_, i) => policyName(i));
    const pod = workload('ns/pod', 'cali0', ['10.200.0.1'], { profiles: ['open'], tiers: [tier(used, [])] });
    node.makeInterfaces([pod]);
    await node.apply([profileUpdate('open', [rule('allow')], [rule('allow')]), ...manyPolicies(policies), pod, inSync]);
    const { lastError, repairs } = dataplane.status();
    if (lastError !== '') throw new Error(lastError);

    const stalls = new Stalls();
    const cpu = process.cpuUsage();
    const durations: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const started = performance.now();
      dataplane.requestAudit();
      await dataplane.settled();
      durations.push(performance.now() - started);
    }
    const cpuSec = cpuSecSince(cpu) / rounds;
    const longestStallMs = stalls.end();
    const edits: number[] = [];
    for (let i = 0; i < rounds * 5; i++) {
      dataplane.requestAudit();
      // So that it has begun.
      await new Promise((resolve) => setTimeout(resolve, 20));
      const { applies } = dataplane.status();
      const started = performance.now();
      dataplane.onUpdate(editedPolicy(i, 1000 + i));
      while (dataplane.status().applies === applies) await new Promise(setImmediate);
      edits.push(performance.now() - started);
      await dataplane.settled();
    }
    if (dataplane.status().repairs !== repairs) throw new Error('something was put right that was not wrong');
    const { p50, p99 } = percentiles(edits);
    return {
      title: `Comparing ${policies} policies and IP sets with the kernel, as every 90 s`,
      about:
        'Chains, rules, counters and declarations each time, the elements of 500 sets in turn; read in another thread. An edit that comes meanwhile goes first.',
      rows: [
        {
          what: 'one comparison',
          seen: `${(percentiles(durations).p50 / 1000).toFixed(2)} s (${cpuSec.toFixed(2)} s of processor time)`,
        },
        { what: 'longest stall of the event loop meanwhile', seen: `${longestStallMs.toFixed(0)} ms` },
        { what: 'an edit meanwhile: kernel updated', seen: `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms` },
      ],
    };
  } finally {
    await node.remove();
  }
}

/** How long the event loop did not turn. */
class Stalls {
  private longestMs = 0;
  private last = performance.now();
  private readonly timer = setInterval(() => {
    const now = performance.now();
    this.longestMs = Math.max(this.longestMs, now - this.last);
    this.last = now;
  }, 1);

  end(): number {
    clearInterval(this.timer);
    return this.longestMs;
  }
}
