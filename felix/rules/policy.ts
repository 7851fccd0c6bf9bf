// A policy, or a profile, as chains: one for each direction.
//
// A chain's verdicts: `accept` leaves the hook, that is, this side of the connection is allowed; `drop` ends the packet;
// returning means that no rule decided. Pass returns with the pass mark set, see tiers.ts. A staged policy's rules count
// and decide nothing: the first that matches returns.

import type { CalcPolicy, CalcRule, RuleAction } from '../calc/output.ts';
import { type Chain, fingerprint, type Rule, type SetDeclaration } from '../nft/objects.ts';
import type { RulesConfig } from './config.ts';
import { type CountedClause, fold, type Step } from './fold.ts';
import { clausesOf, clauseText, type SetParts } from './match.ts';
import { foldMap, ruleCounter } from './names.ts';

export interface RenderedChain {
  readonly chain: Chain;
  /** One for each rule of the source, in order. */
  readonly counters: readonly string[];
  readonly maps: readonly { readonly declaration: SetDeclaration; readonly elements: ReadonlyMap<string, string> }[];
  /** Some rule passes: whoever jumps here has to look at the mark. */
  readonly canPass: boolean;
}

export interface ChainSource {
  readonly name: string;
  readonly rules: readonly CalcRule[];
  readonly staged: boolean;
  readonly stage: CalcPolicy['stage'] | undefined;
  /** For the log prefix. */
  readonly owner: string;
}

export function renderRules(source: ChainSource, parts: SetParts, config: RulesConfig): RenderedChain {
  const rules: Rule[] = [];
  const counters = counterNames(source);
  const maps: { declaration: SetDeclaration; elements: ReadonlyMap<string, string> }[] = [];
  for (const run of runsOf(source.rules)) {
    const clauses = run.rules.flatMap(({ rule, index }): CountedClause[] =>
      clausesOf(rule, parts).map((clause) => ({ clause, counter: counters[index] ?? '', origin: rule.origin })),
    );
    if (run.action === 'log') {
      for (const clause of clauses) rules.push(logRule(clause, source, config));
      continue;
    }
    const verdict = verdictOf(run.action, source, config);
    for (const step of fold(clauses)) {
      if (step.kind === 'single') rules.push(singleRule(step.clause, verdict));
      else {
        const name = foldMap(source.name, maps.length);
        const { key, interval, elements } = step;
        maps.push({ declaration: { name, key, interval, value: 'counter' }, elements });
        rules.push(lookupRule(step, name, verdict));
      }
    }
  }
  return {
    chain: { name: source.name, rules },
    counters,
    maps,
    canPass: !source.staged && source.rules.some((rule) => rule.action === 'pass'),
  };
}

/** In place of rules that the kernel refuses: nothing passes. A staged policy decides nothing, in this state either. */
export const closedChain = ({ name, staged }: ChainSource): RenderedChain => ({
  chain: { name, rules: staged ? [] : [{ text: 'drop', comment: 'its rules are refused by the kernel' }] },
  counters: [],
  maps: [],
  canPass: false,
});

/** One name for each rule, in their order. Equal rules are told apart by a number. */
function counterNames(source: ChainSource): string[] {
  const seen = new Map<string, number>();
  return source.rules.map(({ origin: _, ...content }) => {
    const hash = fingerprint(
      JSON.stringify(content, (_key, value) => (typeof value === 'bigint' ? `${value}` : value)),
    );
    const count = (seen.get(hash) ?? 0) + 1;
    seen.set(hash, count);
    return ruleCounter(source.name, count === 1 ? hash : `${hash}.${count}`);
  });
}

interface Run {
  readonly action: RuleAction;
  readonly rules: { readonly rule: CalcRule; readonly index: number }[];
}

/** Neighbours with the same action. */
function runsOf(rules: readonly CalcRule[]): Run[] {
  const runs: Run[] = [];
  for (const [index, rule] of rules.entries()) {
    const last = runs.at(-1);
    if (last && last.action === rule.action) last.rules.push({ rule, index });
    else runs.push({ action: rule.action, rules: [{ rule, index }] });
  }
  return runs;
}

function verdictOf(action: Exclude<RuleAction, 'log'>, { staged, stage }: ChainSource, config: RulesConfig): string {
  if (staged) return 'return';
  switch (action) {
    case 'allow':
      // What an early stage allows the later ones must know of.
      if (stage === 'untracked') return `notrack meta mark set meta mark | ${config.acceptedMark} accept`;
      return stage === 'pre-dnat' ? `meta mark set meta mark | ${config.acceptedMark} accept` : 'accept';
    case 'deny':
      // An answer can be sent only from the later hooks.
      return stage ? 'drop' : config.denyVerdict;
    case 'pass':
      return `meta mark set meta mark | ${config.passMark} return`;
  }
}

const words = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');

const singleRule = ({ clause, counter, origin }: CountedClause, verdict: string): Rule => ({
  text: words(clauseText(clause), `counter name "${counter}"`, verdict),
  comment: origin,
});

function lookupRule(step: Step & { kind: 'lookup' }, map: string, verdict: string): Rule {
  const first = step.clauses[0]?.origin ?? '';
  return {
    text: words(...step.rest, `counter name ${step.expression} map @${map}`, verdict),
    comment: `${first} and ${step.clauses.length - 1} more`,
  };
}

function logRule({ clause, counter, origin }: CountedClause, source: ChainSource, config: RulesConfig): Rule {
  const prefix = config.logPrefix
    .replaceAll('%p', source.owner)
    .replaceAll(/["\\\n]/g, '')
    .slice(0, 120);
  const limit = config.logRate ? `limit rate ${config.logRate} burst ${config.logBurst} packets` : '';
  return {
    text: words(clauseText(clause), `counter name "${counter}"`, limit, `log prefix "${prefix}: "`),
    comment: origin,
  };
}
