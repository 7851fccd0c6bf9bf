// What sets workloads and host endpoints apart: which policies concern them, and into which lists these go.

import type { EndpointKind } from './local-endpoints.ts';
import type { CalcHostEndpoint, CalcTier, CalcWorkload, PolicyId } from './output.ts';
import type { PlacedPolicy, PolicyStage, Tiers } from './tiers.ts';

export type WorkloadDetails = Omit<CalcWorkload, 'tiers'>;

export function workloadKind(tiers: Tiers): EndpointKind<WorkloadDetails, readonly CalcTier[]> {
  return {
    concerns: ({ stage }) => stage === 'normal' || stage === 'forward',
    arrange: (policies) => tiers.arrange(policies),
    policiesIn,
    addition: (details, arranged) => ({ kind: 'workload', workload: { ...details, tiers: arranged } }),
    removal: (id) => ({ kind: 'workload-removed', id }),
  };
}

type TierLists = Pick<CalcHostEndpoint, 'tiers' | 'forwardTiers' | 'preDnatTiers' | 'untrackedTiers'>;
export type HostEndpointDetails = Omit<CalcHostEndpoint, keyof TierLists>;

export function hostEndpointKind(tiers: Tiers): EndpointKind<HostEndpointDetails, TierLists> {
  const arrange = (policies: readonly PlacedPolicy[], ...stages: readonly PolicyStage[]): readonly CalcTier[] =>
    tiers.arrange(policies.filter(({ stage }) => stages.includes(stage)));
  return {
    concerns: () => true,
    arrange: (policies) => ({
      tiers: arrange(policies, 'normal', 'forward'),
      forwardTiers: arrange(policies, 'forward'),
      preDnatTiers: arrange(policies, 'pre-dnat'),
      untrackedTiers: arrange(policies, 'untracked'),
    }),
    policiesIn: ({ tiers: normal, forwardTiers, preDnatTiers, untrackedTiers }) =>
      policiesIn([...normal, ...forwardTiers, ...preDnatTiers, ...untrackedTiers]),
    addition: (details, arranged) => ({ kind: 'host-endpoint', hostEndpoint: { ...details, ...arranged } }),
    removal: (id) => ({ kind: 'host-endpoint-removed', id }),
  };
}

function* policiesIn(tiers: readonly CalcTier[]): Iterable<PolicyId> {
  for (const { ingress, egress } of tiers) {
    yield* ingress;
    yield* egress;
  }
}
