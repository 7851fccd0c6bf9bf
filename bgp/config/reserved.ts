// What resources may say and this speaker does not do yet: accepted, kept, and named, so that nobody waits for its effect.

import { sorted } from './filters.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

const serviceRanges = ['serviceClusterIPs', 'serviceExternalIPs', 'serviceLoadBalancerIPs'] as const;

export function reservedProblems({ configurations }: BgpResources): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { spec }] of sorted(configurations)) {
    for (const field of serviceRanges) {
      if ((spec[field] ?? []).length === 0) continue;
      const problem = 'is reserved for later: service addresses are not advertised';
      problems.push({ resource: `BGPConfiguration/${name}`, field: `spec.${field}`, problem });
    }
  }
  return problems;
}
