// Which established flows a change of policy has revoked, and which belong to an address that nobody has any more.
//
// Established flows pass before policy is asked, so a change reaches them only when connection tracking forgets them. What
// a change may concern is collected as suspicion – addresses, endpoints – and a flow is judged only when it is suspect: by
// the same evaluator that answers "why", on the same output of the calculation that the rules were made of.
// Pure: takes flows, returns those to cut.

import type { ConntrackFlow } from '../../linux/netlink/conntrack.ts';
import { type Address, familyOf, formatAddress, widthOf } from '../../net/address.ts';
import { familyOfPrefix, type Prefix } from '../../net/prefix.ts';
import type { CalcHostEndpoint, CalcTier, CalcUpdate, CalcWorkload, IpSetMember } from '../calc/output.ts';
import { Picture } from '../explain/picture.ts';
import { evaluate } from '../explain/verdict.ts';
import { concat } from '../nft/objects.ts';
import { type Interfaces, resolveHostEndpoints } from './host-endpoints.ts';
import { HostFlows, packetsOf, type Surroundings } from './host-flows.ts';

/** What a pass over the flows has to look at. */
export interface Suspicion {
  /** Flows of these addresses are cut without a question: they have changed hands. */
  readonly released: ReadonlySet<Address>;
  /** Flows from, to or between these are judged. */
  readonly addresses: ReadonlySet<Address>;
  /** Every flow of every endpoint is judged. */
  readonly everything: boolean;
}

interface Collected {
  readonly released: Set<Address>;
  readonly addresses: Set<Address>;
  everything: boolean;
}

const nothing = (): Collected => ({ released: new Set(), addresses: new Set(), everything: false });

/** Members of one change beyond which it is cheaper to look at everything. */
const mostAddresses = 256;

export class Revocation {
  private readonly picture = new Picture();
  // A suspicion counts when the rules that it comes from are in the kernel: a flow that is cut before can be opened again
  // by the old rules, and nobody would look at it any more. received → rendered → ready.
  private received = nothing();
  private inTransaction = nothing();
  private readonly ready = nothing();
  private started = false;
  /** Interface → id of its host endpoint. */
  private assigned: ReadonlyMap<string, string> = new Map();

  receive(update: CalcUpdate): void {
    this.suspect(update);
    this.picture.apply([update]);
  }

  /** Host endpoints may be given by an interface's address: one that moves takes its host endpoint along. */
  setInterfaces(interfaces: Interfaces): void {
    const assigned = resolveHostEndpoints([...this.picture.hostEndpoints.values()], interfaces);
    const before = this.assigned;
    this.assigned = new Map([...assigned].map(([name, { id }]) => [name, id]));
    this.received.everything ||= [...this.assigned].some(([name, id]) => before.get(name) !== id);
  }

  /** What was received so far is in the transaction that is about to be tried. */
  rendered(): void {
    add(this.inTransaction, this.received);
    this.received = nothing();
  }

  /** The transaction is in the kernel; one that failed is tried again, with what it had. */
  committed(): void {
    add(this.ready, this.inTransaction);
    this.inTransaction = nothing();
  }

  /** Addresses that have lost their owner, in the kernel too, since the last suspicion was taken. */
  released(): Iterable<Address> {
    return this.ready.released;
  }

  /** What has come together since the last call; undefined: no flow can be concerned. */
  takeSuspicion(): Suspicion | undefined {
    const { ready } = this;
    if (ready.released.size + ready.addresses.size === 0 && !ready.everything) return undefined;
    const taken = { ...ready, released: new Set(ready.released), addresses: new Set(ready.addresses) };
    ready.released.clear();
    ready.addresses.clear();
    ready.everything = false;
    return taken;
  }

  /** The pass failed: its flows are still to be looked at. */
  suspectAgain(suspicion: Suspicion): void {
    add(this.ready, suspicion);
  }

  /** A judge for one pass. A node may reach its own workloads whatever policy says. */
  judge(suspicion: Suspicion, surroundings: Surroundings): (flow: ConntrackFlow) => boolean {
    const { isOwnAddress } = surroundings;
    const hostFlows = new HostFlows(this.picture, surroundings);
    const byAddress = new Map<Address, CalcWorkload>();
    for (const workload of this.picture.workloads.values()) {
      for (const { address } of hostsOf(workload)) byAddress.set(address, workload);
    }
    const { released, addresses, everything } = suspicion;
    return (flow) => {
      const { source, destination } = flow.original;
      const server = flow.reply.source;
      if (released.has(source) || released.has(server) || released.has(destination)) return true;
      if (!everything && !addresses.has(source) && !addresses.has(server) && !addresses.has(destination)) return false;
      const packets = packetsOf(flow);
      const from = byAddress.get(source);
      if (from && !evaluate(this.picture, from, 'egress', packets.translated).allowed) return true;
      const to = byAddress.get(server);
      const isExempt = !to || (!from && isOwnAddress(source));
      if (!isExempt && !evaluate(this.picture, to, 'ingress', packets.translated).allowed) return true;
      return hostFlows.isRevoked({ ...packets, fromWorkload: from !== undefined, toWorkload: to !== undefined });
    };
  }

