// What is probably not meant in a cluster's policies: rules that are never reached, selectors that select nobody, doors that
// stand open, and what the dataplane has to treat as a denial because it cannot read it.

import { builtInTiers } from '../../datastore/model/index.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { compileRule, isUnenforceable, type RuleInput } from '../calc/compile.ts';
import { type AnyPolicy, policyInput } from '../calc/inputs.ts';
import type { IpSetSpec, SourceShape } from '../calc/ip-sets.ts';
import { type IndexedSelector, LabelIndex } from '../calc/label-index.ts';
import type { CalcRule } from '../calc/output.ts';
import { comparePlaces, type PlacedPolicy } from '../calc/tiers.ts';
import { isAnyone, matchesEverything, ruleCovers } from './covers.ts';
import type { PolicyWorld } from './policy-world.ts';
import { type Direction, policyName } from './verdict.ts';
import type { OnProgress } from './workloads.ts';

/** `error`: it does not do what it says. `warning`: it does, but hardly what was meant. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly kind:
    | 'unreadable'
    | 'missing-tier'
    | 'unreachable-rule'
    | 'redundant-rule'
    | 'ignored-rules'
    | 'unreachable-policy'
    | 'selects-nobody'
    | 'allows-everything'
    | 'only-logs'
    | 'never-matches'
    | 'not-enforced';
  /** Policy, or key of the resource. */
  readonly subject: string;
  /** `ingress[3]`; absent when it is about the whole. */
  readonly rule?: string;
  readonly text: string;
}

interface Linted {
  readonly policy: AnyPolicy;
  readonly place: PlacedPolicy;
  readonly ingress: readonly CalcRule[];
  readonly egress: readonly CalcRule[];
  readonly sets: ReadonlyMap<string, IpSetSpec>;
}

const somebody = {};
const directions: readonly Direction[] = ['ingress', 'egress'];

export function lintPolicies(world: PolicyWorld, onProgress?: OnProgress): readonly Finding[] {
  const findings: Finding[] = [];
  for (const [key, faults] of world.faults(onProgress)) {
    const text = faults.map(({ path, problem }) => `${path} ${problem}`).join('; ');
    findings.push({
      severity: 'error',
      kind: 'unreadable',
      subject: key,
      text: `cannot be read and fails closed: ${text}`,
    });
  }
  const selects = selectionTest(world, onProgress);
  const linted = world.policies.map(({ policy, place }) => compile(policy, place, findings));
  for (const [i, one] of linted.entries()) {
    if (i % 100 === 0) onProgress?.(`${i} of ${linted.length} policies looked at`);
    lintWhole(one, world, selects, findings);
    for (const direction of directions) lintRules(one, direction, selects, findings);
  }
  lintOrder(linted, findings);
  return findings;
}

/** Whether a selector selects something of this world; true where the world has nothing to select. */
function selectionTest(
  world: PolicyWorld,
  onProgress: OnProgress | undefined,
): {
  endpoint(selector: IndexedSelector): boolean;
  source(selector: IndexedSelector): boolean;
} {
  const endpoints = new LabelIndex<object, object>();
  const all = new LabelIndex<object, object>();
  for (const [name, profile] of world.profiles) {
    const labels = new Map(Object.entries(profile.spec.labelsToApply ?? {}));
    for (const index of [endpoints, all]) index.setParent(name, labels);
  }
  // One of each shape is enough to say that somebody is selected.
  const seen = new Set<SourceShape>();
  for (const { shape, isEndpoint } of world.sources(onProgress)) {
    if (seen.has(shape)) continue;
    seen.add(shape);
    for (const index of isEndpoint ? [endpoints, all] : [all]) {
      const group = index.groupOf(shape.labels, shape.parents);
      if (!group.members) index.enter(somebody, group);
    }
  }
  const test = (index: LabelIndex<object, object>) => (selector: IndexedSelector) =>
    index.groupCount === 0 || index.entryOf(selector).groups.size > 0;
  return { endpoint: test(endpoints), source: test(all) };
}

function compile(policy: AnyPolicy, place: PlacedPolicy, findings: Finding[]): Linted {
  const rules = policyInput(policy)?.rules;
  const sets = new Map<string, IpSetSpec>();
  const list = (direction: Direction): readonly CalcRule[] =>
    (rules?.[direction] ?? []).flatMap((rule: RuleInput, i) => {
      const origin = `${direction}[${i}]`;
      const one = compileRule(rule, origin, { direction, namespace: rules?.namespace ?? '' }, sets);
      if (isUnenforceable(rule)) {
        const effect = one ? `it acts as ${one.action} without it` : 'it never matches';
        const text = `has a match on services or HTTP, which is not enforced here: ${effect}`;
        findings.push({
          severity: 'error',
          kind: one ? 'not-enforced' : 'never-matches',
          subject: place.id,
          rule: origin,
          text,
        });
      }
      return one ? [one] : [];
    });
  return { policy, place, ingress: list('ingress'), egress: list('egress'), sets };
}

type Selects = ReturnType<typeof selectionTest>;

