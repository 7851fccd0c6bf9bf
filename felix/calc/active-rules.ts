// The rules of the policies and profiles that local endpoints use; all others stay uncompiled.
//
// What is missing fails closed: a profile that does not exist and a policy of a tier that does not exist deny everything.

import { isDeepStrictEqual } from 'node:util';
import type { Selector } from '../../datastore/model/selector/index.ts';
import { ORIGIN_ANNOTATION } from '../../kube/policy/rules.ts';
import { compileRule, denyRule, isUnenforceable, type RuleContext, type RuleInput } from './compile.ts';
import { NO_TIER } from './fail-closed.ts';
import type { IpSetSpec, IpSets } from './ip-sets.ts';
import type { CalcPolicy, CalcProfile, CalcRule, CalcUpdate, PolicyId } from './output.ts';
import type { PolicyStage } from './tiers.ts';

export interface PolicyRules {
  readonly id: PolicyId;
  readonly tier: string;
  readonly namespace: string;
  readonly staged: boolean;
  readonly stage: PolicyStage;
  /** Bounds the named ports of the policy's own side; absent when packets to others pass through its rules too. */
  readonly subject?: Selector;
  readonly ingress: readonly RuleInput[];
  readonly egress: readonly RuleInput[];
}

export interface ProfileRules {
  readonly ingress: readonly RuleInput[];
  readonly egress: readonly RuleInput[];
}

interface Active<T> {
  readonly output: T;
  readonly sets: ReadonlyMap<string, IpSetSpec>;
}

/** Who asks which policies and profiles are in use. */
export interface RulesInUse {
  isPolicyInUse(id: PolicyId): boolean;
  isProfileInUse(name: string): boolean;
  isTierKnown(name: string): boolean;
}

export class ActiveRules {
  readonly #ipSets: IpSets;
  readonly #inUse: RulesInUse;
  readonly #policies = new Map<PolicyId, PolicyRules>();
  readonly #profiles = new Map<string, ProfileRules>();
  readonly #activePolicies = new Map<PolicyId, Active<CalcPolicy>>();
  readonly #activeProfiles = new Map<string, Active<CalcProfile>>();
  readonly #dirtyPolicies = new Set<PolicyId>();
  readonly #dirtyProfiles = new Set<string>();

  constructor(ipSets: IpSets, inUse: RulesInUse) {
    this.#ipSets = ipSets;
    this.#inUse = inUse;
  }

  setPolicy(rules: PolicyRules): void {
    this.#policies.set(rules.id, rules);
    this.markPolicy(rules.id);
  }

  removePolicy(id: PolicyId): void {
    this.#policies.delete(id);
    this.markPolicy(id);
  }

  setProfile(name: string, rules: ProfileRules | undefined): void {
    if (rules) this.#profiles.set(name, rules);
    else this.#profiles.delete(name);
    this.markProfile(name);
  }

  markPolicy(id: PolicyId): void {
    this.#dirtyPolicies.add(id);
  }

  markProfile(name: string): void {
    this.#dirtyProfiles.add(name);
  }

  /** Compiles what changed and asks for its IP sets; these must be flushed after, and delivered before. */
  flush(): { readonly additions: readonly CalcUpdate[]; readonly removals: readonly CalcUpdate[] } {
    const additions: CalcUpdate[] = [];
    const removals: CalcUpdate[] = [];
    for (const id of this.#dirtyPolicies) {
      const rules = this.#inUse.isPolicyInUse(id) ? this.#policies.get(id) : undefined;
      const change = this.#replace(this.#activePolicies, id, rules && this.#compilePolicy(rules));
      if (change === 'removed') removals.push({ kind: 'policy-removed', id });
      else if (change) additions.push({ kind: 'policy', policy: change });
    }
    for (const name of this.#dirtyProfiles) {
      const isUsed = this.#inUse.isProfileInUse(name);
      const change = this.#replace(this.#activeProfiles, name, isUsed ? this.#compileProfile(name) : undefined);
      if (change === 'removed') removals.push({ kind: 'profile-removed', name });
      else if (change) additions.push({ kind: 'profile', profile: change });
    }
    this.#dirtyPolicies.clear();
    this.#dirtyProfiles.clear();
    return { additions, removals };
  }

  /** Returns what to deliver: the new output when it differs, 'removed', or nothing. */
  #replace<T>(active: Map<string, Active<T>>, key: string, next: Active<T> | undefined): T | 'removed' | undefined {
    const before = active.get(key);
    for (const spec of next?.sets.values() ?? []) this.#ipSets.want(spec);
    for (const id of before?.sets.keys() ?? []) this.#ipSets.unwant(id);
    if (!next) return active.delete(key) ? 'removed' : undefined;
    active.set(key, next);
    return before && isDeepStrictEqual(before.output, next.output) ? undefined : next.output;
  }

  #compilePolicy(rules: PolicyRules): Active<CalcPolicy> {
    const { id, tier, staged, stage, namespace, subject } = rules;
    const context = { namespace, ...(subject && { subject }) };
    const known = this.#inUse.isTierKnown(tier);
    const sets = new Map<string, IpSetSpec>();
    const list = (direction: 'ingress' | 'egress'): readonly CalcRule[] =>
      known
        ? compileList(rules[direction], { ...context, direction }, sets)
        : [denyRule(tier === NO_TIER ? 'cannot be read' : 'tier is missing')];
    const early = stage === 'pre-dnat' || stage === 'untracked' ? { stage } : {};
    const notEnforced = (['ingress', 'egress'] as const).flatMap((direction) =>
      rules[direction].flatMap((rule, i) => (isUnenforceable(rule) ? originOf(rule, direction, i) : [])),
    );
    const output: CalcPolicy = {
      id,
      tier,
      staged,
      ...early,
      ingress: list('ingress'),
      egress: list('egress'),
      ...(notEnforced.length > 0 && { notEnforced }),
    };
    return { output, sets };
  }

  #compileProfile(name: string): Active<CalcProfile> {
    const rules = this.#profiles.get(name);
    const sets = new Map<string, IpSetSpec>();
    const list = (direction: 'ingress' | 'egress'): readonly CalcRule[] =>
      rules ? compileList(rules[direction], { direction, namespace: '' }, sets) : [denyRule('profile is missing')];
    return { output: { name, ingress: list('ingress'), egress: list('egress') }, sets };
  }
}

function compileList(
  rules: readonly RuleInput[],
  context: RuleContext,
  sets: Map<string, IpSetSpec>,
): readonly CalcRule[] {
  const compiled: CalcRule[] = [];
  for (const [i, rule] of rules.entries()) {
    const one = compileRule(rule, originOf(rule, context.direction, i), context, sets);
    if (one) compiled.push(one);
  }
  return compiled;
}

/** As in the resource, or what the rule was converted from. */
const originOf = (rule: RuleInput, direction: 'ingress' | 'egress', index: number): string =>
  rule.metadata?.annotations?.[ORIGIN_ANNOTATION] ?? `${direction}[${index}]`;
