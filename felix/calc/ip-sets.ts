// The IP sets that active rules need, kept current as sources and their labels change.
//
//   sources (endpoints, network sets, host endpoints) → label index → selectors → sets of them → members
//
// A set lives while some active policy or profile wants it. A set nobody wants any more is dropped at the next flush and
// not at once: a policy that is edited gives its sets up and takes most of them again.

import type { Address } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import { elementsOf, type Few, getOrMake, sizeOfFew } from './few.ts';
import { type IndexedSelector, type LabelGroup, LabelIndex, type LabelSet, type SelectorEntry } from './label-index.ts';
import { AddressPortMembers, PrefixMembers } from './members.ts';
import type { CalcUpdate, IpSetId } from './output.ts';
import { type PooledPrefix, PrefixPool } from './prefix-pool.ts';

export interface NamedPort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

/** What the pods of one Deployment have in common. Whoever can tell that it is the same hands over the same object. */
export interface SourceShape {
  readonly labels: LabelSet;
  /** Profiles, whose labels it inherits. */
  readonly parents: readonly string[];
  readonly ports: readonly NamedPort[];
}

/** Something with labels and addresses that selectors in rules can mean. */
export interface SourceInput {
  readonly shape: SourceShape;
  readonly prefixes: readonly Prefix[];
}

/** What a rule refers to: all sources that a selector matches, or one named port of them. */
export interface IpSetSpec {
  readonly id: IpSetId;
  readonly selector: IndexedSelector;
  readonly port?: { readonly name: string; readonly protocol: number };
}

interface Source {
  group: LabelGroup<Source, IpSet>;
  prefixes: Few<PooledPrefix>;
  ports: readonly NamedPort[];
}

interface IpSet {
  readonly spec: IpSetSpec;
  readonly entry: SelectorEntry<Source, IpSet>;
  readonly members: PrefixMembers | AddressPortMembers;
  wanted: number;
  delivered: boolean;
}

/** Where in the index sources of one shape are. */
interface Placement {
  readonly group: LabelGroup<Source, IpSet>;
  readonly ports: readonly NamedPort[];
}

const MAX_PORT_LISTS = 4096;
const MAX_PLACEMENTS = 4096;
const noPorts: readonly NamedPort[] = [];

export class IpSets {
  readonly #index = new LabelIndex<Source, IpSet>();
  readonly #pool = new PrefixPool();
  readonly #sources = new Map<string, Source>();
  readonly #sets = new Map<IpSetId, IpSet>();
  readonly #changed = new Set<IpSet>();
  /** Lists of named ports by their text: the pods of a Deployment share one. */
  readonly #portLists = new Map<string, readonly NamedPort[]>();
  /** What was worked out for shapes: 250,000 endpoints come in some thousands of them. */
  readonly #placements = new Map<SourceShape, Placement>();

  get setCount(): number {
    return this.#sets.size;
  }

  /** True when there was none of that key. */
  setSource(key: string, input: SourceInput): boolean {
    const prefixes = this.#pool.acquire(input.prefixes);
    const placement = this.#place(input.shape);
    const existing = this.#sources.get(key);
    if (existing) {
      this.#replace(existing, placement, prefixes);
      return false;
    }
    const { group, ports } = placement;
    const source: Source = { group, prefixes, ports };
    this.#index.enter(source, group);
    this.#sources.set(key, source);
    if (group.matches) for (const set of setsOf(group)) this.#contribute(set, source);
    return true;
  }

