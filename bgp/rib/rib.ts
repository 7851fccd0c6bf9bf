// The RIBs of a speaker as its owner sees them: peers come and go, UPDATEs go in, UPDATEs come out, best paths change.
//
//   UPDATE bytes ─► AdjRibIn ─► FamilyRib (one for IPv4, one for IPv6) ─► UpdateGroup ─► outlets
//                       └───── AttributeStore, shared by both ─────┘
//
// Everything is synchronous and without time; flush() is called once per turn of the event loop in which something came.

import type { Address } from '../../net/address.ts';
import { addressToBytes } from '../../net/address.ts';
import type { AddressFamily, BestPathSettings, OriginatedRoute } from '../settings.ts';
import type { WireContext } from '../wire/attributes.ts';
import { encodeAttributes } from '../wire/update.ts';
import { AdjRibIn, type AdjRibInOptions } from './adj-rib-in.ts';
import { AllPathsGroup } from './all-paths-group.ts';
import { AttributeStore, type Identity, LLGR_STALE, Trait } from './attribute-store.ts';
import { BestPathGroup } from './best-path-group.ts';
import { isUsable } from './decision.ts';
import { Exporter } from './exporter.ts';
import { FamilyRib } from './family-rib.ts';
import { Filtering } from './filtering.ts';
import type { RouteFilter } from './policy.ts';
import { findPrefix, internPrefix } from './prefixes.ts';
import { LOCAL, localSource, type Source, Sources } from './source.ts';
import { type Treatment, treatmentKey } from './treatment.ts';
import type { Outlet, UpdateGroup } from './update-group.ts';
import type { UpdateWriter } from './update-writer.ts';

export const families: readonly AddressFamily[] = ['ipv4-unicast', 'ipv6-unicast'];

export interface SessionOptions {
  readonly context: WireContext;
  readonly families: readonly AddressFamily[];
  readonly extendedNextHop: boolean;
  readonly importFilter: RouteFilter;
  readonly onEndOfRib: (family: AddressFamily) => void;
  readonly onFindings?: AdjRibInOptions['onFindings'];
}

export class Rib {
  readonly store: AttributeStore;
  readonly sources = new Sources();
  readonly filtering: Filtering;
  readonly exporter: Exporter;
  readonly #ribs: ReadonlyMap<AddressFamily, FamilyRib>;
  readonly #groups = new Map<string, UpdateGroup>();
  readonly #ownNextHops = new Set<Address>();
  /** Sources of peers that are gone. */
  readonly #retired = new Set<number>();
  /** Inbound sides of the sources that may have routes, those of sessions that have ended among them. */
  readonly #adjRibsIn = new Map<number, AdjRibIn>();
  readonly #originated = new Map<AddressFamily, Map<number, OriginatedRoute>>();

  constructor(identity: Identity, asn: number) {
    this.store = new AttributeStore(identity, (index) => {
      return this.#ownNextHops.has(this.store.nextHops.get(index).address);
    });
    this.filtering = new Filtering(this.store, this.sources);
    this.#ribs = new Map(families.map((family) => [family, new FamilyRib(family, this.store, this.sources)]));
    this.exporter = new Exporter(this.store, this.sources, (attributes, prefix, treatment) => {
      return this.filtering.apply(treatment.filter, attributes, this.family(treatment.family).prefixes, prefix);
    });
    this.sources.add(localSource(asn, identity.routerId));
    for (const family of families) this.#originated.set(family, new Map());
  }

