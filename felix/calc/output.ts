// What the calculation graph hands to the dataplane: only what this node's endpoints need.
//
// The order of delivery in one flush is: IP sets, then policies and profiles, then endpoints; removals the other way
// round. So whatever an update refers to has been delivered before it. After `in-sync` the picture is complete, and the
// dataplane may start to remove what it finds in the kernel beyond it.

import type { Address } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';

/** A selector's id, `s:…`, or a named port's, `n:…`; only ever compared. */
export type IpSetId = string;

/** `<kind>/<namespace>/<name>`, the namespace empty for global kinds: one policy resource. */
export type PolicyId = string;

export type IpSetMember =
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'address-port'; readonly address: Address; readonly protocol: number; readonly port: number };

/** `prefixes`: of `prefix` members; `address-ports`: of `address-port` members (named ports). */
export type IpSetType = 'prefixes' | 'address-ports';

export type RuleAction = 'allow' | 'deny' | 'pass' | 'log';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface IcmpMatch {
  readonly type: number;
  readonly code?: number;
}

/** One side of a rule. Everything given must match; an empty list of a positive match means "not given". */
export interface CalcEntity {
  readonly prefixes: readonly Prefix[];
  readonly notPrefixes: readonly Prefix[];
  /** The address must be in all of these sets. */
  readonly ipSets: readonly IpSetId[];
  readonly notIpSets: readonly IpSetId[];
  /** The port must be in one of the ranges or the address and port in one of the named-port sets. */
  readonly ports: readonly PortRange[];
  readonly namedPortSets: readonly IpSetId[];
  readonly notPorts: readonly PortRange[];
  readonly notNamedPortSets: readonly IpSetId[];
}

/** A rule with selectors resolved to IP sets, protocols to numbers: ready to be rendered or evaluated. */
export interface CalcRule {
  readonly action: RuleAction;
  readonly family?: 4 | 6;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  readonly source: CalcEntity;
  readonly destination: CalcEntity;
  /** Position in the resource's own list, for explanations: `ingress[3]`; of a converted policy, in what it was made from. */
  readonly origin: string;
}

export interface CalcPolicy {
  readonly id: PolicyId;
  readonly tier: string;
  readonly staged: boolean;
  /** Host endpoints only: preDNAT and doNotTrack policies. Absent: after connection tracking and destination NAT. */
  readonly stage?: 'pre-dnat' | 'untracked';
  readonly ingress: readonly CalcRule[];
  readonly egress: readonly CalcRule[];
  /** Rules with matches that nothing here enforces, such as HTTP: "ingress[3]". They have failed closed. */
  readonly notEnforced?: readonly string[];
}

export interface CalcProfile {
  readonly name: string;
  readonly ingress: readonly CalcRule[];
  readonly egress: readonly CalcRule[];
}

export interface CalcTier {
  readonly name: string;
  readonly defaultAction: 'deny' | 'pass';
  /** Policies of this tier that select the endpoint, in evaluation order, by direction. Staged ones included. */
  readonly ingress: readonly PolicyId[];
  readonly egress: readonly PolicyId[];
}

/** Key of a workload endpoint: its resource's `<namespace>/<name>`. */
export type WorkloadId = string;

export interface CalcWorkload {
  readonly id: WorkloadId;
  readonly interfaceName: string;
  readonly addresses: readonly Prefix[];
  readonly mac?: string;
  readonly tiers: readonly CalcTier[];
  readonly profiles: readonly string[];
  readonly allowedSourcePrefixes: readonly Prefix[];
  /** Mod revision of the resource this came from: whoever waits for "programmed" waits for this. */
  readonly revision: number;
}

/** An interface of this node, or all of them, to which policy applies. */
export interface CalcHostEndpoint {
  /** The resource's name. */
  readonly id: string;
  /** "*": every interface but those of workloads. Absent: the interface that has one of the expected addresses. */
  readonly interfaceName?: string;
  readonly expectedAddresses: readonly Address[];
  /** For packets from and to the node itself. Without any policy, profiles decide, and then deny. */
  readonly tiers: readonly CalcTier[];
  /** For packets forwarded through the interface. Empty: such packets pass; a Pass out of the last tier lets them pass too. */
  readonly forwardTiers: readonly CalcTier[];
  /** Before destination NAT, ingress only. What no rule decides goes on: these tiers have no default action. */
  readonly preDnatTiers: readonly CalcTier[];
  /** Before connection tracking, each direction by itself. What no rule decides goes on; what is allowed is not tracked. */
  readonly untrackedTiers: readonly CalcTier[];
  /** For packets from and to the node itself only. */
  readonly profiles: readonly string[];
  /** Mod revision of the resource this came from. */
  readonly revision: number;
}

export interface CalcPool {
  readonly prefix: Prefix;
  readonly natOutgoing: boolean;
}

/** One node's route-relevant facts. */
export interface CalcHost {
  readonly node: string;
  readonly addresses: readonly Address[];
}

export type CalcUpdate =
  | {
      readonly kind: 'ip-set';
      readonly id: IpSetId;
      readonly type: IpSetType;
      readonly members: readonly IpSetMember[];
    }
  | {
      readonly kind: 'ip-set-delta';
      readonly id: IpSetId;
      readonly added: readonly IpSetMember[];
      readonly removed: readonly IpSetMember[];
    }
  | { readonly kind: 'ip-set-removed'; readonly id: IpSetId }
  | { readonly kind: 'policy'; readonly policy: CalcPolicy }
  | { readonly kind: 'policy-removed'; readonly id: PolicyId }
  | { readonly kind: 'profile'; readonly profile: CalcProfile }
  | { readonly kind: 'profile-removed'; readonly name: string }
  | { readonly kind: 'workload'; readonly workload: CalcWorkload }
  | { readonly kind: 'workload-removed'; readonly id: WorkloadId }
  | { readonly kind: 'host-endpoint'; readonly hostEndpoint: CalcHostEndpoint }
  | { readonly kind: 'host-endpoint-removed'; readonly id: string }
  | { readonly kind: 'pool'; readonly pool: CalcPool }
  | { readonly kind: 'pool-removed'; readonly prefix: Prefix }
  | { readonly kind: 'host'; readonly host: CalcHost }
  | { readonly kind: 'host-removed'; readonly node: string }
  /** Felix parameters, resolved from all their sources: see felix/config.ts. */
  | { readonly kind: 'config'; readonly parameters: Readonly<Record<string, string>> }
  | { readonly kind: 'in-sync' };
