// One address family: the paths of all peers, the best of each prefix (Loc-RIB), and the update groups that tell others.
//
//   set/remove ─► paths ─► dirty list ─► decide() once per prefix and turn ─► best column ─► update groups, FIB
//
// set() and remove() only note what changed; flush() does the rest for all that came in one turn of the event loop.

import { type AddressFamily, type BestPathSettings, defaultBestPath } from '../settings.ts';
import type { AttributeStore } from './attribute-store.ts';
import { grow8, grow32, IdList } from './columns.ts';
import { choose, type DecisionInput } from './decision.ts';
import { Pacer } from './pacing.ts';
import { Paths } from './paths.ts';
import { Ipv4Prefixes, Ipv6Prefixes, type PrefixTable } from './prefixes.ts';
import type { Sources } from './source.ts';
import type { UpdateGroup } from './update-group.ts';

/** A table of fewer prefixes just grows. */
const RELEASE_AT_LEAST = 65536;

export class FamilyRib implements DecisionInput {
  readonly family: AddressFamily;
  readonly store: AttributeStore;
  readonly sources: Sources;
  readonly prefixes: PrefixTable;
  readonly paths = new Paths();
  readonly groups = new Set<UpdateGroup>();
  /** What waits for those that are not told at once. */
  readonly pacer = new Pacer();
  bestPath: BestPathSettings = defaultBestPath;
  /** Loc-RIB, by prefix: the attribute set of the best path; 0: none. */
  best: Uint32Array = new Uint32Array(1024);
  /** Prefixes that have a best path. */
  count = 0;
  /** Told after each flush which prefixes were decided anew. */
  onDecided: ((changed: IdList) => void) | undefined;
  /** The same, for monitoring stations. */
  onMonitored: ((changed: IdList) => void) | undefined;
  /** Prefixes that somebody outside remembers by id. */
  holds: (prefix: number) => boolean = () => false;
  #dirty = new IdList();
  /** That of the turn before, empty: what is told of a turn's changes may make others. */
  #lastDirty = new IdList();
  #isDirty: Uint8Array = new Uint8Array(1024);

  constructor(family: AddressFamily, store: AttributeStore, sources: Sources) {
    this.family = family;
    this.store = store;
    this.sources = sources;
    this.prefixes = family === 'ipv4-unicast' ? new Ipv4Prefixes() : new Ipv6Prefixes();
    this.prefixes.reclaim = () => this.#reclaim();
  }

  /**
   * A source announces a prefix with these attributes (those in force, 0 when a filter refused them; and those received).
   * Returns true when the path is new.
   */
  set(prefix: number, source: number, identifier: number, attributes: number, received: number): boolean {
    const { paths } = this;
    const path = paths.find(prefix, source, identifier);
    if (path === 0) {
      const added = paths.add(prefix, source, identifier, attributes);
      if (received !== attributes) paths.setReceived(added, received);
      this.touch(prefix);
      return true;
    }
    if (paths.stale) paths.stale[path] = 0;
    if (paths.received || received !== attributes) paths.setReceived(path, received);
    if (paths.attributes[path] !== attributes) {
      paths.attributes[path] = attributes;
      if (paths.arrivals) paths.noteArrival(path);
      this.store.released++;
      this.touch(prefix);
    }
    return false;
  }

  /** Other attributes are in force for a path that nobody has announced anew. */
  change(path: number, attributes: number, received: number): void {
    const { paths } = this;
    if (paths.received || received !== attributes) paths.setReceived(path, received);
    if (paths.attributes[path] === attributes) return;
    paths.attributes[path] = attributes;
    this.touch(paths.prefixes[path] ?? 0);
  }

  /** A source withdraws a prefix; false when it had not announced it. */
  remove(prefix: number, source: number, identifier: number): boolean {
    const path = this.paths.find(prefix, source, identifier);
    if (path === 0) return false;
    this.paths.remove(path);
    this.store.released++;
    this.touch(prefix);
    return true;
  }

