// The ordered policies of an endpoint, for one direction, as chains that equal endpoints share.
//
//   ingress/tiers/<a>   jump policy 1 · pass mark? goto <b> · jump policy 2 · drop (the tier's default)
//   ingress/tiers/<b>   jump policy 3 · (tier defaults to pass: no drop) · jump profile 1 · drop
//
// Only a tier that can be left by Pass needs a chain to go to; without Pass rules an endpoint's list is one chain. Names
// are hashes of contents, so equal lists, and equal ends of lists, are the same chain.

import type { CalcTier, PolicyId } from '../calc/output.ts';
import type { Chain, Rule } from '../nft/objects.ts';
import type { RulesConfig } from './config.ts';
import {
  type Direction,
  defaultActionCounter,
  noProfileCounter,
  policyChain,
  profileChain,
  tiersChain,
} from './names.ts';

/** What a tiers chain has to know about a policy in one direction. */
export interface PolicyShape {
  readonly hasRules: boolean;
  readonly canPass: boolean;
  readonly staged: boolean;
}

export interface RenderedTiers {
  /** The chain to enter. */
  readonly entry: string;
  readonly chains: readonly Chain[];
  readonly counters: readonly string[];
}

export interface TiersSource {
  readonly tiers: readonly CalcTier[];
  readonly profiles: readonly string[];
}

/** Shapes of policies and profiles, in the direction that is rendered. */
export interface TierShapes {
  readonly policy: (id: PolicyId) => PolicyShape;
  readonly profileHasRules: (name: string) => boolean;
}

/**
 * What becomes of a packet that the tiers do not decide. `profiles`: they decide, else it is dropped. `pass-on`: it goes on.
 * `pass-on-undecided`: it goes on, and tiers have no default action either.
 */
export type TiersEnd = 'profiles' | 'pass-on' | 'pass-on-undecided';

export function renderTiers(
  direction: Direction,
  source: TiersSource,
  shapes: TierShapes,
  config: RulesConfig,
  end: TiersEnd = 'profiles',
): RenderedTiers {
  const counters = end === 'profiles' ? [noProfileCounter(direction)] : [];
  const chains: Chain[] = [];
  const asChain = (rules: readonly Rule[]): string => {
    const name = tiersChain(direction, rules.map((rule) => `${rule.text}\n${rule.comment}\n`).join(''));
    chains.push({ name, rules });
    return name;
  };

  let rules =
    end === 'profiles'
      ? profileRules(direction, source.profiles, shapes.profileHasRules, config)
      : [{ text: 'accept', comment: 'goes on' }];
  for (const tier of source.tiers.toReversed()) {
    const policies = tier[direction].map((id) => ({ id, shape: shapes.policy(id) }));
    if (policies.length === 0) continue;
    const passing = policies.some(({ shape }) => shape.canPass);
    const next = passing ? asChain(rules) : undefined;
    const enforced = policies.some(({ shape }) => !shape.staged);
    const own: Rule[] = [];
    if (passing)
      own.push({ text: `meta mark set meta mark & ${config.withoutPassMark}`, comment: `tier ${tier.name}` });
    for (const { id, shape } of policies) {
      if (shape.hasRules) own.push({ text: `jump ${policyChain(direction, id)}`, comment: tier.name });
      if (shape.canPass && next) {
        own.push({ text: `meta mark & ${config.passMark} == ${config.passMark} goto ${next}`, comment: 'passed' });
      }
    }
    if (enforced && tier.defaultAction === 'deny' && end !== 'pass-on-undecided') {
      const counter = defaultActionCounter(direction, tier.name);
      counters.push(counter);
      // Nothing after this is reached.
      rules = [
        ...own,
        { text: `counter name "${counter}" ${config.denyVerdict}`, comment: `end of tier ${tier.name}` },
      ];
    } else rules = next ? [...own, { text: `goto ${next}`, comment: `end of tier ${tier.name}` }] : [...own, ...rules];
  }
  return { entry: asChain(rules), chains, counters };
}

function profileRules(
  direction: Direction,
  profiles: readonly string[],
  hasRules: (name: string) => boolean,
  config: RulesConfig,
): Rule[] {
  const jumps = profiles
    .filter(hasRules)
    .map((name): Rule => ({ text: `jump ${profileChain(direction, name)}`, comment: 'profile' }));
  const drop = `counter name "${noProfileCounter(direction)}" ${config.denyVerdict}`;
  return [...jumps, { text: drop, comment: 'no profile allows it' }];
}
