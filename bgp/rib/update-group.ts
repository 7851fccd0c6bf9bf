// Adj-RIB-Out of all peers with equal treatment, in one family: what they have been sent, kept once, and the UPDATEs that
// bring them up to date, encoded once.
//
//   changed prefixes ─► collect(): what must be said ─► buckets by attribute set ─► chunks ─► members that keep up
//                                                                                         └► a mark, for those behind
//
// A route never goes back to the peer it came from, nor to the one whose own address its next hop is (third-parties.ts).
// These are the only ways in which members differ: a set's id names both, so a bucket has at most two members that must not
// get it.
//
// A member that is new, or that did not take its bytes fast enough, is brought up to date by a CatchUp, with prefixes
// gathered by attribute set however they came. Which routes are announced is the subclasses' matter: best-path-group.ts
// has one per prefix, all-paths-group.ts all of them, with identifiers (RFC 7911).

import type { AddressFamily } from '../settings.ts';
import type { CatchUp } from './catch-up.ts';
import { grow32, IdList } from './columns.ts';
import type { RouteExporter } from './exporter.ts';
import type { PrefixTable } from './prefixes.ts';
import { ThirdParties } from './third-parties.ts';
import type { Treatment } from './treatment.ts';
import { type Chunk, UpdateWriter } from './update-writer.ts';

/** Where a member's bytes go. */
export interface Outlet {
  readonly queuedBytes: number;
  write(bytes: Uint8Array): void;
}

/**
 * Beyond this a member's connection is slow: it gets no more of what the group sends until it has drained. Members share
 * the bytes, so many slow ones cost little more than one.
 */
export const MAX_QUEUED_BYTES = 16 << 20;
/** A catch-up is the member's own, and waits for the connection after as much as this. */
const CATCH_UP_BYTES = 1 << 20;
/** A small table is encoded once for all peers that come before it changes: after a restart, a cluster's come together. */
const SHARED_DUMP_ROUTES = 8192;
const SHARED_DUMP_BYTES = CATCH_UP_BYTES;
/** Prefixes that a catch-up encodes at a time. */
const CATCH_UP_STEP = 4096;
/** What the attributes of a set count as in a step. */
const SET_COST = 8;

/** What goes before and behind all that is sent again. */
export interface Refresh {
  readonly begin: (writer: UpdateWriter) => void;
  readonly end: (writer: UpdateWriter) => void;
}

export class Member {
  readonly source: number;
  readonly outlet: Outlet;
  /** What is still to be sent; undefined when the member follows the group. */
  catchUp: CatchUp | undefined;
  /** Routes that changed while it was too slow, as the group numbers them. */
  behind: Set<number> | undefined;
  /** What must follow once it is up to date. */
  onDone: ((writer: UpdateWriter) => void) | undefined;
  /** It has asked for everything again. */
  refresh: Refresh | undefined;
  /** UPDATEs sent to it. */
  updates = 0;

  constructor(source: number, outlet: Outlet) {
    this.source = source;
    this.outlet = outlet;
  }

  /** What must still follow behind the routes: End-of-RIB, or the end of a refresh. */
  get pending(): ((writer: UpdateWriter) => void) | undefined {
    const { catchUp, onDone } = this;
    if (!catchUp) return onDone;
    return (writer) => {
      catchUp.onDone(writer);
      onDone?.(writer);
    };
  }
}

export abstract class UpdateGroup {
  readonly treatment: Treatment;
  readonly family: AddressFamily;
  /** Routes announced. */
  count = 0;
  protected readonly exporter: RouteExporter;
  protected readonly prefixes: PrefixTable;
  protected readonly writer = new UpdateWriter();
  /** Scratch: the routes of one bucket. */
  protected readonly ids = new IdList();
  protected readonly identifiers = new IdList();
  readonly #members = new Map<number, Member>();
  readonly #thirdParties: ThirdParties;
  /** All that is announced, encoded; undefined when something has changed since, or when it is much. */
  #sharedDump: readonly Chunk[] | undefined;
  /** By source: how many of the routes announced are its own. */
  #countBySource: Uint32Array = new Uint32Array(16);

