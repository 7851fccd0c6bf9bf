// A dataplane for tests: takes the graph's updates, keeps what they add up to, and insists on their order.

import assert from 'node:assert/strict';
import type {
  CalcHostEndpoint,
  CalcPolicy,
  CalcProfile,
  CalcRule,
  CalcTier,
  CalcUpdate,
  CalcWorkload,
  IpSetMember,
} from '../../../felix/calc/output.ts';
import { formatAddress } from '../../../net/address.ts';
import { formatPrefix } from '../../../net/prefix.ts';

export const memberText = (member: IpSetMember): string =>
  member.kind === 'prefix'
    ? formatPrefix(member.prefix)
    : `${formatAddress(member.address)},${member.protocol}:${member.port}`;

export class OutputState {
  readonly ipSets = new Map<string, Set<string>>();
  readonly policies = new Map<string, CalcPolicy>();
  readonly profiles = new Map<string, CalcProfile>();
  readonly workloads = new Map<string, CalcWorkload>();
  readonly hostEndpoints = new Map<string, CalcHostEndpoint>();
  readonly pools = new Map<string, boolean>();
  readonly hosts = new Map<string, readonly string[]>();
  parameters: Readonly<Record<string, string>> = {};
  inSync = false;

  apply(updates: readonly CalcUpdate[]): void {
    for (const update of updates) this.#applyOne(update);
  }

  #applyOne(update: CalcUpdate): void {
    switch (update.kind) {
      case 'ip-set':
        this.ipSets.set(update.id, new Set(update.members.map(memberText)));
        assert.equal(this.ipSets.get(update.id)?.size, update.members.length, 'members of a set are distinct');
        return;
      case 'ip-set-delta': {
        const set = this.ipSets.get(update.id);
        assert.ok(set, `${update.id} changes and was never delivered`);
        for (const member of update.removed) assert.ok(set.delete(memberText(member)), 'what is removed was there');
        for (const member of update.added) {
          assert.ok(!set.has(memberText(member)), `${memberText(member)} is added and was there`);
          set.add(memberText(member));
        }
        return;
      }
      case 'ip-set-removed':
        assert.ok(this.ipSets.delete(update.id));
        for (const rule of this.#rules()) {
          assert.ok(!setsOfRule(rule).includes(update.id), `${update.id} is removed and still referred to`);
        }
        return;
      case 'policy':
        for (const id of [...update.policy.ingress, ...update.policy.egress].flatMap(setsOfRule)) {
          assert.ok(this.ipSets.has(id), `${update.policy.id} refers to ${id}, which was not delivered`);
        }
        this.policies.set(update.policy.id, update.policy);
        return;
      case 'policy-removed':
        assert.ok(this.policies.delete(update.id));
        for (const workload of this.workloads.values()) {
          assert.ok(!policiesOf(workload.tiers).includes(update.id), `${update.id} is removed and still referred to`);
        }
        return;
      case 'profile':
        this.profiles.set(update.profile.name, update.profile);
        return;
      case 'profile-removed':
        assert.ok(this.profiles.delete(update.name));
        return;
      case 'workload':
        for (const id of policiesOf(update.workload.tiers)) assert.ok(this.policies.has(id), `${id} was not delivered`);
        for (const name of update.workload.profiles) assert.ok(this.profiles.has(name), `${name} was not delivered`);
        this.workloads.set(update.workload.id, update.workload);
        return;
      case 'workload-removed':
        assert.ok(this.workloads.delete(update.id));
        return;
      case 'host-endpoint': {
        const { tiers, forwardTiers, preDnatTiers, untrackedTiers, profiles } = update.hostEndpoint;
        for (const id of policiesOf([...tiers, ...forwardTiers, ...preDnatTiers, ...untrackedTiers])) {
          assert.ok(this.policies.has(id), `${id} was not delivered`);
        }
        for (const name of profiles) assert.ok(this.profiles.has(name), `${name} was not delivered`);
        this.hostEndpoints.set(update.hostEndpoint.id, update.hostEndpoint);
        return;
      }
      case 'host-endpoint-removed':
        assert.ok(this.hostEndpoints.delete(update.id));
        return;
      case 'pool':
        this.pools.set(formatPrefix(update.pool.prefix), update.pool.natOutgoing);
        return;
      case 'pool-removed':
        assert.ok(this.pools.delete(formatPrefix(update.prefix)));
        return;
      case 'host':
        this.hosts.set(update.host.node, update.host.addresses.map(formatAddress));
        return;
      case 'host-removed':
        assert.ok(this.hosts.delete(update.node));
        return;
      case 'config':
        this.parameters = update.parameters;
        return;
      case 'in-sync':
        this.inSync = true;
        return;
    }
  }

  *#rules(): Iterable<CalcRule> {
    for (const { ingress, egress } of [...this.policies.values(), ...this.profiles.values()]) {
      yield* ingress;
      yield* egress;
    }
  }

  /** Everything, sorted, as plain data: equal exactly when the dataplane would be the same. */
  snapshot(): unknown {
    const sorted = <V>(map: ReadonlyMap<string, V>): [string, V][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      ipSets: sorted(this.ipSets).map(([id, members]) => [id, [...members].sort()]),
      policies: sorted(this.policies).map(([, policy]) => plain(policy)),
      profiles: sorted(this.profiles).map(([, profile]) => plain(profile)),
      workloads: sorted(this.workloads).map(([, workload]) => plain({ ...workload, revision: 0 })),
      hostEndpoints: sorted(this.hostEndpoints).map(([, endpoint]) => plain({ ...endpoint, revision: 0 })),
      pools: sorted(this.pools),
      hosts: sorted(this.hosts),
      parameters: this.parameters,
    };
  }
}

const policiesOf = (tiers: readonly CalcTier[]): readonly string[] =>
  tiers.flatMap((tier) => [...tier.ingress, ...tier.egress]);

const setsOfRule = ({ source, destination }: CalcRule): readonly string[] =>
  [source, destination].flatMap((entity) => [
    ...entity.ipSets,
    ...entity.notIpSets,
    ...entity.namedPortSets,
    ...entity.notNamedPortSets,
  ]);

/** Without prototypes, and with text in place of bigints. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? `${inner}n` : inner)));
