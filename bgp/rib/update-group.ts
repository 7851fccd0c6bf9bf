// Adj-RIB-Out of all peers with equal treatment, in one family: what they have been sent, kept once, and the UPDATEs that
// bring them up to date, encoded once.
//
//   changed prefixes ─► verdict per attribute set ─► adjOut column ─► bucket per set ─► chunks ─► members that keep up
//                                                                                            └► a mark, for those behind
//
// A route never goes back to the peer it came from, which is the only way in which members differ: a set's id names its
// source, so a bucket has one member that must not get it.
//
// A member that is new, or that did not take its bytes fast enough, is brought up to date from adjOut (CatchUp), with
// prefixes gathered by attribute set however they came.

import type { AddressFamily } from '../settings.ts';
import { CatchUp } from './catch-up.ts';
import { grow32, IdList } from './columns.ts';
import type { RouteExporter } from './exporter.ts';
import type { PrefixTable } from './prefixes.ts';
import type { Treatment } from './treatment.ts';
import { UpdateWriter } from './update-writer.ts';

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

export class Member {
  readonly source: number;
  readonly outlet: Outlet;
  /** What is still to be sent from adjOut; undefined when the member follows the group. */
  catchUp: CatchUp | undefined;
  /** Prefixes that changed while it was too slow. */
  behind: Set<number> | undefined;
  /** What must follow once it is up to date. */
  onDone: ((writer: UpdateWriter) => void) | undefined;

  constructor(source: number, outlet: Outlet) {
    this.source = source;
    this.outlet = outlet;
  }
}

export class UpdateGroup {
  readonly treatment: Treatment;
  readonly family: AddressFamily;
  readonly #exporter: RouteExporter;
  readonly #prefixes: PrefixTable;
  readonly #members = new Map<number, Member>();
  readonly #writer = new UpdateWriter();
  /** By prefix: the attribute set that was announced; 0: nothing. */
  adjOut: Uint32Array = new Uint32Array(1024);
  /** Prefixes announced. */
  count = 0;

  // One turn's work: prefixes chained by what is announced, and by whose routes are withdrawn.
  readonly #entries = new IdList();
  #chain: Uint32Array = new Uint32Array(64);
  readonly #buckets = new Buckets();
  readonly #withdrawals = new Buckets();
  #ownerChain: Uint32Array = new Uint32Array(64);
  readonly #owners = new Buckets();
  readonly #ids = new IdList();

  constructor(treatment: Treatment, exporter: RouteExporter, prefixes: PrefixTable) {
    this.treatment = treatment;
    this.family = treatment.family;
    this.#exporter = exporter;
    this.#prefixes = prefixes;
  }

  get members(): ReadonlyMap<number, Member> {
    return this.#members;
  }

  get updates(): number {
    return this.#writer.updates;
  }

  /** Adds a peer and begins to send it everything; `onDone` writes End-of-RIB or what else must follow. */
  join(source: number, outlet: Outlet, onDone: (writer: UpdateWriter) => void): Member {
    const member = new Member(source, outlet);
    this.#members.set(source, member);
    this.dump(member, onDone);
    return member;
  }

  leave(source: number): void {
    this.#members.delete(source);
  }

