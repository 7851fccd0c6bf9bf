// The endpoints of this node, and the policies that apply to each.
//
//   policies' selectors × labels of local endpoints → label index → per group of endpoints: tiers with policies in order
//
// The order is worked out once per group of equally labelled endpoints, and its endpoints share the result.

import { isDeepStrictEqual } from 'node:util';
import { elementsOf } from './few.ts';
import { type IndexedSelector, type LabelGroup, LabelIndex, type LabelSet, type SelectorEntry } from './label-index.ts';
import type { CalcTier, CalcUpdate, CalcWorkload, PolicyId, WorkloadId } from './output.ts';
import type { TierInput } from './tiers.ts';
import { type PolicyPlace, Tiers } from './tiers.ts';
import { UseCounts } from './use-counts.ts';

/** A policy as far as matching and ordering go. */
export interface PlacedPolicy extends PolicyPlace {
  readonly selector: IndexedSelector;
}

/** A workload of this node without what policies add to it. */
export interface LocalWorkload {
  readonly labels: LabelSet;
  readonly endpoint: Omit<CalcWorkload, 'tiers'>;
}

interface Policy {
  place: PlacedPolicy;
  entry: SelectorEntry<Endpoint, Policy>;
}

interface Endpoint {
  workload: LocalWorkload;
  group: Group;
}

type Group = LabelGroup<Endpoint, Policy>;

export class LocalEndpoints {
  readonly #index = new LabelIndex<Endpoint, Policy>();
  readonly #tiers = new Tiers();
  readonly #policies = new Map<PolicyId, Policy>();
  readonly #policiesByTier = new Map<string, Set<Policy>>();
  readonly #endpoints = new Map<WorkloadId, Endpoint>();
  readonly #arranged = new Map<Group, readonly CalcTier[]>();
  readonly #dirtyGroups = new Set<Group>();
  readonly #dirtyEndpoints = new Set<WorkloadId>();
  readonly #delivered = new Set<WorkloadId>();
  /** Policies and profiles that local endpoints refer to. */
  readonly policiesInUse = new UseCounts<PolicyId>();
  readonly profilesInUse = new UseCounts<string>();

  isTierKnown(name: string): boolean {
    return this.#tiers.isKnown(name);
  }