  /** Removes all paths of a source, or only those from before its restart. */
  removeAll(source: number, onlyStale = false): void {
    const { paths } = this;
    paths.forEachOf(source, (path) => {
      if (onlyStale && paths.stale?.[path] !== 1) return;
      const prefix = paths.prefixes[path] ?? 0;
      paths.remove(path);
      this.store.released++;
      this.touch(prefix);
    });
  }

  setBestPath(next: BestPathSettings): void {
    const { alwaysCompareMed, ignoreAsPathLength, multipathRelax, preferOldest } = this.bestPath;
    if (
      next.alwaysCompareMed === alwaysCompareMed &&
      next.ignoreAsPathLength === ignoreAsPathLength &&
      next.multipathRelax === multipathRelax &&
      next.preferOldest === preferOldest
    ) {
      return;
    }
    this.bestPath = next;
    if (next.preferOldest) this.paths.trackArrivals();
    this.touchAll();
  }

  /** The prefix must be decided anew. */
  touch(prefix: number): void {
    if (prefix >= this.#isDirty.length) this.#isDirty = grow8(this.#isDirty, prefix + 1);
    if (this.#isDirty[prefix] === 1) return;
    this.#isDirty[prefix] = 1;
    this.#dirty.push(prefix);
  }

  touchAll(): void {
    for (let prefix = 1; prefix < this.prefixes.end; prefix++) if (this.paths.heads[prefix] !== 0) this.touch(prefix);
  }

  get hasWork(): boolean {
    return this.#dirty.length > 0;
  }

  /** Decides what changed and tells the groups, paced ones when their time has come. */
  flush(now: number, random: () => number): void {
    if (this.#dirty.length > 0) this.#flushDirty();
    this.pacer.release(this.best, now, random);
  }

  #flushDirty(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#lastDirty;
    this.#lastDirty = dirty;
    this.#decide(dirty);
    for (const group of this.groups) {
      if (group.treatment.advertisementIntervalMs === undefined) group.update(dirty, this.best);
      else this.pacer.hold(group, dirty);
    }
    this.onDecided?.(dirty);
    this.onMonitored?.(dirty);
    dirty.clear();
  }

  #decide({ ids, length }: IdList): void {
    if (this.best.length < this.prefixes.end) this.best = grow32(this.best, this.prefixes.end);
    const { best, paths } = this;
    const isDirty = this.#isDirty;
    for (let i = 0; i < length; i++) {
      const prefix = ids[i] ?? 0;
      isDirty[prefix] = 0;
      const before = best[prefix] ?? 0;
      const after = paths.attributes[choose(prefix, this)] ?? 0;
      if (before === after) continue;
      best[prefix] = after;
      if (before === 0) this.count++;
      else if (after === 0) this.count--;
    }
  }

  /** Everything that best paths say, for a group that is new or whose treatment changed. */
  fill(group: UpdateGroup): void {
    const all = new IdList();
    for (let prefix = 1; prefix < this.prefixes.end; prefix++) {
      if ((this.best[prefix] ?? 0) !== 0 || group.hasAnnounced(prefix)) all.push(prefix);
    }
    group.update(all, this.best);
  }

  /** Withdrawn prefixes keep their ids for a while, since what flaps comes back; until the table would have to grow. */
  #reclaim(): boolean {
    // Mostly all have routes, which needs no count.
    if (this.prefixes.size < RELEASE_AT_LEAST || this.count * 4 > this.prefixes.size * 3) return false;
    // Members that are behind remember prefixes by id, to withdraw them.
    for (const group of this.groups) if (group.remembersWithdrawn) return false;
    if (this.pacer.isHolding) return false;
    const { heads } = this.paths;
    let used = 0;
    for (let prefix = 1; prefix < this.prefixes.end; prefix++) if (heads[prefix] !== 0) used++;
    if (used * 4 > this.prefixes.size * 3) return false;
    this.prefixes.release((prefix) => heads[prefix] !== 0 || this.#isDirty[prefix] === 1 || this.holds(prefix));
    return true;
  }

  mark(inUse: Uint8Array): void {
    this.paths.mark(inUse);
    const { best } = this;
    for (let prefix = 0; prefix < best.length; prefix++) inUse[best[prefix] ?? 0] = 1;
    for (const group of this.groups) group.mark(inUse);
  }
}