  private suspect(update: CalcUpdate): void {
    switch (update.kind) {
      case 'in-sync':
        // Whatever changed while nobody looked. Addresses of the first picture are not released: a restart cuts nothing.
        this.started = true;
        this.received.everything = true;
        break;
      case 'policy': {
        const { id } = update.policy;
        const lists = (tier: CalcTier): boolean => tier.ingress.includes(id) || tier.egress.includes(id);
        if (!this.picture.policies.has(id)) break;
        this.suspectUsers(({ tiers }) => tiers.some(lists));
        this.suspectHosts((host) => stagesOf(host).some(lists));
        break;
      }
      case 'profile': {
        const { name } = update.profile;
        if (!this.picture.profiles.has(name)) break;
        this.suspectUsers(({ profiles }) => profiles.includes(name));
        this.suspectHosts(({ profiles }) => profiles.includes(name));
        break;
      }
      case 'host-endpoint':
      case 'host-endpoint-removed':
        // Their flows have addresses of anybody. One that goes may leave its interface to another.
        this.received.everything = true;
        break;
      case 'config':
        this.received.everything ||= hostSettings.some(
          (name) => update.parameters[name] !== this.picture.parameters[name],
        );
        break;
      case 'ip-set-delta':
        this.suspectMembers([...update.added, ...update.removed]);
        break;
      case 'ip-set':
        // A new set comes with the policy that uses it; one that is replaced may have lost anybody.
        this.received.everything ||= this.picture.memberCount(update.id) > 0;
        break;
      case 'workload':
        this.suspectWorkload(update.workload);
        break;
      case 'workload-removed': {
        const workload = this.picture.workloads.get(update.id);
        if (workload) this.release(hostsOf(workload));
        break;
      }
    }
  }

  private suspectUsers(uses: (workload: CalcWorkload) => boolean): void {
    for (const workload of this.picture.workloads.values()) if (uses(workload)) this.suspectAddressesOf(workload);
  }

  private suspectHosts(uses: (host: CalcHostEndpoint) => boolean): void {
    this.received.everything ||= [...this.picture.hostEndpoints.values()].some(uses);
  }

  private suspectMembers(members: readonly IpSetMember[]): void {
    for (const member of members) {
      if (member.kind === 'address-port') this.received.addresses.add(member.address);
      else if (member.prefix.length === widthOf(familyOfPrefix(member.prefix))) {
        this.received.addresses.add(member.prefix.address);
      } else this.received.everything = true;
    }
    if (this.received.addresses.size > mostAddresses) this.received.everything = true;
  }

  private suspectWorkload(workload: CalcWorkload): void {
    const before = this.picture.workloads.get(workload.id);
    // Nothing of an interface that we did not know has passed. Flows of an address's last owner went with that one.
    if (!before) return;
    const kept = new Set(hostsOf(workload).map(({ address }) => address));
    this.release(hostsOf(before).filter(({ address }) => !kept.has(address)));
    this.suspectAddressesOf(workload);
  }

  private release(prefixes: readonly Prefix[]): void {
    if (this.started) for (const { address } of prefixes) this.received.released.add(address);
  }

  private suspectAddressesOf(workload: CalcWorkload): void {
    for (const { address } of hostsOf(workload)) this.received.addresses.add(address);
  }
}

/** Parameters that decide about flows of the node itself. */
const hostSettings = ['FailsafeInboundHostPorts', 'FailsafeOutboundHostPorts', 'DefaultEndpointToHostAction'] as const;

const stagesOf = (host: CalcHostEndpoint): readonly CalcTier[] => [
  ...host.tiers,
  ...host.forwardTiers,
  ...host.preDnatTiers,
];

function add(to: Collected, from: Suspicion): void {
  for (const address of from.released) to.released.add(address);
  for (const address of from.addresses) to.addresses.add(address);
  to.everything ||= from.everything;
}

const hostsOf = ({ addresses }: CalcWorkload) =>
  addresses.filter((prefix) => prefix.length === widthOf(familyOfPrefix(prefix)));

/**
 * The flow's answers, as the key of an element: source, destination, protocol and ports of what would still come from the
 * other side, and would look like a new flow in its own right once the old one is forgotten.
 */
export function answersKey({ original, reply }: ConntrackFlow): { family: 4 | 6; key: string } | undefined {
  if (original.sourcePort === undefined || reply.sourcePort === undefined) return undefined;
  const key = concat(
    formatAddress(reply.source),
    formatAddress(original.source),
    `${original.protocol}`,
    `${reply.sourcePort}`,
    `${original.sourcePort}`,
  );
  return { family: familyOf(original.source), key };
}
