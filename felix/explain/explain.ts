// An answer for people and programs: may this traffic pass, who decides, and what would change it.

import { formatAddress } from '../../net/address.ts';
import type { End } from './ends.ts';
import { formatTraffic, type Traffic } from './packet.ts';
import type { Flow, NotApplying, PolicyWorld, Side } from './policy-world.ts';
import {
  type DecidedBy,
  type Direction,
  type ProfileStep,
  policyName,
  type RuleStep,
  ruleKey,
  type TierStep,
} from './verdict.ts';

export interface Explanation {
  readonly source: EndSummary;
  readonly destination: EndSummary;
  /** "tcp/80". */
  readonly traffic: string;
  readonly allowed: boolean;
  readonly egress: SideExplanation;
  readonly ingress: SideExplanation;
  readonly crossings: readonly CrossingExplanation[];
}

/** A host endpoint that forwards the packet, and has policies for that. */
export interface CrossingExplanation {
  readonly node: string;
  readonly hostEndpoint: string;
  readonly direction: Direction;
  readonly allowed: boolean;
  readonly because: string;
  readonly tiers: readonly TierStep[];
}

export interface EndSummary {
  readonly kind: End['kind'];
  readonly name: string;
  readonly address: string;
}

export interface SideExplanation {
  readonly allowed: boolean;
  /** One sentence. */
  readonly because: string;
  readonly decidedBy?: DecidedBy;
  readonly tiers: readonly TierStep[];
  readonly profiles: readonly ProfileStep[];
  readonly notApplying: readonly NotApplying[];
  /** Sentences. */
  readonly wouldChange: readonly string[];
}

export function explain(world: PolicyWorld, source: End, destination: End, traffic: Traffic): Explanation | string {
  const result = world.flow(source, destination, traffic);
  if (result.kind === 'problem') return result.problem;
  const { flow } = result;
  return {
    source: { kind: source.kind, name: source.name, address: formatAddress(flow.packet.source) },
    destination: { kind: destination.kind, name: destination.name, address: formatAddress(flow.packet.destination) },
    traffic: formatTraffic(flow.packet),
    allowed: flow.allowed,
    egress: explainSide(world, flow, 'egress', traffic),
    ingress: explainSide(world, flow, 'ingress', traffic),
    crossings: flow.crossings.map(({ node, hostEndpoint, direction, allowed, verdict }) => {
      const { decidedBy, tiers } = verdict;
      const undecided = decidedBy.kind === 'no-profile';
      const because = undecided ? 'no policy decides: forwarded packets pass' : describeDecision(decidedBy, allowed);
      return { node, hostEndpoint, direction, allowed, because, tiers };
    }),
  };
}

function explainSide(world: PolicyWorld, flow: Flow, direction: Direction, traffic: Traffic): SideExplanation {
  const side = flow[direction];
  if (side.kind === 'exempt') {
    const { allowed, reason } = side;
    return { allowed, because: reason, tiers: [], profiles: [], notApplying: [], wouldChange: [] };
  }
  const { allowed, decidedBy, tiers, profiles } = side.verdict;
  const end = direction === 'egress' ? flow.source : flow.destination;
  return {
    allowed,
    because: describeDecision(decidedBy, allowed),
    decidedBy,
    tiers,
    profiles,
    notApplying: world.notApplying(end, direction),
    wouldChange: [...nearMisses(side), ...withoutDecidingRule(world, flow, direction, traffic, decidedBy)],
  };
}

/** Rules are `ingress[3]`; what stands for a whole policy that can not be had says why. */
const isRule = (origin: string): boolean => origin.endsWith(']');

/** "NetworkPolicy/prod/web ingress[0] denies", "profile web is missing, which denies". */
const whoDoes = (owner: string, origin: string, does: string): string =>
  isRule(origin) ? `${owner} ${origin} ${does}` : `${owner} ${origin.replace(/^profile /, '')}, which ${does}`;

export function describeDecision(decidedBy: DecidedBy, allowed: boolean): string {
  const does = allowed ? 'allows' : 'denies';
  switch (decidedBy.kind) {
    case 'rule':
      return `${whoDoes(policyName(decidedBy.policy), decidedBy.origin, does)} it, in tier ${decidedBy.tier}`;
    case 'tier-default': {
      const { policies, tier } = decidedBy;
      const which =
        policies.length === 1 ? `${policyName(policies.join())} applies` : `${policies.length} policies apply`;
      return `the end of tier ${tier} denies it: ${which} and no rule matches`;
    }
    case 'profile':
      return `no policy decides; ${whoDoes(`profile ${decidedBy.profile}`, decidedBy.origin, does)} it`;
    case 'no-profile': {
      const names = decidedBy.profiles.join(', ');
      return names === ''
        ? 'no policy decides, and it has no profile'
        : `no policy decides, and no profile (${names}) allows it`;
    }
  }
}

const MOST_SUGGESTIONS = 5;

/** For what is denied: allowing rules before the decision that match but for one thing. */
function nearMisses({ verdict }: Extract<Side, { kind: 'policy' }>): readonly string[] {
  if (verdict.allowed) return [];
  const near = (owner: string, rules: readonly RuleStep[]): string[] =>
    rules
      .filter((step) => step.action === 'allow' && step.reasons.length === 1)
      .map((step) => `${owner} ${step.origin} would allow it, but: ${step.reasons.join()}`);
  const enforced = verdict.tiers.flatMap((tier) => tier.policies).filter((step) => !step.staged);
  return [
    ...enforced.flatMap((step) => near(policyName(step.policy), step.rules)),
    ...verdict.profiles.flatMap((step) => near(`profile ${step.profile}`, step.rules)),
  ].slice(0, MOST_SUGGESTIONS);
}

function remedy(decidedBy: Extract<DecidedBy, { kind: 'rule' | 'profile' }>): string {
  if (decidedBy.kind === 'profile')
    return `apply a Profile ${decidedBy.profile} with rules, or a policy that allows it`;
  const { policy, origin, tier } = decidedBy;
  return origin === 'tier is missing'
    ? `apply a Tier ${tier}`
    : `mend ${policyName(policy)}: twillctl validate says what is wrong`;
}

function withoutDecidingRule(
  world: PolicyWorld,
  flow: Flow,
  direction: Direction,
  traffic: Traffic,
  decidedBy: DecidedBy,
): readonly string[] {
  if (decidedBy.kind !== 'rule' && decidedBy.kind !== 'profile') return [];
  if (!isRule(decidedBy.origin)) return [remedy(decidedBy)];
  const owner = decidedBy.kind === 'rule' ? decidedBy.policy : decidedBy.profile;
  const without = new Set([ruleKey(owner, decidedBy.origin)]);
  const again = world.flow(flow.source, flow.destination, traffic, { without });
  const side = again.kind === 'flow' ? again.flow[direction] : undefined;
  if (side?.kind !== 'policy') return [];
  return [`without that rule: ${describeDecision(side.verdict.decidedBy, side.verdict.allowed)}`];
}
