// 2. Pods reach each other, are reached from outside, and reach the outside; the server's view of the source decides.

import { type Lab, podOf } from '../lab.ts';
import type { Probe } from '../probe/client.ts';
import { nodes, outside } from '../topology.ts';
import type { Check, CheckGroup } from './check.ts';

export function reachChecks(lab: Lab): CheckGroup {
  const pod = (name: string) => podOf(lab, name);
  const nodeAddress = (name: string): string => nodes.find((node) => node.name === pod(name).node)?.address ?? '';
  const between = (where: string, from: string, to: string): Check =>
    seenAs(`${from} → ${to}, ${where}`, pod(from).probe, pod(to).address, pod(from).address, 'its own address');
  return {
    title: 'Reach',
    checks: [
      between('same node', 'tester', 'web'),
      between('same rack', 'tester', 'runner'),
      between('across racks', 'tester', 'crawler'),
      seenAs('outside → web', lab.outside, pod('web').address, outside.address, 'its own address'),
      seenAs('web → outside', pod('web').probe, outside.address, pod('web').address, 'its own address'),
      seenAs('tester → outside, natOutgoing', pod('tester').probe, outside.address, nodeAddress('tester'), 'its node'),
    ],
  };
}

const seenAs = (name: string, from: Probe, to: string, source: string, what: string): Check => ({
  name,
  expected: `connects as ${source}, ${what}`,
  run: async () => {
    const [result] = await from.connect([{ address: to, port: 8080 }], 2000);
    const passed = result?.seenAs === source;
    return { passed, seen: result?.connected ? `connects as ${result.seenAs}` : 'no connection' };
  },
});