  constructor(treatment: Treatment, exporter: RouteExporter, prefixes: PrefixTable) {
    this.treatment = treatment;
    this.family = treatment.family;
    this.exporter = exporter;
    this.prefixes = prefixes;
    this.#thirdParties = new ThirdParties(exporter, treatment);
  }

  /** Compares what the changed prefixes have with what was announced, notes the difference, and returns its size. */
  protected abstract collect(changed: IdList, best: Uint32Array): number;
  /** Writes what collect() noted. */
  protected abstract writeNoted(): void;
  /** Adds the routes that collect() noted to a set of numbers that catchUpWith() understands. */
  protected abstract remember(behind: Set<number>): void;
  protected abstract catchUpWith(behind: ReadonlySet<number>, onDone: Member['onDone']): CatchUp;
  protected abstract catchUpAll(onDone: Member['onDone']): CatchUp;
  /** Whether anything is announced for the prefix. */
  abstract hasAnnounced(prefix: number): boolean;
  /** The attribute sets of a prefix that are announced to a member. */
  abstract announcedOf(prefix: number, source: number): readonly number[];
  /** The routes that a member has been sent or will be, as the group numbers them. */
  protected abstract routesTo(source: number): Set<number>;
  protected abstract isAnnouncedTo(source: number, route: number): boolean;
  /** How the group numbers a route. */
  protected abstract routeNumber(prefix: number, identifier: number): number;
  protected abstract markAnnounced(inUse: Uint8Array): void;

