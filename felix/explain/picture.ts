// What the calculation graph has delivered, kept for questions: the evaluator's counterpart of the kernel's table.

import { type Address, familyOf, widthOf } from '../../net/address.ts';
import { formatPrefix, prefixOf } from '../../net/prefix.ts';
import type {
  CalcHostEndpoint,
  CalcPolicy,
  CalcProfile,
  CalcUpdate,
  CalcWorkload,
  IpSetId,
  IpSetMember,
  PolicyId,
} from '../calc/output.ts';

export class Picture {
  readonly workloads = new Map<string, CalcWorkload>();
  readonly hostEndpoints = new Map<string, CalcHostEndpoint>();
  readonly policies = new Map<PolicyId, CalcPolicy>();
  readonly profiles = new Map<string, CalcProfile>();
  readonly hosts = new Map<string, readonly Address[]>();
  parameters: Readonly<Record<string, string>> = {};
  readonly #ipSets = new Map<IpSetId, Set<string>>();

  apply(updates: readonly CalcUpdate[]): void {
    for (const update of updates) this.#applyOne(update);
  }

  #applyOne(update: CalcUpdate): void {
    switch (update.kind) {
      case 'ip-set':
        this.#ipSets.set(update.id, new Set(update.members.map(memberKey)));
        return;
      case 'ip-set-delta': {
        const members = this.#ipSets.get(update.id);
        for (const member of update.removed) members?.delete(memberKey(member));
        for (const member of update.added) members?.add(memberKey(member));
        return;
      }
      case 'ip-set-removed':
        this.#ipSets.delete(update.id);
        return;
      case 'policy':
        this.policies.set(update.policy.id, update.policy);
        return;
      case 'policy-removed':
        this.policies.delete(update.id);
        return;
      case 'profile':
        this.profiles.set(update.profile.name, update.profile);
        return;
      case 'profile-removed':
        this.profiles.delete(update.name);
        return;
      case 'workload':
        this.workloads.set(update.workload.id, update.workload);
        return;
      case 'workload-removed':
        this.workloads.delete(update.id);
        return;
      case 'host-endpoint':
        this.hostEndpoints.set(update.hostEndpoint.id, update.hostEndpoint);
        return;
      case 'host-endpoint-removed':
        this.hostEndpoints.delete(update.id);
        return;
      case 'host':
        this.hosts.set(update.host.node, update.host.addresses);
        return;
      case 'host-removed':
        this.hosts.delete(update.node);
        return;
      case 'config':
        this.parameters = update.parameters;
        return;
      case 'pool':
      case 'pool-removed':
      case 'in-sync':
        return;
    }
  }

  /** Whether an address is in an IP set of prefixes. */
  isMember(id: IpSetId, address: Address): boolean {
    const members = this.#ipSets.get(id);
    if (!members || members.size === 0) return false;
    for (let length = widthOf(familyOf(address)); length >= 0; length--) {
      if (members.has(formatPrefix(prefixOf(address, length)))) return true;
    }
    return false;
  }

  /** Whether an address offers the named port of a set under this number. */
  offersPort(id: IpSetId, address: Address, protocol: number, port: number): boolean {
    return this.#ipSets.get(id)?.has(portKey(address, protocol, port)) ?? false;
  }

  memberCount(id: IpSetId): number {
    return this.#ipSets.get(id)?.size ?? 0;
  }
}

const portKey = (address: Address, protocol: number, port: number): string =>
  `${familyOf(address)}:${address}/${protocol}/${port}`;

const memberKey = (member: IpSetMember): string =>
  member.kind === 'prefix' ? formatPrefix(member.prefix) : portKey(member.address, member.protocol, member.port);
