// One edit beside many policies, by our messages, by libnftables and by starting `nft`; and pods one after the other.

import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { DesiredTable } from '../../../felix/dataplane/table.ts';
import { encodeCommands } from '../../../felix/nft/encode.ts';
import { NftBatchSocket } from '../../../linux/netlink/nftables-batch.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { inSync, ipSet, policyUpdate, port, profileUpdate, rule, tier, workload } from '../updates.ts';
import { BenchNode, percentiles, type Times } from './node.ts';
import type { Section } from './policy.ts';

export const address = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
export const policyName = (i: number): string => `NetworkPolicy/ns/policy-${i}`;

export const editedPolicy = (i: number, number: number): CalcUpdate =>
  policyUpdate(policyName(i), {
    ingress: [
      rule('allow', { protocol: 6, source: { ipSets: [`s:set-${i}`] }, destination: { ports: [port(number)] } }),
    ],
  });

/** Every policy with a selector of its own. */
export function manyPolicies(count: number): CalcUpdate[] {
  const updates: CalcUpdate[] = [];
  for (let i = 0; i < count; i++) {
    updates.push(ipSet(`s:set-${i}`, address(i)), editedPolicy(i, 80));
  }
  return updates;
}

const text = ({ p50, p99 }: Times): string => `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`;

export async function measureEdit(policies: number): Promise<Section> {
  const node = new BenchNode('tw-dataplane-bench');
  try {
    const table = new DesiredTable();
    for (const update of manyPolicies(policies)) table.receive(update);
    table.render();
    const batches = new NftBatchSocket({ netns: netnsPath(node.name) });
    const declarationOf = (name: string) => table.ruleset.declarationOf(name);
    const byMessages = async (): Promise<void> => {
      const messages = encodeCommands(table.ruleset.pending().commands, declarationOf);
      const errors = messages ? batches.run(messages) : [new Error('not compiled')];
      if (errors[0]) throw errors[0];
    };
    const started = performance.now();
    await byMessages();
    table.ruleset.committed();
    const loadMs = performance.now() - started;

    const library = openNftables({ netns: netnsPath(node.name), backend: 'libnftables' });
    const program = openNftables({ netns: netnsPath(node.name), backend: 'nft-program' });
    const byText = (client: typeof library) => async (): Promise<void> => {
      const result = await client.run(table.ruleset.pending().text());
      if (result.kind === 'failed') throw new Error(result.message);
    };
    let number = 1000;
    const edits = async (rounds: number, run: () => Promise<void>): Promise<Times> => {
      const times: number[] = [];
      for (let i = 0; i < rounds; i++) {
        const before = performance.now();
        table.receive(editedPolicy(i % policies, ++number));
        table.render();
        await run();
        table.ruleset.committed();
        times.push(performance.now() - before);
      }
      return percentiles(times);
    };
    const own = await edits(300, byMessages);
    const viaLibrary = await edits(30, byText(library));
    const viaProgram = await edits(20, byText(program));
    batches.close();
    await library.close();
    await program.close();
    return {
      title: `One policy edit beside ${policies} others in the kernel`,
      about: 'The same edit – one rule of one policy – three ways, at the same table, rendering included.',
      rows: [
        {
          what: `loading them all: ${policies} policies, each with an IP set`,
          seen: `${(loadMs / 1000).toFixed(2)} s`,
        },
        { what: 'by our own netlink messages', seen: text(own) },
        { what: 'by libnftables in process', seen: text(viaLibrary) },
        { what: 'by starting `nft -f -`', seen: text(viaProgram) },
        {
          what: 'times faster than starting `nft`',
          seen: `${(viaProgram.p50 / own.p50).toFixed(0)} ×`,
          aim: 'at least 20 ×',
        },
      ],
    };
  } finally {
    await node.remove();
  }
}

export async function measurePods(count: number): Promise<Section> {
  const node = new BenchNode('tw-dataplane-bench');
  try {
    await node.felix.dataplane.start();
    await node.apply([profileUpdate('open', [rule('allow')], [rule('allow')]), ...manyPolicies(10), inSync]);
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const pod = workload(`ns/pod-${i}`, `cali${i.toString(16).padStart(8, '0')}`, [address(1000 + i)], {
        profiles: ['open'],
        tiers: [tier([policyName(i % 10)], [])],
      });
      node.makeInterfaces([pod]);
      // The interface's own event first: a pod's link is there before felix hears of the pod.
      await new Promise((resolve) => setTimeout(resolve, 1));
      times.push(await node.apply([pod]));
    }
    const some = Math.max(10, Math.floor(count / 10));
    const first = percentiles(times.slice(0, some));
    const last = percentiles(times.slice(-some));
    return {
      title: `${count} pods on one node, one after the other`,
      about: 'From the endpoint’s update to rules and route in the kernel.',
      rows: [
        { what: `the first ${some}`, seen: text(first) },
        { what: `the last ${some}`, seen: text(last), aim: 'as the first' },
      ],
    };
  } finally {
    await node.remove();
  }
}