  /** Sends a member everything (anew): its first time, or a route refresh. */
  dump(member: Member, onDone: (writer: UpdateWriter) => void): void {
    member.behind = undefined;
    member.catchUp = CatchUp.all(this.adjOut, this.#prefixes.end, onDone);
    this.pump(member);
  }

  /** The prefixes may have new best paths: `best` has the attribute set of each, 0 for none. */
  update(changed: IdList, best: Uint32Array): void {
    this.#collect(changed, best);
    if (this.#entries.length === 0) return;
    this.#write();
    this.#deliver();
  }

  #collect(changed: IdList, best: Uint32Array): void {
    const exporter = this.#exporter;
    const { treatment } = this;
    if (this.adjOut.length < this.#prefixes.end) this.adjOut = grow32(this.adjOut, this.#prefixes.end);
    const { adjOut } = this;
    const { ids, length } = changed;
    this.#entries.clear();
    for (let i = 0; i < length; i++) {
      const prefix = ids[i] ?? 0;
      const attributes = best[prefix] ?? 0;
      const after = attributes === 0 ? 0 : exporter.outgoing(attributes, prefix, treatment);
      const before = adjOut[prefix] ?? 0;
      if (before === after) continue;
      adjOut[prefix] = after;
      if (before === 0) this.count++;
      else if (after === 0) this.count--;
      this.#chainUp(prefix, before, after);
    }
  }

  #chainUp(prefix: number, before: number, after: number): void {
    const entry = this.#entries.length + 1;
    this.#entries.push(prefix);
    if (entry >= this.#chain.length) this.#chain = grow32(this.#chain, entry + 1);
    if (after !== 0) {
      this.#chain[entry] = this.#buckets.put(after, entry);
      if (before !== 0) this.#noteOwner(entry, before, after);
    } else {
      this.#chain[entry] = this.#withdrawals.put(this.#exporter.sourceOf(before) + 1, entry);
    }
  }

  /** The new route's source had the old one from us, if that was another's: it alone must be told that it is gone. */
  #noteOwner(entry: number, before: number, after: number): void {
    const source = this.#exporter.sourceOf(after);
    if (source === this.#exporter.sourceOf(before) || !this.#members.has(source)) return;
    if (entry >= this.#ownerChain.length) this.#ownerChain = grow32(this.#ownerChain, entry + 1);
    this.#ownerChain[entry] = this.#owners.put(source + 1, entry);
  }

  #write(): void {
    const writer = this.#writer;
    for (const owner of this.#withdrawals.keys()) {
      this.#unchain(this.#chain, this.#withdrawals.take(owner));
      writer.address(owner - 1);
      writer.withdraw(this.family, this.#prefixes, this.#ids.ids, 0, this.#ids.length);
    }
    this.#withdrawals.reset();
    for (const owner of this.#owners.keys()) {
      this.#unchain(this.#ownerChain, this.#owners.take(owner));
      writer.address(-1, owner - 1);
      writer.withdraw(this.family, this.#prefixes, this.#ids.ids, 0, this.#ids.length);
    }
    this.#owners.reset();
    for (const attributes of this.#buckets.keys()) {
      this.#unchain(this.#chain, this.#buckets.take(attributes));
      writer.address(this.#exporter.sourceOf(attributes));
      this.#announce(writer, attributes, 0, this.#ids.length);
    }
    this.#buckets.reset();
  }

  #announce(writer: UpdateWriter, attributes: number, from: number, to: number): void {
    const { maxMessageLength } = this.treatment;
    const built = this.#exporter.build(attributes, this.treatment);
    if (writer.announce(built, this.#prefixes, this.#ids.ids, from, to, maxMessageLength)) return;
    // Longer than a message can be: whoever had a route before must not keep it.
    writer.withdraw(this.family, this.#prefixes, this.#ids.ids, from, to);
    this.#exporter.onTooLong(attributes, this.treatment);
  }

  #unchain(chain: Uint32Array, entry: number): void {
    this.#ids.clear();
    for (let at = entry; at !== 0; at = chain[at] ?? 0) this.#ids.push(this.#entries.ids[at - 1] ?? 0);
  }

  #deliver(): void {
    const chunks = this.#writer.take();
    for (const member of this.#members.values()) {
      if (member.behind || member.outlet.queuedBytes > MAX_QUEUED_BYTES) {
        this.#fallBehind(member);
        continue;
      }
      const { source, outlet } = member;
      for (const { bytes, except, only } of chunks) {
        if (except !== source && (only === -1 || only === source)) outlet.write(bytes);
      }
    }
  }

  #fallBehind(member: Member): void {
    member.behind ??= new Set();
    const { ids, length } = this.#entries;
    for (let i = 0; i < length; i++) member.behind.add(ids[i] ?? 0);
  }

  /** Sends what a member still lacks, as much as its connection takes. Called when it has drained. */
  pump(member: Member): void {
    const writer = this.#writer;
    writer.address(-1);
    for (;;) {
      member.catchUp ??= this.#catchUpOf(member);
      const { catchUp } = member;
      if (!catchUp) return;
      while (!catchUp.isDone && member.outlet.queuedBytes <= CATCH_UP_BYTES) {
        this.#pumpOne(catchUp, member, writer);
        for (const { bytes } of writer.take()) member.outlet.write(bytes);
      }
      if (!catchUp.isDone) return;
      member.catchUp = undefined;
      catchUp.onDone(writer);
      for (const { bytes } of writer.take()) member.outlet.write(bytes);
    }
  }

  #catchUpOf(member: Member): CatchUp | undefined {
    if (!member.behind) return undefined;
    const { behind } = member;
    member.behind = undefined;
    const { onDone } = member;
    member.onDone = undefined;
    return CatchUp.some(this.adjOut, behind, onDone);
  }

  /** A few dozen KiB of a catch-up: prefixes of whole attribute sets. */
  #pumpOne(catchUp: CatchUp, member: Member, writer: UpdateWriter): void {
    for (let budget = 4096; budget > 0 && !catchUp.isDone; ) {
      const attributes = catchUp.take(this.adjOut, this.#ids, budget);
      budget -= this.#ids.length + 8;
      if (this.#ids.length === 0) continue;
      const isOwn = attributes !== 0 && this.#exporter.sourceOf(attributes) === member.source;
      if (attributes !== 0 && !isOwn) this.#announce(writer, attributes, 0, this.#ids.length);
      else if (catchUp.withdraws) writer.withdraw(this.family, this.#prefixes, this.#ids.ids, 0, this.#ids.length);
    }
  }

  /** The attribute set announced to a member; 0: none. */
  announcedOf(prefix: number, source: number): number {
    const attributes = this.adjOut[prefix] ?? 0;
    return attributes !== 0 && this.#exporter.sourceOf(attributes) === source ? 0 : attributes;
  }

  /** How many prefixes a member is announced. */
  countFor(source: number): number {
    let own = 0;
    for (const attributes of this.adjOut) if (attributes !== 0 && this.#exporter.sourceOf(attributes) === source) own++;
    return this.count - own;
  }

  /** Prefixes that a member has been sent, or will be. */
  announcedTo(source: number): Set<number> {
    const announced = new Set<number>();
    for (let prefix = 1; prefix < this.adjOut.length; prefix++) {
      const attributes = this.adjOut[prefix] ?? 0;
      if (attributes !== 0 && this.#exporter.sourceOf(attributes) !== source) announced.add(prefix);
    }
    return announced;
  }

  /** Withdraws from a member what it had before and what this group does not announce. */
  withdrawOthers(member: Member, had: ReadonlySet<number>): void {
    this.#ids.clear();
    for (const prefix of had) if ((this.adjOut[prefix] ?? 0) === 0) this.#ids.push(prefix);
    this.#writer.address(-1);
    this.#writer.withdraw(this.family, this.#prefixes, this.#ids.ids, 0, this.#ids.length);
    for (const { bytes } of this.#writer.take()) member.outlet.write(bytes);
  }

  /** Writes something to a member behind all that it has still to be sent. */
  finish(source: number, write: (writer: UpdateWriter) => void): void {
    const member = this.#members.get(source);
    if (!member) return;
    if (member.catchUp || member.behind) {
      member.behind ??= new Set();
      member.onDone = write;
      return;
    }
    this.#writer.address(-1);
    write(this.#writer);
    for (const { bytes } of this.#writer.take()) member.outlet.write(bytes);
  }

  /** Some member must still be told of prefixes that are gone, and knows them by their ids. */
  get remembersWithdrawn(): boolean {
    for (const { behind, catchUp } of this.#members.values()) if (behind || catchUp?.withdraws) return true;
    return false;
  }

  /** Marks the attribute sets that it still needs. */
  mark(inUse: Uint8Array): void {
    for (const attributes of this.adjOut) inUse[attributes] = 1;
    for (const { catchUp } of this.#members.values()) catchUp?.mark(inUse);
  }
}

/** Chains of entries by key, in the order in which the keys came. */
class Buckets {
  #heads: Uint32Array = new Uint32Array(1024);
  readonly #keys = new IdList();

  /** Puts the entry in front of its key's chain; returns the one behind it. */
  put(key: number, entry: number): number {
    if (key >= this.#heads.length) this.#heads = grow32(this.#heads, key + 1);
    const behind = this.#heads[key] ?? 0;
    if (behind === 0) this.#keys.push(key);
    this.#heads[key] = entry;
    return behind;
  }

  keys(): Uint32Array {
    return this.#keys.ids.subarray(0, this.#keys.length);
  }

  take(key: number): number {
    const head = this.#heads[key] ?? 0;
    this.#heads[key] = 0;
    return head;
  }

  reset(): void {
    this.#keys.clear();
  }
}
