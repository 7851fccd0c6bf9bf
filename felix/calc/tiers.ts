// In which order policies apply: tiers by order, and policies by order inside their tier.

import { builtInTiers } from '../../datastore/model/kinds/policy.ts';
import type { IndexedSelector } from './label-index.ts';
import type { CalcTier, PolicyId } from './output.ts';

export interface TierInput {
  /** Infinity when it has none: last. */
  readonly order: number;
  readonly defaultAction: 'deny' | 'pass';
}

/**
 * Which packets a policy is for. `normal`: from and to its endpoint. `forward`: also those that a host endpoint forwards.
 * `pre-dnat`, `untracked`: a host endpoint's, before destination NAT or connection tracking.
 */
export type PolicyStage = 'normal' | 'forward' | 'pre-dnat' | 'untracked';

/** What places a policy and says where it applies. */
export interface PlacedPolicy {
  readonly id: PolicyId;
  readonly tier: string;
  /** Infinity when it has none: last. */
  readonly order: number;
  /** `name/namespace/kind`, which decides between equal orders. */
  readonly tieKey: string;
  readonly ingress: boolean;
  readonly egress: boolean;
  readonly stage: PolicyStage;
  readonly selector: IndexedSelector;
}

const actions = { Deny: 'deny', Pass: 'pass' } as const;

/** The tiers that exist even where the datastore lacks them. */
const builtIn: ReadonlyMap<string, TierInput> = new Map(
  Object.entries(builtInTiers).map(([name, { order, defaultAction }]) => [
    name,
    { order, defaultAction: actions[defaultAction] },
  ]),
);

/**
 * A tier that is missing or cannot be read fails closed: nothing says whether it comes before the tiers that allow, so it
 * comes first, and its policies deny (see active-rules.ts).
 */
const unknownTier: TierInput = { order: Number.NEGATIVE_INFINITY, defaultAction: 'deny' };

export class Tiers {
  readonly #known = new Map<string, TierInput>();

  /** True when that changes anything. */
  set(name: string, tier: TierInput | undefined): boolean {
    const before = this.get(name);
    if (tier) this.#known.set(name, tier);
    else this.#known.delete(name);
    const after = this.get(name);
    return before.order !== after.order || before.defaultAction !== after.defaultAction;
  }

  isKnown(name: string): boolean {
    return this.#known.has(name) || builtIn.has(name);
  }

  get(name: string): TierInput {
    return this.#known.get(name) ?? builtIn.get(name) ?? unknownTier;
  }

  /** The policies as tiers in evaluation order, those without policies left out. */
  arrange(policies: readonly PlacedPolicy[]): readonly CalcTier[] {
    const byTier = new Map<string, PlacedPolicy[]>();
    for (const policy of policies) {
      const inTier = byTier.get(policy.tier);
      if (inTier) inTier.push(policy);
      else byTier.set(policy.tier, [policy]);
    }
    const names = [...byTier.keys()].sort((a, b) => byNumber(this.get(a).order, this.get(b).order) || byText(a, b));
    return names.map((name) => {
      const inTier = (byTier.get(name) ?? []).sort(comparePlaces);
      return {
        name,
        defaultAction: this.get(name).defaultAction,
        ingress: inTier.filter((policy) => policy.ingress).map((policy) => policy.id),
        egress: inTier.filter((policy) => policy.egress).map((policy) => policy.id),
      };
    });
  }
}

export const comparePlaces = (a: PlacedPolicy, b: PlacedPolicy): number =>
  byNumber(a.order, b.order) || byText(a.tieKey, b.tieKey);

// Not a − b: two infinities are equal, and their difference is not a number.
const byNumber = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