  /** Other rules for the choice of best paths: all are chosen anew when the rules differ. */
  setBestPath(bestPath: BestPathSettings): void {
    for (const rib of this.#ribs.values()) rib.setBestPath(bestPath);
  }

  family(family: AddressFamily): FamilyRib {
    const rib = this.#ribs.get(family);
    if (!rib) throw new RangeError(`no RIB of family ${family}`);
    return rib;
  }

  get groups(): Iterable<UpdateGroup> {
    return this.#groups.values();
  }

  /** An address of this node: routes with it as next hop would come back to us. */
  addOwnAddress(address: Address): void {
    this.#ownNextHops.add(address);
  }

  /** A peer's inbound side for the length of a session. The source must have been added to `sources`. */
  open(source: number, about: Source, options: SessionOptions): AdjRibIn {
    const { context, extendedNextHop, importFilter: filter, onEndOfRib, onFindings } = options;
    const ribs = new Map(options.families.map((family) => [family, this.family(family)]));
    const adjRibIn = new AdjRibIn(this.store, this.filtering, {
      source,
      about,
      context,
      filter,
      ribs,
      extendedNextHop,
      onEndOfRib,
      ...(onFindings ? { onFindings } : {}),
    });
    this.#adjRibsIn.set(source, adjRibIn);
    return adjRibIn;
  }

  /** Routes with these next hops are reached by other interfaces now, for which rules of filters may ask. */
  reachedOtherwise(nextHops: ReadonlySet<number>): void {
    this.filtering.forget();
    for (const adjRibIn of this.#adjRibsIn.values()) adjRibIn.judgeAgain(nextHops);
  }

  /**
   * What a source's routes mean has changed: loops are looked for anew, and whom its routes go to. Its import filter must be
   * set again afterwards, for what it made of them.
   */
  rejudge(source: number, about: Source): void {
    this.sources.replace(source, about);
    this.store.rejudge(source, about);
    this.filtering.forget();
    this.exporter.forget();
    for (const rib of this.#ribs.values()) {
      rib.paths.forEachOf(source, (path) => rib.touch(rib.paths.prefixes[path] ?? 0));
    }
  }

  /** Makes a peer's routes go away, those of one family or of all. */
  drop(source: number, only: readonly AddressFamily[] = families): void {
    for (const family of only) this.family(family).removeAll(source);
  }

  /** The peer restarts: its routes stay until they are announced again, or dropStale() is called. */
  markStale(source: number, family: AddressFamily): void {
    this.family(family).paths.markStale(source);
  }

  /** RFC 9494 §4.2: stale routes get the community LLGR_STALE, and those with NO_LLGR go. */
  markLongLivedStale(source: number, family: AddressFamily): void {
    const rib = this.family(family);
    const { paths } = rib;
    paths.forEachOf(source, (path) => {
      if (paths.stale?.[path] !== 1) return;
      const attributes = paths.attributes[path] ?? 0;
      const prefix = paths.prefixes[path] ?? 0;
      rib.touch(prefix);
      if (((this.store.traits[attributes] ?? 0) & Trait.noLongLived) !== 0) paths.remove(path);
      else if (attributes !== 0) paths.attributes[path] = this.filtering.withCommunity(attributes, LLGR_STALE);
    });
  }

  dropStale(source: number, family: AddressFamily): void {
    this.family(family).removeAll(source, true);
  }

  /** Begins to send a peer all best routes of a family, as its treatment says; `onDone` may add to the end of them. */
  join(source: number, outlet: Outlet, treatment: Treatment, onDone: (writer: UpdateWriter) => void): UpdateGroup {
    const group = this.#groupFor(treatment);
    group.join(source, outlet, onDone);
    return group;
  }

  /** Tells somebody what a peer of this treatment is sent from now on, in the place of the peer: no peer may be treated so. */
  follow(source: number, outlet: Outlet, treatment: Treatment): UpdateGroup {
    const group = this.#groupFor(treatment);
    group.follow(source, outlet);
    return group;
  }

  #groupFor(treatment: Treatment): UpdateGroup {
    const key = treatmentKey(treatment);
    const known = this.#groups.get(key);
    if (known) return known;
    const rib = this.family(treatment.family);
    const group = this.#newGroup(treatment, rib);
    this.#groups.set(key, group);
    rib.groups.add(group);
    rib.fill(group);
    return group;
  }

  #newGroup(treatment: Treatment, rib: FamilyRib): UpdateGroup {
    if (!treatment.addPath) return new BestPathGroup(treatment, this.exporter, rib.prefixes);
    const isUsablePath = (attributes: number): boolean => isUsable(attributes, this.store);
    return new AllPathsGroup(treatment, this.exporter, rib.prefixes, rib.paths, isUsablePath);
  }