  #place(shape: SourceShape): Placement {
    const known = this.#placements.get(shape);
    // A group that everybody left is not the index's any more.
    if (known && this.#index.has(known.group)) return known;
    const group = this.#index.groupOf(shape.labels, shape.parents);
    const placement = { group, ports: this.#sharedPorts(shape.ports) };
    if (this.#placements.size >= MAX_PLACEMENTS) this.#placements.clear();
    this.#placements.set(shape, placement);
    return placement;
  }

  #replace(source: Source, { group, ports }: Placement, prefixes: Few<PooledPrefix>): void {
    const before = { group: source.group, prefixes: source.prefixes, ports: source.ports };
    const same = sameElements(before.prefixes, prefixes) && before.ports === ports;
    if (same && group === before.group) {
      this.#pool.release(prefixes);
      return;
    }
    this.#index.enter(source, group);
    source.group = group;
    source.prefixes = prefixes;
    source.ports = ports;
    // Added before removed, so that what stays never leaves a set.
    const setsBefore = new Set(setsOf(before.group));
    const setsAfter = new Set(setsOf(group));
    for (const set of setsAfter) if (!same || !setsBefore.has(set)) this.#contribute(set, source);
    for (const set of setsBefore) if (!same || !setsAfter.has(set)) this.#withdraw(set, before);
    this.#pool.release(before.prefixes);
    if (group !== before.group) this.#index.leave(source, before.group);
  }

  #sharedPorts(ports: readonly NamedPort[]): readonly NamedPort[] {
    if (ports.length === 0) return noPorts;
    const text = ports.map(({ name, protocol, port }) => `${name}/${protocol}/${port}`).join();
    // Only for sharing: forgetting them costs memory and nothing else.
    if (this.#portLists.size >= MAX_PORT_LISTS) this.#portLists.clear();
    return getOrMake(this.#portLists, text, () => ports);
  }

  removeSource(key: string): void {
    const source = this.#sources.get(key);
    if (!source) return;
    this.#sources.delete(key);
    for (const set of setsOf(source.group)) this.#withdraw(set, source);
    this.#index.leave(source, source.group);
    this.#pool.release(source.prefixes);
  }

  /** Labels that sources inherit from a profile; undefined when it does not exist. */
  setParentLabels(name: string, labels: ReadonlyMap<string, string> | undefined): void {
    for (const { entry, group, matches } of this.#index.setParent(name, labels)) {
      for (const set of entry.subscribers) {
        for (const source of elementsOf(group.members)) {
          if (matches) this.#contribute(set, source);
          else this.#withdraw(set, source);
        }
      }
    }
  }

  want(spec: IpSetSpec): void {
    const existing = this.#sets.get(spec.id);
    if (existing) {
      existing.wanted++;
      return;
    }
    const members = spec.port ? new AddressPortMembers() : new PrefixMembers();
    const entry = this.#index.entryOf(spec.selector);
    const set: IpSet = { spec, entry, members, wanted: 1, delivered: false };
    entry.subscribers.add(set);
    this.#sets.set(spec.id, set);
    this.#changed.add(set);
    for (const group of entry.groups) {
      for (const source of elementsOf(group.members)) this.#contribute(set, source);
    }
  }

  unwant(id: IpSetId): void {
    const set = this.#sets.get(id);
    if (set && --set.wanted === 0) this.#changed.add(set);
  }

  describe(id: IpSetId): string | undefined {
    const spec = this.#sets.get(id)?.spec;
    return spec && (spec.port ? `port ${spec.port.name} of ${spec.selector.text}` : spec.selector.text);
  }

  /** What the dataplane must learn before it hears of rules, and what it may drop after. */
  flush(): { readonly additions: readonly CalcUpdate[]; readonly removals: readonly CalcUpdate[] } {
    const additions: CalcUpdate[] = [];
    const removals: CalcUpdate[] = [];
    for (const set of this.#changed) {
      const { id } = set.spec;
      if (set.wanted === 0) {
        this.#sets.delete(id);
        this.#index.unsubscribe(set.entry, set);
        if (set.delivered) removals.push({ kind: 'ip-set-removed', id });
        continue;
      }
      const delta = set.members.takeDelta();
      if (!set.delivered) {
        const type = set.spec.port ? 'address-ports' : 'prefixes';
        additions.push({ kind: 'ip-set', id, type, members: set.members.list() });
        set.delivered = true;
      } else if (delta.added.length > 0 || delta.removed.length > 0) {
        additions.push({ kind: 'ip-set-delta', id, ...delta });
      }
    }
    this.#changed.clear();
    this.#placements.clear();
    this.#pool.sweep();
    return { additions, removals };
  }

  #contribute(set: IpSet, source: Pick<Source, 'prefixes' | 'ports'>): void {
    this.#changed.add(set);
    const { members } = set;
    if (members instanceof PrefixMembers) for (const prefix of elementsOf(source.prefixes)) members.add(prefix);
    else for (const [address, port] of offers(set, source)) members.add(address, port.protocol, port.port);
  }

  #withdraw(set: IpSet, source: Pick<Source, 'prefixes' | 'ports'>): void {
    this.#changed.add(set);
    const { members } = set;
    if (members instanceof PrefixMembers) for (const prefix of elementsOf(source.prefixes)) members.remove(prefix);
    else for (const [address, port] of offers(set, source)) members.remove(address, port.protocol, port.port);
  }
}

/** The addresses at which a source offers the set's named port. */
function* offers(set: IpSet, source: Pick<Source, 'prefixes' | 'ports'>): Iterable<readonly [Address, NamedPort]> {
  for (const port of source.ports) {
    if (port.name !== set.spec.port?.name || port.protocol !== set.spec.port.protocol) continue;
    for (const prefix of elementsOf(source.prefixes)) if (prefix.isHost) yield [prefix.address, port];
  }
}

function* setsOf(group: LabelGroup<Source, IpSet>): Iterable<IpSet> {
  for (const entry of elementsOf(group.matches)) yield* entry.subscribers;
}

function sameElements(a: Few<PooledPrefix>, b: Few<PooledPrefix>): boolean {
  if (sizeOfFew(a) !== sizeOfFew(b)) return false;
  const ofB = new Set(elementsOf(b));
  for (const prefix of elementsOf(a)) if (!ofB.has(prefix)) return false;
  return true;
}