  /** Returns the policies to which it makes a difference. */
  setTier(name: string, tier: TierInput | undefined): readonly PolicyId[] {
    if (!this.#tiers.set(name, tier)) return [];
    const affected = [...(this.#policiesByTier.get(name) ?? [])];
    for (const policy of affected) this.#markGroups(policy);
    return affected.map((policy) => policy.place.id);
  }

  setPolicy(place: PlacedPolicy): void {
    const existing = this.#policies.get(place.id);
    if (!existing) {
      const policy: Policy = { place, entry: this.#index.entryOf(place.selector) };
      policy.entry.subscribers.add(policy);
      this.#policies.set(place.id, policy);
      this.#fileByTier(policy);
      this.#markGroups(policy);
      return;
    }
    if (existing.place.selector.text === place.selector.text && samePlace(existing.place, place)) {
      existing.place = place;
      return;
    }
    this.#markGroups(existing);
    this.#unfileByTier(existing);
    existing.place = place;
    this.#fileByTier(existing);
    const entry = this.#index.entryOf(place.selector);
    if (entry !== existing.entry) {
      entry.subscribers.add(existing);
      this.#index.unsubscribe(existing.entry, existing);
      existing.entry = entry;
    }
    this.#markGroups(existing);
  }

  removePolicy(id: PolicyId): void {
    const policy = this.#policies.get(id);
    if (!policy) return;
    this.#markGroups(policy);
    this.#policies.delete(id);
    this.#unfileByTier(policy);
    this.#index.unsubscribe(policy.entry, policy);
  }

  setParentLabels(name: string, labels: ReadonlyMap<string, string> | undefined): void {
    for (const { group } of this.#index.setParent(name, labels)) this.#dirtyGroups.add(group);
  }

  setWorkload(workload: LocalWorkload): void {
    const { id, profiles } = workload.endpoint;
    const group = this.#index.groupOf(workload.labels, profiles);
    const existing = this.#endpoints.get(id);
    this.profilesInUse.replace(existing?.workload.endpoint.profiles ?? [], profiles);
    this.#dirtyEndpoints.add(id);
    if (!group.members) this.#dirtyGroups.add(group);
    if (!existing) {
      const endpoint: Endpoint = { workload, group };
      this.#endpoints.set(id, endpoint);
      this.#index.enter(endpoint, group);
      return;
    }
    existing.workload = workload;
    if (existing.group === group) return;
    this.#index.enter(existing, group);
    this.#leave(existing);
    existing.group = group;
  }

  removeWorkload(id: WorkloadId): void {
    const endpoint = this.#endpoints.get(id);
    if (!endpoint) return;
    this.profilesInUse.replace(endpoint.workload.endpoint.profiles, []);
    this.#endpoints.delete(id);
    this.#dirtyEndpoints.add(id);
    this.#leave(endpoint);
  }

  #leave(endpoint: Endpoint): void {
    const { group } = endpoint;
    this.#index.leave(endpoint, group);
    if (!group.members) this.#dirtyGroups.add(group);
  }

  /** First step of a flush: brings the tiers of groups up to date, and with them which policies are in use. */
  arrange(): void {
    for (const group of this.#dirtyGroups) {
      const before = this.#arranged.get(group);
      if (!group.members) {
        this.#arranged.delete(group);
        this.policiesInUse.replace(policyIds(before), []);
        continue;
      }
      const places: PolicyPlace[] = [];
      for (const entry of elementsOf(group.matches)) {
        for (const policy of entry.subscribers) places.push(policy.place);
      }
      const tiers = this.#tiers.arrange(places);
      if (before && isDeepStrictEqual(before, tiers)) continue;
      this.#arranged.set(group, tiers);
      this.policiesInUse.replace(policyIds(before), policyIds(tiers));
      for (const endpoint of elementsOf(group.members)) this.#dirtyEndpoints.add(endpoint.workload.endpoint.id);
    }
    this.#dirtyGroups.clear();
  }

  /** Last step of a flush, when policies and sets have been delivered. */
  flush(): { readonly additions: readonly CalcUpdate[]; readonly removals: readonly CalcUpdate[] } {
    const additions: CalcUpdate[] = [];
    const removals: CalcUpdate[] = [];
    for (const id of this.#dirtyEndpoints) {
      const endpoint = this.#endpoints.get(id);
      if (endpoint) {
        const tiers = this.#arranged.get(endpoint.group) ?? [];
        additions.push({ kind: 'workload', workload: { ...endpoint.workload.endpoint, tiers } });
        this.#delivered.add(id);
      } else if (this.#delivered.delete(id)) {
        removals.push({ kind: 'workload-removed', id });
      }
    }
    this.#dirtyEndpoints.clear();
    return { additions, removals };
  }

  #markGroups(policy: Policy): void {
    for (const group of policy.entry.groups) this.#dirtyGroups.add(group);
  }

  #fileByTier(policy: Policy): void {
    const inTier = this.#policiesByTier.get(policy.place.tier);
    if (inTier) inTier.add(policy);
    else this.#policiesByTier.set(policy.place.tier, new Set([policy]));
  }

  #unfileByTier(policy: Policy): void {
    const inTier = this.#policiesByTier.get(policy.place.tier);
    inTier?.delete(policy);
    if (inTier?.size === 0) this.#policiesByTier.delete(policy.place.tier);
  }
}

const samePlace = (a: PolicyPlace, b: PolicyPlace): boolean =>
  a.tier === b.tier && a.order === b.order && a.ingress === b.ingress && a.egress === b.egress;

function policyIds(tiers: readonly CalcTier[] | undefined): Set<PolicyId> {
  const ids = new Set<PolicyId>();
  for (const tier of tiers ?? []) {
    for (const id of tier.ingress) ids.add(id);
    for (const id of tier.egress) ids.add(id);
  }
  return ids;
}
