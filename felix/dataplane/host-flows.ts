// Flows of the node itself, and those forwarded through its own interfaces: which of them host endpoints would not let in today.
//
//   flow                      host endpoint of                        stages
//   outside → this node       the interface towards the source        pre-DNAT, normal ingress
//   this node → outside       the interface towards the destination   normal egress
//   outside → elsewhere       the interface towards the source        pre-DNAT, forward ingress
//   elsewhere → outside       the interface towards the destination   forward egress
//   workload → this node      –                                       DefaultEndpointToHostAction
//
// Connection tracking does not know interfaces: we take the one by which answers would leave. Where packets come in by one
// interface and answers leave by another, it is the latter's host endpoint that decides here. Untracked policy needs none of
// this: it is asked about every packet.

import type { ConntrackFlow } from '../../linux/netlink/conntrack.ts';
import type { Address } from '../../net/address.ts';
import { prefixContains } from '../../net/prefix.ts';
import type { CalcHostEndpoint, CalcTier } from '../calc/output.ts';
import type { Packet } from '../explain/packet.ts';
import type { Picture } from '../explain/picture.ts';
import { type Direction, evaluate, type Verdict } from '../explain/verdict.ts';
import { type FailsafePort, type RulesConfig, rulesConfig } from '../rules/config.ts';
import { type Interfaces, resolveHostEndpoints } from './host-endpoints.ts';

/** What of the node's own surroundings decides about a flow. */
export interface Surroundings {
  readonly isOwnAddress: (address: Address) => boolean;
  readonly interfaces: Interfaces;
  /** The interface by which the node would send there; undefined: it would not. */
  readonly interfaceTowards: (address: Address) => string | undefined;
}

/** A flow's first packet as seen before and after destination NAT, and which of its ends are workloads here. */
export interface HostFlow {
  readonly arriving: Packet;
  readonly translated: Packet;
  readonly fromWorkload: boolean;
  readonly toWorkload: boolean;
}

export class HostFlows {
  private readonly picture: Picture;
  private readonly surroundings: Surroundings;
  private readonly config: RulesConfig;
  private readonly byInterface: ReadonlyMap<string, CalcHostEndpoint>;
  private readonly towards = new Map<Address, string | undefined>();

  constructor(picture: Picture, surroundings: Surroundings) {
    this.picture = picture;
    this.surroundings = surroundings;
    this.config = rulesConfig(picture.parameters);
    this.byInterface = resolveHostEndpoints([...picture.hostEndpoints.values()], surroundings.interfaces);
  }

  isRevoked(flow: HostFlow): boolean {
    const { translated, fromWorkload, toWorkload } = flow;
    const { isOwnAddress } = this.surroundings;
    const toNode = !toWorkload && isOwnAddress(translated.destination);
    if (fromWorkload && toNode) return this.config.endpointToHostAction === 'drop';
    const fromNode = !fromWorkload && isOwnAddress(translated.source);
    if (this.byInterface.size === 0 || (fromNode && toNode)) return false;
    const comingIn = fromWorkload || fromNode ? undefined : this.endpointTowards(translated.source);
    const goingOut = toWorkload || toNode ? undefined : this.endpointTowards(translated.destination);
    return (
      (comingIn !== undefined && !this.comesIn(comingIn, flow, toNode)) ||
      (goingOut !== undefined && !this.goesOut(goingOut, translated, fromNode))
    );
  }

  private comesIn(endpoint: CalcHostEndpoint, { arriving, translated }: HostFlow, toNode: boolean): boolean {
    const early = this.beforeNat(endpoint, arriving);
    if (early === 'deny') return false;
    if (!toNode) return this.isForwarded(endpoint, 'ingress', translated);
    return early === 'allow' || this.isAllowed(endpoint, 'ingress', translated, this.config.failsafe.inbound);
  }

  private goesOut(endpoint: CalcHostEndpoint, packet: Packet, fromNode: boolean): boolean {
    return fromNode
      ? this.isAllowed(endpoint, 'egress', packet, this.config.failsafe.outbound)
      : this.isForwarded(endpoint, 'egress', packet);
  }

  /** Tiers before destination NAT have no default action: what no rule decides goes on. */
  private beforeNat({ preDnatTiers }: CalcHostEndpoint, packet: Packet): 'allow' | 'deny' | 'undecided' {
    if (!hasPolicies(preDnatTiers, 'ingress')) return 'undecided';
    if (isFailsafe(this.config.failsafe.inbound, packet, packet.source)) return 'undecided';
    const tiers = preDnatTiers.map((tier): CalcTier => ({ ...tier, defaultAction: 'pass' }));
    const verdict = this.verdict(tiers, [], 'ingress', packet);
    return verdict.decidedBy.kind !== 'rule' ? 'undecided' : verdict.allowed ? 'allow' : 'deny';
  }

  private isAllowed(
    { tiers, profiles }: CalcHostEndpoint,
    direction: Direction,
    packet: Packet,
    failsafe: readonly FailsafePort[],
  ): boolean {
    const peer = direction === 'ingress' ? packet.source : packet.destination;
    return isFailsafe(failsafe, packet, peer) || this.verdict(tiers, profiles, direction, packet).allowed;
  }

  private isForwarded({ forwardTiers }: CalcHostEndpoint, direction: Direction, packet: Packet): boolean {
    if (!hasPolicies(forwardTiers, direction)) return true;
    const verdict = this.verdict(forwardTiers, [], direction, packet);
    return verdict.allowed || verdict.decidedBy.kind === 'no-profile';
  }

  private verdict(
    tiers: readonly CalcTier[],
    profiles: readonly string[],
    direction: Direction,
    packet: Packet,
  ): Verdict {
    return evaluate(this.picture, { tiers, profiles }, direction, packet);
  }

  private endpointTowards(address: Address): CalcHostEndpoint | undefined {
    if (!this.towards.has(address)) this.towards.set(address, this.surroundings.interfaceTowards(address));
    const name = this.towards.get(address) ?? '';
    const isOurs = name === 'lo' || this.config.interfacePrefixes.some((prefix) => name.startsWith(prefix));
    return this.byInterface.get(name) ?? (isOurs ? undefined : this.byInterface.get('*'));
  }
}

const hasPolicies = (tiers: readonly CalcTier[], direction: Direction): boolean =>
  tiers.some((tier) => tier[direction].length > 0);

const isFailsafe = (ports: readonly FailsafePort[], packet: Packet, peer: Address): boolean =>
  ports.some(
    ({ protocol, port, prefix }) =>
      protocol === packet.protocol && port === packet.destinationPort && (!prefix || prefixContains(prefix, peer)),
  );

/** The flow's first packet before and after destination NAT; the policy chains see its source untranslated. */
export function packetsOf({ original, reply }: ConntrackFlow): Pick<HostFlow, 'arriving' | 'translated'> {
  const { source, protocol, sourcePort, icmpType, icmpCode } = original;
  const common = {
    source,
    protocol,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(icmpType !== undefined && { icmpType }),
    ...(icmpCode !== undefined && { icmpCode }),
  };
  const towards = (destination: Address, destinationPort: number | undefined): Packet => ({
    ...common,
    destination,
    ...(destinationPort !== undefined && { destinationPort }),
  });
  return {
    arriving: towards(original.destination, original.destinationPort),
    translated: towards(reply.source, reply.sourcePort),
  };
}
