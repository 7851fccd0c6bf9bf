// A node for benchmarks: a namespace with interfaces for workloads (veth pairs that lead nowhere), and a dataplane
// with its real edges in this process.

import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { workloadLinkGroup } from '../../../felix/rules/static.ts';
import { changeLink, createVeth } from '../../../linux/netlink/link.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';
import { Felix } from '../../system/felix/node.ts';

export class BenchNode {
  readonly name: string;
  readonly felix: Felix;
  private readonly netlink: Rtnetlink;

  constructor(name: string) {
    this.name = name;
    createNetns(name);
    this.netlink = new Rtnetlink({ netns: netnsPath(name) });
    // The text channel, which some rows compare with, must be able to write it too.
    this.felix = new Felix(name, { ownTable: false });
  }

  /** Interfaces for the workloads among the updates. */
  makeInterfaces(updates: readonly CalcUpdate[]): void {
    const names = updates.flatMap((update) => (update.kind === 'workload' ? [update.workload.interfaceName] : []));
    const failures = this.netlink.execute(
      names.flatMap((name) => {
        const peer = name.replace('cali', 'peer');
        return [
          createVeth({ end: { name }, peer: { name: peer } }),
          changeLink(name, { group: workloadLinkGroup }),
          changeLink(name, { up: true }),
          changeLink(peer, { up: true }),
        ];
      }),
    );
    if (failures[0]) throw failures[0].error;
  }

  /** Hands the updates over and resolves with the milliseconds until the kernel has them. */
  async apply(updates: readonly CalcUpdate[]): Promise<number> {
    const { dataplane } = this.felix;
    const started = performance.now();
    for (const update of updates) dataplane.onUpdate(update);
    await dataplane.settled();
    return performance.now() - started;
  }

  async remove(): Promise<void> {
    await this.felix.stop();
    this.netlink.close();
    deleteNetns(this.name);
  }
}

export interface Times {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

export function percentiles(samples: readonly number[]): Times {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), count: sorted.length };
}

/** Processor time of all threads, and of the kernel for us. */
export function cpuSecSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}
