// An update group that announces all usable paths of each prefix, RFC 7911. The identifier that goes out is the path's
// number in the RIB: unique among the paths of a prefix, and the same for as long as the path lives.
//
//   heads[prefix] → path → path → 0     what is announced, linked through `next` as in paths.ts
//
// Path numbers are used again, by then for another prefix. So collect() first unlinks what is gone, of all changed
// prefixes, and then looks at what is new.

import { CatchUp } from './catch-up.ts';
import { grow32, IdList } from './columns.ts';
import type { RouteExporter } from './exporter.ts';
import type { Paths } from './paths.ts';
import type { PrefixTable } from './prefixes.ts';
import type { Treatment } from './treatment.ts';
import { Buckets, type Member, UpdateGroup } from './update-group.ts';

/** Routes as one number, for members that are behind: prefix above, identifier below. */
const IDENTIFIER_RANGE = 2 ** 26;

export class AllPathsGroup extends UpdateGroup {
  readonly #paths: Paths;
  /** True for paths whose attribute set may be used. */
  readonly #isUsable: (attributes: number) => boolean;
  #heads: Uint32Array = new Uint32Array(1024);
  /** By path: the attribute set announced (0: none), for which prefix, and the next path announced for that. */
  #sets: Uint32Array = new Uint32Array(1024);
  #announcedFor: Uint32Array = new Uint32Array(1024);
  #next: Uint32Array = new Uint32Array(1024);

  readonly #entryPrefixes = new IdList();
  readonly #entryPaths = new IdList();
  readonly #announcements = new Buckets();
  readonly #withdrawals = new Buckets();
  readonly #private = new Buckets();

  constructor(
    treatment: Treatment,
    exporter: RouteExporter,
    prefixes: PrefixTable,
    paths: Paths,
    isUsable: (attributes: number) => boolean,
  ) {
    super(treatment, exporter, prefixes);
    this.#paths = paths;
    this.#isUsable = isUsable;
  }

  protected collect(changed: IdList): number {
    this.#entryPrefixes.clear();
    this.#entryPaths.clear();
    this.#heads = grow32(this.#heads, this.prefixes.end);
    const rows = this.#paths.attributes.length;
    this.#sets = grow32(this.#sets, rows);
    this.#announcedFor = grow32(this.#announcedFor, rows);
    this.#next = grow32(this.#next, rows);
    for (let i = 0; i < changed.length; i++) this.#unlinkGone(changed.ids[i] ?? 0);
    for (let i = 0; i < changed.length; i++) this.#linkNew(changed.ids[i] ?? 0);
    return this.#entryPrefixes.length;
  }

  /** The set that goes out for a path of this prefix; 0 when none does, or when the path is another prefix's now. */
  #outgoing(prefix: number, path: number): number {
    if (this.#paths.prefixes[path] !== prefix) return 0;
    const attributes = this.#paths.attributes[path] ?? 0;
    return this.#isUsable(attributes) ? this.exporter.outgoing(attributes, prefix, this.treatment) : 0;
  }