  /** Routes that a member is announced. */
  countFor(source: number): number {
    return this.count - (this.#countBySource[source] ?? 0) - this.#thirdParties.countFor(source);
  }

  /** Notes that one route's announced set is another now; 0: none. */
  protected recount(before: number, after: number): void {
    if (before !== 0) {
      this.count--;
      const source = this.exporter.sourceOf(before);
      this.#countBySource[source] = (this.#countBySource[source] ?? 0) - 1;
      const third = this.#thirdParties.of(before);
      if (third) third.count--;
    }
    if (after === 0) return;
    this.count++;
    const source = this.exporter.sourceOf(after);
    if (source >= this.#countBySource.length) this.#countBySource = grow32(this.#countBySource, source + 1);
    this.#countBySource[source] = (this.#countBySource[source] ?? 0) + 1;
    const third = this.#thirdParties.of(after);
    if (third) third.count++;
  }

  /** RFC 4271 §5.1.3: the member whose own address the next hop is, beside the set's source; -1: none. */
  protected besides(set: number): number {
    return this.#thirdParties.of(set)?.member ?? -1;
  }

  /** Whether a member may be sent a set. */
  protected isFor(set: number, source: number): boolean {
    return set !== 0 && this.exporter.sourceOf(set) !== source && !this.isNextHop(set, source);
  }

  /** Whether a set's next hop is the member's own address, and not because the set is its own. */
  isNextHop(set: number, source: number): boolean {
    const third = this.#thirdParties.of(set);
    return third !== undefined && third.member !== -1 && third.member === source;
  }

  // Whoever had a route and must not have the one in its place is told in private that it is gone.

  /** The source of the new one, if so; -1: not. */
  protected sourceLoses(before: number, after: number): number {
    const source = this.exporter.sourceOf(after);
    const had =
      this.exporter.sourceOf(before) !== source && this.#members.has(source) && !this.isNextHop(before, source);
    return had ? source : -1;
  }

  /** The member at the next hop of the new one, if so; -1: not. */
  protected nextHopLoses(before: number, after: number): number {
    const member = this.besides(after);
    return member !== -1 && this.isFor(before, member) ? member : -1;
  }

  get members(): ReadonlyMap<number, Member> {
    return this.#members;
  }

  /** Adds a peer and begins to send it everything; `onDone` writes End-of-RIB or what else must follow. */
  join(source: number, outlet: Outlet, onDone: (writer: UpdateWriter) => void): Member {
    const member = new Member(source, outlet);
    this.#members.set(source, member);
    this.#thirdParties.join(source);
    const canShare = this.countFor(source) === this.count && outlet.queuedBytes < CATCH_UP_BYTES;
    const shared = canShare ? this.#dump() : undefined;
    if (shared) {
      this.#write(member, shared);
      this.sendTo(member, onDone);
    } else {
      member.catchUp = this.catchUpAll(onDone);
      this.pump(member);
    }
    return member;
  }

  /** Adds one that hears of changes only. */
  follow(source: number, outlet: Outlet): void {
    this.#members.set(source, new Member(source, outlet));
    this.#thirdParties.join(source);
  }

  /** All that a member is announced, a step at a time, between which it may change. */
  *snapshot(source: number): Generator<readonly Uint8Array[]> {
    const catchUp = this.catchUpAll(undefined);
    while (!catchUp.isDone) {
      this.writer.address(-1);
      this.#encodeStep(catchUp, source);
      yield this.writer.take().map(({ bytes }) => bytes);
    }
  }

  leave(source: number): void {
    this.#members.delete(source);
    this.#thirdParties.leave(source);
  }

  /**
   * Sends a member everything again, behind what it has still to be sent: End-of-RIB comes before a refresh begins (RFC
   * 7313 §4), and withdrawals that it has missed are not in what comes again.
   */
  refresh(member: Member, refresh: Refresh): void {
    member.refresh = refresh;
    this.pump(member);
  }

  /** All that is announced, for members that have announced none of it themselves; undefined when it is much. */
  #dump(): readonly Chunk[] | undefined {
    if (this.#sharedDump || this.count > SHARED_DUMP_ROUTES) return this.#sharedDump;
    const catchUp = this.catchUpAll(undefined);
    this.writer.address(-1);
    while (!catchUp.isDone) this.#encodeStep(catchUp, -1);
    const chunks = [...this.writer.take()];
    if (chunks.reduce((sum, { bytes }) => sum + bytes.length, 0) <= SHARED_DUMP_BYTES) this.#sharedDump = chunks;
    return this.#sharedDump;
  }

  /** The prefixes were decided anew: `best` has the attribute set of each, 0 for none. */
  update(changed: IdList, best: Uint32Array): void {
    if (this.collect(changed, best) === 0) return;
    this.#sharedDump = undefined;
    this.writeNoted();
    this.#deliver();
  }

  #deliver(): void {
    const chunks = this.writer.take();
    for (const member of this.#members.values()) {
      if (member.behind || member.outlet.queuedBytes > MAX_QUEUED_BYTES) {
        member.behind ??= new Set();
        this.remember(member.behind);
        continue;
      }
      const { source, outlet } = member;
      for (const { bytes, except, besides, only, updates } of chunks) {
        if (except === source || besides === source || (only !== -1 && only !== source)) continue;
        member.updates += updates;
        outlet.write(bytes);
      }
    }
  }

  /** Sends what a member still lacks, as much as its connection takes. Called when it has drained. */
  pump(member: Member): void {
    for (;;) {
      member.catchUp ??= this.#nextCatchUp(member);
      const { catchUp } = member;
      if (!catchUp) return;
      while (!catchUp.isDone && member.outlet.queuedBytes <= CATCH_UP_BYTES) this.#pumpStep(catchUp, member);
      if (!catchUp.isDone) return;
      member.catchUp = undefined;
      this.sendTo(member, catchUp.onDone);
    }
  }

  #nextCatchUp(member: Member): CatchUp | undefined {
    const { behind, onDone, refresh } = member;
    if (behind) {
      member.behind = undefined;
      member.onDone = undefined;
      return this.catchUpWith(behind, onDone);
    }
    if (!refresh) return undefined;
    member.refresh = undefined;
    this.sendTo(member, refresh.begin);
    return this.catchUpAll(refresh.end);
  }

  #pumpStep(catchUp: CatchUp, member: Member): void {
    this.sendTo(member, () => this.#encodeStep(catchUp, member.source));
  }

