// Which established flows a change of policy has revoked, and which belong to an address that nobody has any more.
//
// Established flows pass before policy is asked, so a change reaches them only when connection tracking forgets them. What
// a change may concern is collected as suspicion – addresses, endpoints – and a flow is judged only when it is suspect: by
// the same evaluator that answers "why", on the same output of the calculation that the rules were made of.
// Pure: takes flows, returns those to cut.

import type { ConntrackFlow } from '../../linux/netlink/conntrack.ts';
import { type Address, familyOf, formatAddress, widthOf } from '../../net/address.ts';
import { familyOfPrefix, type Prefix } from '../../net/prefix.ts';
import type { CalcTier, CalcUpdate, CalcWorkload, IpSetMember } from '../calc/output.ts';
import type { Packet } from '../explain/packet.ts';
import { Picture } from '../explain/picture.ts';
import { evaluate } from '../explain/verdict.ts';
import { concat } from '../nft/objects.ts';

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

  receive(update: CalcUpdate): void {
    this.suspect(update);
    this.picture.apply([update]);
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

  /** A judge for one pass. `isOwnAddress`: of this node itself, which may reach its workloads whatever policy says. */
  judge(suspicion: Suspicion, isOwnAddress: (address: Address) => boolean): (flow: ConntrackFlow) => boolean {
    const byAddress = new Map<Address, CalcWorkload>();
    for (const workload of this.picture.workloads.values()) {
      for (const { address } of hostsOf(workload)) byAddress.set(address, workload);
    }
    const { released, addresses, everything } = suspicion;
    return (flow) => {
      const { source, destination } = flow.original;
      const server = flow.reply.source;
      if (released.has(source) || released.has(server) || released.has(destination)) return true;
      if (!everything && !addresses.has(source) && !addresses.has(server)) return false;
      const packet = packetOf(flow);
      const from = byAddress.get(source);
      if (from && !evaluate(this.picture, from, 'egress', packet).allowed) return true;
      const to = byAddress.get(server);
      if (!to || (!from && isOwnAddress(source))) return false;
      return !evaluate(this.picture, to, 'ingress', packet).allowed;
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
        if (this.picture.policies.has(id)) this.suspectUsers(({ tiers }) => tiers.some(lists));
        break;
      }
      case 'profile': {
        const { name } = update.profile;
        if (this.picture.profiles.has(name)) this.suspectUsers(({ profiles }) => profiles.includes(name));
        break;
      }
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

function add(to: Collected, from: Suspicion): void {
  for (const address of from.released) to.released.add(address);
  for (const address of from.addresses) to.addresses.add(address);
  to.everything ||= from.everything;
}

const hostsOf = ({ addresses }: CalcWorkload) =>
  addresses.filter((prefix) => prefix.length === widthOf(familyOfPrefix(prefix)));

/** The flow's first packet as the policy chains saw it: after destination NAT, before source NAT. */
function packetOf({ original, reply }: ConntrackFlow): Packet {
  const { source, protocol, sourcePort, icmpType, icmpCode } = original;
  return {
    source,
    destination: reply.source,
    protocol,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(reply.sourcePort !== undefined && { destinationPort: reply.sourcePort }),
    ...(icmpType !== undefined && { icmpType }),
    ...(icmpCode !== undefined && { icmpCode }),
  };
}

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
