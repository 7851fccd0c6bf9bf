// Endpoints of one kind on this node, and the policies that apply to each.
//
//   policies' selectors × labels of local endpoints → label index → per group of endpoints: policies arranged in tiers
//
// The order is worked out once per group of equally labelled endpoints, and its endpoints share the result. What differs
// between workloads and host endpoints is in endpoint-kinds.ts.

import { isDeepStrictEqual } from 'node:util';
import { elementsOf, getOrMake } from './few.ts';
import { type LabelGroup, LabelIndex, type LabelSet, type SelectorEntry } from './label-index.ts';
import type { CalcUpdate, PolicyId } from './output.ts';
import type { PlacedPolicy } from './tiers.ts';
import { UseCounts } from './use-counts.ts';

export interface LocalEndpoint<D> {
  readonly id: string;
  readonly labels: LabelSet;
  readonly profiles: readonly string[];
  /** What is delivered, without what policies add. */
  readonly details: D;
}

/** D: an endpoint's own details. A: the policies of an endpoint, arranged. */
export interface EndpointKind<D, A> {
  concerns(policy: PlacedPolicy): boolean;
  arrange(policies: readonly PlacedPolicy[]): A;
  policiesIn(arranged: A): Iterable<PolicyId>;
  addition(details: D, arranged: A): CalcUpdate;
  removal(id: string): CalcUpdate;
}

interface Policy<D> {
  place: PlacedPolicy;
  entry: SelectorEntry<Placed<D>, Policy<D>>;
}

interface Placed<D> {
  endpoint: LocalEndpoint<D>;
  group: Group<D>;
}

type Group<D> = LabelGroup<Placed<D>, Policy<D>>;

export class LocalEndpoints<D, A> {
  readonly #kind: EndpointKind<D, A>;
  readonly #index = new LabelIndex<Placed<D>, Policy<D>>();
  readonly #policies = new Map<PolicyId, Policy<D>>();
  readonly #policiesByTier = new Map<string, Set<Policy<D>>>();
  readonly #endpoints = new Map<string, Placed<D>>();
  readonly #arranged = new Map<Group<D>, A>();
  readonly #dirtyGroups = new Set<Group<D>>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly #delivered = new Set<string>();
  /** Policies and profiles that local endpoints refer to. */
  readonly policiesInUse = new UseCounts<PolicyId>();
  readonly profilesInUse = new UseCounts<string>();

  constructor(kind: EndpointKind<D, A>) {
    this.#kind = kind;
  }

  /** A tier came, went or changed; returns the policies to which it makes a difference. */
  tierChanged(name: string): readonly PolicyId[] {
    const affected = [...(this.#policiesByTier.get(name) ?? [])];
    for (const policy of affected) this.#markGroups(policy);
    return affected.map((policy) => policy.place.id);
  }

  setPolicy(place: PlacedPolicy): void {
    if (!this.#kind.concerns(place)) {
      this.removePolicy(place.id);
      return;
    }
    const existing = this.#policies.get(place.id);
    if (!existing) {
      const policy: Policy<D> = { place, entry: this.#index.entryOf(place.selector) };
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

  setEndpoint(endpoint: LocalEndpoint<D>): void {
    const { id, labels, profiles } = endpoint;
    const group = this.#index.groupOf(labels, profiles);
    const existing = this.#endpoints.get(id);
    this.profilesInUse.replace(existing?.endpoint.profiles ?? [], profiles);
    this.#dirtyEndpoints.add(id);
    if (!group.members) this.#dirtyGroups.add(group);
    if (!existing) {
      const placed: Placed<D> = { endpoint, group };
      this.#endpoints.set(id, placed);
      this.#index.enter(placed, group);
      return;
    }
    existing.endpoint = endpoint;
    if (existing.group === group) return;
    this.#index.enter(existing, group);
    this.#leave(existing);
    existing.group = group;
  }

  removeEndpoint(id: string): void {
    const placed = this.#endpoints.get(id);
    if (!placed) return;
    this.profilesInUse.replace(placed.endpoint.profiles, []);
    this.#endpoints.delete(id);
    this.#dirtyEndpoints.add(id);
    this.#leave(placed);
  }

  #leave(placed: Placed<D>): void {
    const { group } = placed;
    this.#index.leave(placed, group);
    if (!group.members) this.#dirtyGroups.add(group);
  }

  /** First step of a flush: brings the order of policies up to date, and with it which policies are in use. */
  arrange(): void {
    for (const group of this.#dirtyGroups) {
      const before = this.#arranged.get(group);
      if (!group.members) {
        this.#arranged.delete(group);
        this.policiesInUse.replace(this.#policiesIn(before), []);
        continue;
      }
      const places: PlacedPolicy[] = [];
      for (const entry of elementsOf(group.matches)) {
        for (const policy of entry.subscribers) places.push(policy.place);
      }
      const arranged = this.#kind.arrange(places);
      if (before && isDeepStrictEqual(before, arranged)) continue;
      this.#arranged.set(group, arranged);
      this.policiesInUse.replace(this.#policiesIn(before), this.#policiesIn(arranged));
      for (const placed of elementsOf(group.members)) this.#dirtyEndpoints.add(placed.endpoint.id);
    }
    this.#dirtyGroups.clear();
  }

  #policiesIn(arranged: A | undefined): Set<PolicyId> {
    return new Set(arranged ? this.#kind.policiesIn(arranged) : []);
  }

  /** Last step of a flush, when policies and sets have been delivered. */
  flush(): { readonly additions: readonly CalcUpdate[]; readonly removals: readonly CalcUpdate[] } {
    const additions: CalcUpdate[] = [];
    const removals: CalcUpdate[] = [];
    for (const id of this.#dirtyEndpoints) {
      const placed = this.#endpoints.get(id);
      const arranged = placed && this.#arranged.get(placed.group);
      if (placed && arranged) {
        additions.push(this.#kind.addition(placed.endpoint.details, arranged));
        this.#delivered.add(id);
      } else if (this.#delivered.delete(id)) {
        removals.push(this.#kind.removal(id));
      }
    }
    this.#dirtyEndpoints.clear();
    return { additions, removals };
  }

  #markGroups(policy: Policy<D>): void {
    for (const group of policy.entry.groups) this.#dirtyGroups.add(group);
  }

  #fileByTier(policy: Policy<D>): void {
    getOrMake(this.#policiesByTier, policy.place.tier, () => new Set<Policy<D>>()).add(policy);
  }

  #unfileByTier(policy: Policy<D>): void {
    const inTier = this.#policiesByTier.get(policy.place.tier);
    inTier?.delete(policy);
    if (inTier?.size === 0) this.#policiesByTier.delete(policy.place.tier);
  }
}

const samePlace = (a: PlacedPolicy, b: PlacedPolicy): boolean =>
  a.tier === b.tier && a.order === b.order && a.ingress === b.ingress && a.egress === b.egress && a.stage === b.stage;
