// Rule counters as an answer for people: which rule of which policy has matched how often on this node.

import type { RuleAction } from '../calc/output.ts';
import { dropCounters } from '../rules/static.ts';
import type { Count, TableChannel } from './channel.ts';
import type { Policies } from './policies.ts';

export interface RuleHits {
  /** `<kind>/<namespace>/<name>` of a policy, or a profile's name. */
  readonly owner: string;
  readonly kind: 'policy' | 'profile';
  readonly direction: 'ingress' | 'egress';
  /** `ingress[3]`, as in the resource. */
  readonly origin: string;
  readonly action: RuleAction;
  /** Counted, not enforced. */
  readonly staged: boolean;
  readonly packets: number;
  readonly bytes: number;
}

/** Drops that no rule decided. */
export interface OtherHits {
  /** "ingress/default-action/<tier>", "drop/unknown-interface" … */
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

export interface Hits {
  readonly rules: readonly RuleHits[];
  readonly others: readonly OtherHits[];
}

const nothing: Count = { packets: 0, bytes: 0 };

/** Reads all counters of our table. Flows count with their first packet: later ones do not come to the rules. */
export function readHits(channel: Pick<TableChannel, 'counters'>, policies: Pick<Policies, 'rules'>): Hits {
  const counts = channel.counters();
  const rules: RuleHits[] = [];
  for (const { counter, ...rule } of policies.rules()) {
    rules.push({ ...rule, ...(counts.get(counter) ?? nothing) });
  }
  const others = [...counts].filter(([name]) => isOther(name)).map(([name, count]) => ({ name, ...count }));
  return { rules, others };
}

const drops: ReadonlySet<string> = new Set(Object.values(dropCounters));
const isOther = (name: string): boolean =>
  drops.has(name) || /^(ingress|egress)\/(default-action\/|no-profile-match$)/.test(name);