  /** Writes the next routes of a catch-up, but for those that the member must not have. */
  #encodeStep(catchUp: CatchUp, source: number): void {
    for (let budget = CATCH_UP_STEP; budget > 0 && !catchUp.isDone; ) {
      const set = catchUp.take(this.ids, this.identifiers, budget);
      budget -= this.ids.length + SET_COST;
      if (this.ids.length === 0) continue;
      if (this.isFor(set, source)) this.announce(set);
      else if (catchUp.withdraws) this.withdraw(this.writer);
    }
  }

  /** Writes something to one member alone. */
  protected sendTo(member: Member, write: (writer: UpdateWriter) => void): void {
    this.writer.address(-1);
    write(this.writer);
    this.#write(member, this.writer.take());
  }

  #write(member: Member, chunks: readonly Chunk[]): void {
    for (const { bytes, updates } of chunks) {
      member.updates += updates;
      member.outlet.write(bytes);
    }
  }

  /** Announces the routes of the scratch lists. */
  protected announce(set: number): void {
    const built = this.exporter.build(set, this.treatment);
    const { maxMessageLength } = this.treatment;
    this.writer.announce(built, this.prefixes, this.ids, maxMessageLength, this.#identifiersOrNone);
  }

  /** Withdraws the routes of the scratch lists. */
  protected withdraw(writer: UpdateWriter): void {
    writer.withdraw(this.family, this.prefixes, this.ids, this.#identifiersOrNone);
  }

  get #identifiersOrNone(): IdList | undefined {
    return this.treatment.addPath ? this.identifiers : undefined;
  }

  /** The routes that a member may have: those it was sent, and those it has not been told to be gone. */
  heldBy({ source, behind = new Set(), catchUp }: Member): Set<number> {
    const held = this.routesTo(source);
    for (const route of behind) held.add(route);
    if (catchUp?.withdraws) catchUp.forEachLeft((prefix, id) => held.add(this.routeNumber(prefix, id)));
    return held;
  }

  /** Withdraws from a member what it had of another group and what this one does not announce to it. */
  withdrawOthers(member: Member, had: ReadonlySet<number>): void {
    const behind = member.behind ?? new Set();
    for (const route of had) if (!this.isAnnouncedTo(member.source, route)) behind.add(route);
    if (behind.size === 0) return;
    member.behind = behind;
    this.pump(member);
  }

  /** Writes something to a member behind all that it has still to be sent. */
  finish(source: number, write: (writer: UpdateWriter) => void): void {
    const member = this.#members.get(source);
    if (!member) return;
    if (member.catchUp || member.behind) {
      member.behind ??= new Set();
      member.onDone = write;
    } else this.sendTo(member, write);
  }

  /** Some member must still be told of prefixes that are gone, and knows them by their ids. */
  get remembersWithdrawn(): boolean {
    for (const { behind, catchUp } of this.#members.values()) if (behind || catchUp?.withdraws) return true;
    return false;
  }

  /** Marks the attribute sets that it still needs. */
  mark(inUse: Uint8Array): void {
    this.#thirdParties.forget();
    this.markAnnounced(inUse);
    for (const { catchUp } of this.#members.values()) catchUp?.mark(inUse);
  }
}

/** Chains of entries by key, in the order in which the keys came. Entries are numbered from 1. */
export class Buckets {
  #heads: Uint32Array = new Uint32Array(1024);
  #chain: Uint32Array = new Uint32Array(64);
  readonly #keys = new IdList();

  put(key: number, entry: number): void {
    if (key >= this.#heads.length) this.#heads = grow32(this.#heads, key + 1);
    if (entry >= this.#chain.length) this.#chain = grow32(this.#chain, entry + 1);
    const behind = this.#heads[key] ?? 0;
    if (behind === 0) this.#keys.push(key);
    this.#heads[key] = entry;
    this.#chain[entry] = behind;
  }

  /** Calls back for each key, with its newest entry; the buckets are empty afterwards. */
  drain(callback: (key: number, entry: number) => void): void {
    const { ids, length } = this.#keys;
    for (let i = 0; i < length; i++) {
      const key = ids[i] ?? 0;
      const head = this.#heads[key] ?? 0;
      this.#heads[key] = 0;
      callback(key, head);
    }
    this.#keys.clear();
  }

  /** The entry before this one in its bucket; 0 when it is the first. */
  before(entry: number): number {
    return this.#chain[entry] ?? 0;
  }
}
