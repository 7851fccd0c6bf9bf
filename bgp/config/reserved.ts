// What resources may say and this speaker does not do yet: accepted, kept, and named, so that nobody waits for its effect.

import { sorted } from './filters.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

const serviceRanges = ['serviceClusterIPs', 'serviceExternalIPs', 'serviceLoadBalancerIPs'] as const;
const filterLists = ['importV4', 'importV6', 'exportV4', 'exportV6'] as const;

export function reservedProblems({ configurations, filters, peers }: BgpResources): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { spec }] of sorted(configurations)) {
    for (const field of serviceRanges) {
      if ((spec[field] ?? []).length === 0) continue;
      const problem = 'is reserved for later: service addresses are not advertised';
      problems.push({ resource: `BGPConfiguration/${name}`, field: `spec.${field}`, problem });
    }
  }
  const used = new Set([...peers.values()].flatMap(({ spec }) => spec.filters ?? []));
  for (const [name, { spec }] of sorted(filters)) {
    if (!used.has(name)) continue;
    for (const list of filterLists) {
      for (const [i, { operations = [] }] of (spec[list] ?? []).entries()) {
        if (!operations.some(({ setPriority }) => setPriority)) continue;
        const problem = 'setPriority is reserved for later: the kernel’s routes keep the metric of BGPConfiguration';
        problems.push({ resource: `BGPFilter/${name}`, field: `spec.${list}[${i}].operations`, problem });
      }
    }
  }
  return problems;
}