  #unlinkGone(prefix: number): void {
    let before = 0;
    for (let path = this.#heads[prefix] ?? 0; path !== 0; ) {
      const after = this.#next[path] ?? 0;
      const set = this.#sets[path] ?? 0;
      const next = this.#outgoing(prefix, path);
      // A number may by now be another source's, for the same prefix.
      const isSame = next !== 0 && this.exporter.sourceOf(next) === this.exporter.sourceOf(set);
      if (isSame) before = path;
      else {
        this.#noteWithdrawal(prefix, path, set);
        if (before === 0) this.#heads[prefix] = after;
        else this.#next[before] = after;
      }
      path = after;
    }
  }

  #noteWithdrawal(prefix: number, path: number, set: number): void {
    this.#sets[path] = 0;
    this.#announcedFor[path] = 0;
    this.recount(set, 0);
    this.#withdrawals.put(this.exporter.sourceOf(set) + 1, this.#entry(prefix, path));
  }

  #linkNew(prefix: number): void {
    const { next } = this.#paths;
    for (let path = this.#paths.heads[prefix] ?? 0; path !== 0; path = next[path] ?? 0) {
      const set = this.#outgoing(prefix, path);
      const before = this.#sets[path] ?? 0;
      if (set === 0 || set === before) continue;
      this.recount(before, set);
      if (before === 0) {
        this.#next[path] = this.#heads[prefix] ?? 0;
        this.#heads[prefix] = path;
        this.#announcedFor[path] = prefix;
      } else {
        // A path's source stays the same, its next hop may not.
        const loser = this.nextHopLoses(before, set);
        if (loser !== -1) this.#private.put(loser + 1, this.#entry(prefix, path));
      }
      this.#sets[path] = set;
      this.#announcements.put(set, this.#entry(prefix, path));
    }
  }

  #entry(prefix: number, path: number): number {
    this.#entryPrefixes.push(prefix);
    this.#entryPaths.push(path);
    return this.#entryPrefixes.length;
  }

  protected writeNoted(): void {
    const { writer } = this;
    this.#withdrawals.drain((owner, entry) => {
      this.#unchain(this.#withdrawals, entry);
      writer.address(owner - 1);
      this.withdraw(writer);
    });
    this.#private.drain((member, entry) => {
      this.#unchain(this.#private, entry);
      writer.address(-1, member - 1);
      this.withdraw(writer);
    });
    this.#announcements.drain((set, entry) => {
      this.#unchain(this.#announcements, entry);
      writer.address(this.exporter.sourceOf(set), -1, this.besides(set));
      this.announce(set);
    });
  }

  #unchain(buckets: Buckets, entry: number): void {
    this.ids.clear();
    this.identifiers.clear();
    for (let at = entry; at !== 0; at = buckets.before(at)) {
      this.ids.push(this.#entryPrefixes.ids[at - 1] ?? 0);
      this.identifiers.push(this.#entryPaths.ids[at - 1] ?? 0);
    }
  }

  protected remember(behind: Set<number>): void {
    for (let i = 0; i < this.#entryPrefixes.length; i++) {
      behind.add(this.routeNumber(this.#entryPrefixes.ids[i] ?? 0, this.#entryPaths.ids[i] ?? 0));
    }
  }

  #announced = (prefix: number, path: number): number =>
    this.#announcedFor[path] === prefix ? (this.#sets[path] ?? 0) : 0;

  protected catchUpWith(behind: ReadonlySet<number>, onDone: Member['onDone']): CatchUp {
    const prefixes = Uint32Array.from(behind, (route) => Math.floor(route / IDENTIFIER_RANGE));
    const identifiers = Uint32Array.from(behind, (route) => route % IDENTIFIER_RANGE);
    return new CatchUp({ prefixes, identifiers, announced: this.#announced, withdraws: true, onDone });
  }

  protected catchUpAll(onDone: Member['onDone']): CatchUp {
    const prefixes = new Uint32Array(this.count);
    const identifiers = new Uint32Array(this.count);
    let count = 0;
    for (let path = 1; path < this.#sets.length && count < this.count; path++) {
      if (this.#sets[path] === 0) continue;
      prefixes[count] = this.#announcedFor[path] ?? 0;
      identifiers[count++] = path;
    }
    return new CatchUp({ prefixes, identifiers, announced: this.#announced, withdraws: false, onDone });
  }

  hasAnnounced(prefix: number): boolean {
    return (this.#heads[prefix] ?? 0) !== 0;
  }

  announcedOf(prefix: number, source: number): readonly number[] {
    const sets: number[] = [];
    for (let path = this.#heads[prefix] ?? 0; path !== 0; path = this.#next[path] ?? 0) {
      const set = this.#sets[path] ?? 0;
      if (this.isFor(set, source)) sets.push(set);
    }
    return sets;
  }

  protected routesTo(source: number): Set<number> {
    const routes = new Set<number>();
    for (let path = 1; path < this.#sets.length; path++) {
      const set = this.#sets[path] ?? 0;
      if (!this.isFor(set, source)) continue;
      routes.add(this.routeNumber(this.#announcedFor[path] ?? 0, path));
    }
    return routes;
  }

  protected isAnnouncedTo(source: number, route: number): boolean {
    return this.isFor(this.#announced(Math.floor(route / IDENTIFIER_RANGE), route % IDENTIFIER_RANGE), source);
  }

  protected routeNumber(prefix: number, identifier: number): number {
    return prefix * IDENTIFIER_RANGE + identifier;
  }

  protected markAnnounced(inUse: Uint8Array): void {
    for (const set of this.#sets) inUse[set] = 1;
  }
}
