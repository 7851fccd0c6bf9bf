// The registry of kinds, and the TypeScript types that follow from their declarations.
//
// To add a kind: declare it in kinds/, add it here. Keys, validation, twillctl and the reference know it then.

import { bgpConfiguration, bgpPeer } from './kinds/bgp.ts';
import { bgpFilter } from './kinds/bgp-filter.ts';
import { clusterInformation, kubeControllersConfiguration } from './kinds/cluster.ts';
import type { DraftFrom, KindDeclaration, ResourceFrom } from './kinds/common.ts';
import { globalNetworkSet, hostEndpoint, networkSet, profile, workloadEndpoint } from './kinds/endpoint.ts';
import { felixConfiguration } from './kinds/felix/felix-configuration.ts';
import { blockAffinity, ipamConfiguration, ipPool, ipReservation } from './kinds/ip-pool.ts';
import { calicoNodeStatus, node } from './kinds/node.ts';
import {
  globalNetworkPolicy,
  networkPolicy,
  stagedGlobalNetworkPolicy,
  stagedKubernetesNetworkPolicy,
  stagedNetworkPolicy,
  tier,
} from './kinds/policy.ts';

export const apiVersion = 'projectcalico.org/v3';

export const kinds = {
  BGPConfiguration: bgpConfiguration,
  BGPFilter: bgpFilter,
  BGPPeer: bgpPeer,
  BlockAffinity: blockAffinity,
  CalicoNodeStatus: calicoNodeStatus,
  ClusterInformation: clusterInformation,
  FelixConfiguration: felixConfiguration,
  GlobalNetworkPolicy: globalNetworkPolicy,
  GlobalNetworkSet: globalNetworkSet,
  HostEndpoint: hostEndpoint,
  IPAMConfiguration: ipamConfiguration,
  IPPool: ipPool,
  IPReservation: ipReservation,
  KubeControllersConfiguration: kubeControllersConfiguration,
  NetworkPolicy: networkPolicy,
  NetworkSet: networkSet,
  Node: node,
  Profile: profile,
  StagedGlobalNetworkPolicy: stagedGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy: stagedKubernetesNetworkPolicy,
  StagedNetworkPolicy: stagedNetworkPolicy,
  Tier: tier,
  WorkloadEndpoint: workloadEndpoint,
} as const;

export type Kind = keyof typeof kinds;

/** A resource as it is read: fields with a default are present. */
export type ResourceOf<K extends Kind> = { [P in K]: ResourceFrom<(typeof kinds)[P]> }[K];
/** A resource as it is handed in for writing: fields with a default may be left out. */
export type DraftOf<K extends Kind> = { [P in K]: DraftFrom<(typeof kinds)[P]> }[K];
/** Any resource; `kind` tells which. */
export type Resource = ResourceOf<Kind>;

export type BGPConfiguration = ResourceOf<'BGPConfiguration'>;
export type BGPFilter = ResourceOf<'BGPFilter'>;
export type BGPPeer = ResourceOf<'BGPPeer'>;
export type BlockAffinity = ResourceOf<'BlockAffinity'>;
export type CalicoNodeStatus = ResourceOf<'CalicoNodeStatus'>;
export type ClusterInformation = ResourceOf<'ClusterInformation'>;
export type FelixConfiguration = ResourceOf<'FelixConfiguration'>;
export type GlobalNetworkPolicy = ResourceOf<'GlobalNetworkPolicy'>;
export type GlobalNetworkSet = ResourceOf<'GlobalNetworkSet'>;
export type HostEndpoint = ResourceOf<'HostEndpoint'>;
export type IPAMConfiguration = ResourceOf<'IPAMConfiguration'>;
export type IPPool = ResourceOf<'IPPool'>;
export type IPReservation = ResourceOf<'IPReservation'>;
export type KubeControllersConfiguration = ResourceOf<'KubeControllersConfiguration'>;
export type NetworkPolicy = ResourceOf<'NetworkPolicy'>;
export type NetworkSet = ResourceOf<'NetworkSet'>;
export type Node = ResourceOf<'Node'>;
export type Profile = ResourceOf<'Profile'>;
export type StagedGlobalNetworkPolicy = ResourceOf<'StagedGlobalNetworkPolicy'>;
export type StagedKubernetesNetworkPolicy = ResourceOf<'StagedKubernetesNetworkPolicy'>;
export type StagedNetworkPolicy = ResourceOf<'StagedNetworkPolicy'>;
export type Tier = ResourceOf<'Tier'>;
export type WorkloadEndpoint = ResourceOf<'WorkloadEndpoint'>;

/** A rule of a policy or profile. */
export type PolicyRule = NonNullable<NetworkPolicy['spec']['ingress']>[number];
/** One side of a rule. */
export type PolicyEntity = NonNullable<PolicyRule['source']>;

export const isKind = (name: string): name is Kind => Object.hasOwn(kinds, name);

/** A kind's declaration without the types of its fields: for code that treats all kinds alike. */
export const declarationOf = (name: Kind): KindDeclaration => kinds[name];
