// The answer as text for a terminal.

import type { CrossingExplanation, Explanation, SideExplanation } from './explain.ts';
import { policyName, type RuleStep, type TierStep } from './verdict.ts';

const MOST_SILENT_POLICIES = 8;

export function formatExplanation(explanation: Explanation): string {
  const { source, destination, traffic, allowed, egress, ingress, crossings } = explanation;
  const end = ({ name, address }: Explanation['source']): string => (name === address ? name : `${name} (${address})`);
  const lines = [
    `${allowed ? 'ALLOWED' : 'DENIED'}  ${end(source)} -> ${end(destination)}  ${traffic}`,
    ...formatSide(`egress from ${source.name}`, egress),
    ...crossings.flatMap(formatCrossing),
    ...formatSide(`ingress to ${destination.name}`, ingress),
  ];
  return `${lines.join('\n')}\n`;
}

const hasUnenforcedMatch = 'has a match on services or HTTP, which is not enforced here: it opens nothing';

/** Rules that do not do what they say, though they look as if they would decide. */
export const unenforcedRules = (tiers: readonly TierStep[]): readonly string[] =>
  tiers.flatMap(({ policies }) =>
    policies.flatMap(({ policy, notEnforced = [] }) =>
      notEnforced.map((origin) => `${policyName(policy)} ${origin} ${hasUnenforcedMatch}`),
    ),
  );

function formatSide(title: string, side: SideExplanation): readonly string[] {
  const lines = ['', `${title}: ${side.allowed ? 'allowed' : 'denied'}`, `  ${side.because}`];
  for (const tier of side.tiers) lines.push(...formatTier(tier));
  for (const { profile, rules, outcome } of side.profiles) {
    lines.push(`  profile ${profile}: ${outcome}`, ...rules.map(formatRule));
  }
  if (side.notApplying.length > 0) {
    lines.push('  policies without a say:');
    for (const { policy, reason } of side.notApplying.slice(0, MOST_SILENT_POLICIES))
      lines.push(`    ${policyName(policy)} ${reason}`);
    const more = side.notApplying.length - MOST_SILENT_POLICIES;
    if (more > 0) lines.push(`    and ${more} more`);
  }
  if (side.wouldChange.length > 0)
    lines.push('  what would change it:', ...side.wouldChange.map((text) => `    ${text}`));
  return lines;
}

function formatCrossing(crossing: CrossingExplanation): readonly string[] {
  const { node, hostEndpoint, direction, allowed, because, tiers } = crossing;
  const way = direction === 'egress' ? 'out of' : 'into';
  const title = `forwarded ${way} node ${node}, host endpoint ${hostEndpoint}: ${allowed ? 'allowed' : 'denied'}`;
  return ['', title, `  ${because}`, ...tiers.flatMap(formatTier)];
}

function formatTier({ tier, policies, outcome }: TierStep): readonly string[] {
  const lines = [`  tier ${tier}: ${outcome}`];
  for (const step of policies) {
    lines.push(`    ${policyName(step.policy)}${step.staged ? ' (staged, not enforced)' : ''}: ${step.outcome}`);
    lines.push(...step.rules.map((rule) => `  ${formatRule(rule)}`));
    lines.push(...(step.notEnforced ?? []).map((origin) => `        ${origin} ${hasUnenforcedMatch}`));
  }
  return lines;
}

const formatRule = ({ origin, action, matches, reasons }: RuleStep): string =>
  `    ${matches ? '*' : ' '} ${origin} ${action}${matches ? '' : `: ${reasons.join('; ')}`}`;