  /** Another treatment for a peer that is up: it is sent everything as it is now, and what it must not have is withdrawn. */
  move(source: number, from: UpdateGroup, outlet: Outlet, treatment: Treatment): UpdateGroup {
    if (treatmentKey(from.treatment) === treatmentKey(treatment)) return from;
    const before = from.members.get(source);
    const had = before ? from.heldBy(before) : new Set<number>();
    this.leave(source, from);
    const group = this.join(source, outlet, treatment, before?.pending ?? (() => {}));
    const member = group.members.get(source);
    if (member && before?.refresh) group.refresh(member, before.refresh);
    if (member) group.withdrawOthers(member, had);
    return group;
  }

  /** The peer is gone for good: its routes go now, its number when nothing names it any more. */
  retire(source: number): void {
    this.drop(source);
    this.#adjRibsIn.delete(source);
    this.#retired.add(source);
  }

  leave(source: number, group: UpdateGroup): void {
    group.leave(source);
    if (group.members.size > 0) return;
    this.#groups.delete(treatmentKey(group.treatment));
    const rib = this.family(group.family);
    rib.groups.delete(group);
    rib.pacer.forget(group);
  }

  /** Replaces what this node originates. */
  originate(routes: readonly OriginatedRoute[]): void {
    for (const family of families) {
      const rib = this.family(family);
      const before = this.#originated.get(family) ?? new Map<number, OriginatedRoute>();
      const after = new Map<number, OriginatedRoute>();
      for (const route of routes) {
        if ((typeof route.prefix.address === 'number') !== (family === 'ipv4-unicast')) continue;
        const prefix = internPrefix(rib.prefixes, route.prefix);
        after.set(prefix, route);
        const attributes = this.#localAttributes(route);
        rib.set(prefix, LOCAL, 0, attributes, attributes);
      }
      for (const prefix of before.keys()) if (!after.has(prefix)) rib.remove(prefix, LOCAL, 0);
      this.#originated.set(family, after);
    }
  }

  originatedRoute(family: AddressFamily, prefix: number): OriginatedRoute | undefined {
    return this.#originated.get(family)?.get(prefix);
  }

  #localAttributes({ communities, priority }: OriginatedRoute): number {
    const standard = communities.flatMap((one) => (one.kind === 'standard' ? [one.value] : []));
    const large = communities.flatMap((one) => (one.kind === 'large' ? [one] : []));
    const bytes = encodeAttributes({
      origin: 0,
      asPath: [],
      ...(standard.length > 0 ? { communities: standard } : {}),
      ...(large.length > 0 ? { largeCommunities: large } : {}),
    });
    return this.store.intern(LOCAL, this.sources.get(LOCAL), bytes, 0, bytes.length, {
      ofRefusal: 0,
      ...(priority === undefined ? {} : { priority }),
    });
  }

  /** When flush() has something to do for those who are told at intervals; Infinity: nothing waits. */
  get nextRelease(): number {
    let earliest = Infinity;
    for (const { pacer } of this.#ribs.values()) earliest = Math.min(earliest, pacer.nextAt);
    return earliest;
  }

  get hasWork(): boolean {
    for (const rib of this.#ribs.values()) if (rib.hasWork) return true;
    return false;
  }

  /**
   * Decides what changed since the last time, tells the peers, and frees what is not used any more. The time, in milliseconds,
   * and chance, 0 ≤ x < 1, are for peers that are told at intervals.
   */
  flush(now = 0, random: () => number = () => 0): void {
    for (const rib of this.#ribs.values()) rib.flush(now, random);
    if (this.store.wantsSweep) this.sweep();
  }

  /** Frees the attribute sets that nothing names any more. */
  sweep(): void {
    this.store.sweep((inUse) => {
      for (const rib of this.#ribs.values()) rib.mark(inUse);
    });
    this.filtering.forget();
    this.exporter.forget();
    this.#releaseSources();
  }

  #releaseSources(): void {
    for (const source of this.#retired) {
      if (this.store.namesSource(source)) continue;
      this.#retired.delete(source);
      this.sources.remove(source);
    }
  }
}

export const ownNextHopBytes = (addresses: readonly Address[]): Uint8Array => {
  const parts = addresses.map(addressToBytes);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
};

export { findPrefix };
