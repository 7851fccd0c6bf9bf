// FilterSettings, compiled: which rule decides about a route. The first rule that matches does.
//
//     rules with a prefix to be in or equal to ──► trie: the route's covering prefixes name the candidates
//     all other rules ──────────────────────────► list
//     both, in the order of the rules ──► first match
//
// So five thousand prefix rules cost a walk down the trie, not five thousand comparisons.

import { PrefixMap } from '../net/lpm.ts';
import { type Prefix, prefixCovers, prefixesEqual } from '../net/prefix.ts';
import type { FilterRoute, FilterVerdict, RouteFilter } from './rib/policy.ts';
import type { Community, FilterRule, FilterSettings } from './settings.ts';

/** What Calico takes a route's priority for when nothing has set it, unless BGPConfiguration says so. */
const defaultPriority = 1024;

type Matcher = (route: FilterRoute) => boolean;

interface CompiledRule {
  readonly matches: Matcher;
  readonly verdict: FilterVerdict;
}

/** `peer`: the kind of session that the filter serves, which is what rules with a peerType ask for (as in Calico). */
export function compileFilter(settings: FilterSettings, peer: 'ebgp' | 'ibgp'): RouteFilter {
  return compile({ ...settings, rules: settings.rules.filter((rule) => (rule.peerType ?? peer) === peer) });
}

/** The same filter, which puts an AS in front of the paths that it accepts. */
export function prepending(filter: RouteFilter, asn: number): RouteFilter {
  const prepend = { kind: 'prepend-as-path', asns: [asn] } as const;
  return {
    acceptsAll: false,
    usesPrefix: filter.usesPrefix,
    usesInterface: filter.usesInterface,
    evaluate: (route) => {
      const verdict = filter.evaluate(route);
      return verdict.accept ? { ...verdict, operations: [...verdict.operations, prepend] } : verdict;
    },
  };
}

function compile(settings: FilterSettings): RouteFilter {
  const fallback: FilterVerdict = { accept: settings.otherwise === 'accept', origin: undefined, operations: [] };
  const rules = settings.rules.map((rule) => compileRule(rule, settings.normalPriority));
  const byPrefix = new PrefixMap<number[]>();
  const others: number[] = [];
  for (const [index, { match }] of settings.rules.entries()) {
    if (match?.operator === 'in' || match?.operator === 'equal') {
      const indexes = byPrefix.get(match.prefix);
      if (indexes) indexes.push(index);
      else byPrefix.set(match.prefix, [index]);
    } else others.push(index);
  }
  const evaluate = (route: FilterRoute): FilterVerdict => {
    for (const index of candidates(byPrefix, others, route.prefix)) {
      const rule = rules[index];
      if (rule?.matches(route)) return rule.verdict;
    }
    return fallback;
  };
  return {
    acceptsAll: fallback.accept && settings.rules.every(hasNoEffect),
    usesPrefix: settings.rules.some(({ match }) => match !== undefined),
    usesInterface: settings.rules.some((rule) => rule.interface !== undefined),
    evaluate,
  };
}

const hasNoEffect = ({ action, operations }: FilterRule): boolean => action === 'accept' && operations.length === 0;

function candidates(byPrefix: PrefixMap<number[]>, others: readonly number[], prefix: Prefix): readonly number[] {
  if (byPrefix.size === 0) return others;
  const covering = byPrefix.covering(prefix);
  if (covering.length === 0) return others;
  return [...covering.flatMap(({ value }) => value), ...others].sort((a, b) => a - b);
}

type NormalPriority = FilterSettings['normalPriority'];

function compileRule(rule: FilterRule, normalPriority: NormalPriority): CompiledRule {
  const matchers = matchersOf(rule, normalPriority);
  return {
    matches: (route) => matchers.every((matches) => matches(route)),
    verdict: { accept: rule.action === 'accept', origin: rule.origin, operations: rule.operations },
  };
}

/** One entry per field that a rule may have; those that are not given are left out. */
function matchersOf(rule: FilterRule, normalPriority: NormalPriority): Matcher[] {
  const { family, match, source, communities, asPathPrefix, priority } = rule;
  const pattern = rule.interface === undefined ? undefined : interfacePattern(rule.interface);
  const given: (Matcher | undefined)[] = [
    family && ((route) => route.family === family),
    match && ((route) => prefixMatches(match, route.prefix)),
    source && ((route) => (route.source === 'local') === (source === 'local')),
    pattern && ((route) => route.interface !== undefined && pattern.test(route.interface)),
    communities && ((route) => communities.every((community) => hasCommunity(route, community))),
    asPathPrefix && ((route) => asPathPrefix.every((asn, i) => route.asPath[i] === asn)),
    priority === undefined
      ? undefined
      : (route) => (route.priority ?? normalPriority?.[route.family] ?? defaultPriority) === priority,
  ];
  return given.filter((matcher) => matcher !== undefined);
}

/** As Calico: the length bounds say which lengths inside (or outside) the prefix are meant. */
function prefixMatches(match: NonNullable<FilterRule['match']>, prefix: Prefix): boolean {
  const inLength = prefix.length >= (match.minLength ?? 0) && prefix.length <= (match.maxLength ?? 128);
  switch (match.operator) {
    case 'equal':
      return prefixesEqual(match.prefix, prefix) && inLength;
    case 'not-equal':
      return !(prefixesEqual(match.prefix, prefix) && inLength);
    case 'in':
      return prefixCovers(match.prefix, prefix) && inLength;
    case 'not-in':
      return !(prefixCovers(match.prefix, prefix) && inLength);
  }
}

function hasCommunity(route: FilterRoute, community: Community): boolean {
  if (community.kind === 'standard') return route.communities.includes(community.value);
  return route.largeCommunities.some(
    ({ global, local1, local2 }) =>
      global === community.global && local1 === community.local1 && local2 === community.local2,
  );
}

/** "eth*": "*" stands for any text. */
function interfacePattern(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[.\\+?^${}()|[\]]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}
