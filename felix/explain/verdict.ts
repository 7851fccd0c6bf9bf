// May this packet pass at this endpoint, in this direction? The walk through tiers, policies and profiles, written down.
//
// The semantics are those of felix/rules, worked out for one packet instead of compiled for all; the test in
// test/system/felix/random-policy.test.ts holds the two together.

import type { CalcRule, CalcTier, PolicyId, RuleAction } from '../calc/output.ts';
import { type DescribeIpSet, mismatches } from './match.ts';
import type { Packet } from './packet.ts';
import type { Picture } from './picture.ts';

export type Direction = 'ingress' | 'egress';

export interface RuleStep {
  /** `ingress[3]`, as in the resource. */
  readonly origin: string;
  readonly action: RuleAction;
  readonly matches: boolean;
  /** Why it does not match. */
  readonly reasons: readonly string[];
}

export interface PolicyStep {
  readonly policy: PolicyId;
  readonly staged: boolean;
  /** What the policy does with the packet; for a staged one, what it would do. */
  readonly outcome: 'allow' | 'deny' | 'pass' | 'no-match';
  /** In order, up to the rule that decides. */
  readonly rules: readonly RuleStep[];
  /** Rules of this direction with matches that nothing here enforces, such as HTTP. */
  readonly notEnforced?: readonly string[];
}

export interface TierStep {
  readonly tier: string;
  readonly policies: readonly PolicyStep[];
  readonly outcome: 'allow' | 'deny' | 'pass';
}

export interface ProfileStep {
  readonly profile: string;
  readonly outcome: 'allow' | 'deny' | 'no-match';
  readonly rules: readonly RuleStep[];
}

export type DecidedBy =
  | { readonly kind: 'rule'; readonly tier: string; readonly policy: PolicyId; readonly origin: string }
  | { readonly kind: 'tier-default'; readonly tier: string; readonly policies: readonly PolicyId[] }
  | { readonly kind: 'profile'; readonly profile: string; readonly origin: string }
  | { readonly kind: 'no-profile'; readonly profiles: readonly string[] };

export interface Verdict {
  readonly allowed: boolean;
  readonly decidedBy: DecidedBy;
  readonly tiers: readonly TierStep[];
  readonly profiles: readonly ProfileStep[];
}

/** An endpoint with its policies in order. */
export interface Subject {
  readonly tiers: readonly CalcTier[];
  readonly profiles: readonly string[];
}

export interface EvaluateOptions {
  readonly describe?: DescribeIpSet;
  /** Rules to leave out, as `policy origin`: for asking what would be without them. */
  readonly without?: ReadonlySet<string>;
}

/** As people read it: without the empty namespace of global kinds. */
export const policyName = (id: PolicyId): string => id.replace('//', '/');

export const ruleKey = (policy: string, origin: string): string => `${policy} ${origin}`;

export function evaluate(
  picture: Picture,
  subject: Subject,
  direction: Direction,
  packet: Packet,
  options: EvaluateOptions = {},
): Verdict {
  return new Walk(picture, direction, packet, options).verdict(subject);
}

class Walk {
  readonly #picture: Picture;
  readonly #direction: Direction;
  readonly #packet: Packet;
  readonly #options: EvaluateOptions;

  constructor(picture: Picture, direction: Direction, packet: Packet, options: EvaluateOptions) {
    this.#picture = picture;
    this.#direction = direction;
    this.#packet = packet;
    this.#options = options;
  }

  verdict(subject: Subject): Verdict {
    const tiers: TierStep[] = [];
    for (const tier of subject.tiers) {
      if (tier[this.#direction].length === 0) continue;
      const { step, decidedBy } = this.#tier(tier);
      tiers.push(step);
      if (decidedBy) return { allowed: step.outcome === 'allow', decidedBy, tiers, profiles: [] };
    }
    const profiles: ProfileStep[] = [];
    for (const profile of subject.profiles) {
      const step = this.#profile(profile);
      profiles.push(step);
      if (step.outcome === 'no-match') continue;
      const decidedBy = { kind: 'profile', profile, origin: step.rules.at(-1)?.origin ?? '' } as const;
      return { allowed: step.outcome === 'allow', decidedBy, tiers, profiles };
    }
    return { allowed: false, decidedBy: { kind: 'no-profile', profiles: subject.profiles }, tiers, profiles };
  }

  #tier(tier: CalcTier): { readonly step: TierStep; readonly decidedBy?: DecidedBy } {
    const policies: PolicyStep[] = [];
    for (const id of tier[this.#direction]) {
      const step = this.#policy(id);
      policies.push(step);
      if (step.staged || step.outcome === 'no-match') continue;
      if (step.outcome === 'pass') return { step: { tier: tier.name, policies, outcome: 'pass' } };
      const origin = step.rules.at(-1)?.origin ?? '';
      const decidedBy = { kind: 'rule', tier: tier.name, policy: id, origin } as const;
      return { step: { tier: tier.name, policies, outcome: step.outcome }, decidedBy };
    }
    // A tier with nothing but staged policies is as if it were empty.
    const enforced = policies.filter((step) => !step.staged).map((step) => step.policy);
    if (enforced.length === 0 || tier.defaultAction === 'pass') {
      return { step: { tier: tier.name, policies, outcome: 'pass' } };
    }
    const decidedBy = { kind: 'tier-default', tier: tier.name, policies: enforced } as const;
    return { step: { tier: tier.name, policies, outcome: 'deny' }, decidedBy };
  }

  #policy(id: PolicyId): PolicyStep {
    const policy = this.#picture.policies.get(id);
    const { steps, outcome } = this.#rules(id, policy?.[this.#direction] ?? []);
    const notEnforced = policy?.notEnforced?.filter((origin) => origin.startsWith(this.#direction)) ?? [];
    const own = notEnforced.length > 0 ? { notEnforced } : {};
    return { policy: id, staged: policy?.staged ?? false, outcome, rules: steps, ...own };
  }

  #profile(name: string): ProfileStep {
    const { steps, outcome } = this.#rules(name, this.#picture.profiles.get(name)?.[this.#direction] ?? []);
    // Pass leaves the profile, as it leaves a tier.
    return { profile: name, outcome: outcome === 'pass' ? 'no-match' : outcome, rules: steps };
  }

  #rules(
    owner: string,
    rules: readonly CalcRule[],
  ): { readonly steps: readonly RuleStep[]; readonly outcome: PolicyStep['outcome'] } {
    const { describe = () => undefined, without } = this.#options;
    const steps: RuleStep[] = [];
    for (const rule of rules) {
      if (without?.has(ruleKey(owner, rule.origin))) continue;
      const reasons = mismatches(rule, this.#packet, this.#picture, describe);
      steps.push({ origin: rule.origin, action: rule.action, matches: reasons.length === 0, reasons });
      // Log says something and decides nothing.
      if (reasons.length === 0 && rule.action !== 'log') return { steps, outcome: rule.action };
    }
    return { steps, outcome: 'no-match' };
  }
}