function lintWhole({ policy, place }: Linted, world: PolicyWorld, selects: Selects, findings: Finding[]): void {
  const subject = place.id;
  if (!world.tiers.has(place.tier) && !Object.hasOwn(builtInTiers, place.tier)) {
    const text = `its tier ${place.tier} does not exist: it denies everything that it selects`;
    findings.push({ severity: 'error', kind: 'missing-tier', subject, text });
  }
  if (!selects.endpoint(place.selector)) {
    findings.push({
      severity: 'warning',
      kind: 'selects-nobody',
      subject,
      text: `selects no endpoint: ${place.selector.text}`,
    });
  }
  if (policy.kind === 'StagedKubernetesNetworkPolicy') return;
  for (const direction of directions) {
    if (place[direction] || !policy.spec[direction]?.length) continue;
    const type = direction === 'ingress' ? 'Ingress' : 'Egress';
    const text = `its ${direction} rules mean nothing: types does not list ${type}`;
    findings.push({ severity: 'error', kind: 'ignored-rules', subject, text });
  }
}

function lintRules(linted: Linted, direction: Direction, selects: Selects, findings: Finding[]): void {
  const subject = linted.place.id;
  const rules = linted[direction];
  const add = (severity: Finding['severity'], kind: Finding['kind'], rule: string, text: string): void => {
    findings.push({ severity, kind, subject, rule, text });
  };
  for (const [i, rule] of rules.entries()) {
    const before = rules.slice(0, i).find((earlier) => earlier.action !== 'log' && ruleCovers(earlier, rule));
    if (before && before.action === rule.action) {
      add('warning', 'redundant-rule', rule.origin, `${before.origin} does the same for all that it matches`);
    } else if (before)
      add(
        'error',
        'unreachable-rule',
        rule.origin,
        `is never reached: ${before.origin} decides first (${before.action})`,
      );
    for (const id of [...rule.source.ipSets, ...rule.destination.ipSets]) {
      const spec = linted.sets.get(id);
      if (!spec || selects.source(spec.selector)) continue;
      add('warning', 'selects-nobody', rule.origin, `matches nothing: nobody is selected by ${spec.selector.text}`);
    }
    if (rule.action === 'allow') lintAllow(rule, direction, add);
  }
  if (rules.length > 0 && rules.every((rule) => rule.action === 'log')) {
    const text = `has only Log rules for ${direction}: what it selects is denied at the end of the tier, unless another policy decides`;
    findings.push({ severity: 'warning', kind: 'only-logs', subject, text });
  }
}

type Add = (severity: Finding['severity'], kind: Finding['kind'], rule: string, text: string) => void;

function lintAllow(rule: CalcRule, direction: Direction, add: Add): void {
  const peer = direction === 'ingress' ? rule.source : rule.destination;
  if (matchesEverything(rule)) {
    add(
      'warning',
      'allows-everything',
      rule.origin,
      `allows everything, ${direction === 'ingress' ? 'from anywhere' : 'to anywhere'}`,
    );
    return;
  }
  const wide = peer.prefixes.filter(({ length }) => length === 0).map(formatPrefix);
  if (wide.length > 0 && peer.ipSets.length === 0) {
    add('warning', 'allows-everything', rule.origin, `${wide.join(' and ')} is every address`);
  }
  const onlyNegative = peer.notIpSets.length > 0 && isAnyone({ ...peer, notIpSets: [], ports: [], namedPortSets: [] });
  if (onlyNegative) {
    add(
      'warning',
      'allows-everything',
      rule.origin,
      'notSelector alone also matches every address outside the cluster',
    );
  }
}

/** Policies behind one that decides everything for the same endpoints. */
function lintOrder(linted: readonly Linted[], findings: Finding[]): void {
  const enforced = linted.filter(({ policy }) => !policy.kind.startsWith('Staged'));
  for (const direction of directions) {
    const deciders = firstDeciders(enforced, direction);
    for (const { place } of enforced) {
      if (!place[direction]) continue;
      const first = [place.selector.text, 'all()']
        .map((selector) => deciders.get(scopeOf(place, selector)))
        .find((decider) => decider && comparePlaces(decider, place) < 0);
      if (!first) continue;
      const text = `is never reached for ${direction}: ${policyName(first.id)} comes first in tier ${place.tier} and decides everything`;
      findings.push({ severity: 'error', kind: 'unreachable-policy', subject: place.id, text });
    }
  }
}

/** Of those that decide everything, the first of each scope. */
function firstDeciders(linted: readonly Linted[], direction: Direction): ReadonlyMap<string, PlacedPolicy> {
  const deciders = new Map<string, PlacedPolicy>();
  for (const { place, [direction]: rules } of linted) {
    if (!rules.some((rule) => rule.action !== 'log' && matchesEverything(rule))) continue;
    const scope = scopeOf(place, place.selector.text);
    const known = deciders.get(scope);
    if (!known || comparePlaces(place, known) < 0) deciders.set(scope, place);
  }
  return deciders;
}

/** Policies of one scope are asked one after the other for the same packets of the same endpoints. */
const scopeOf = ({ tier, stage }: PlacedPolicy, selector: string): string => JSON.stringify([tier, stage, selector]);
