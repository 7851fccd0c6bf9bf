// Attribute sets, interned: one id for each distinct set of each source, so that routes are compared and grouped by a
// number, and ten prefixes with the same attributes parse them once.
//
// A set is kept as its bytes in canonical form (4-octet AS numbers, malformed and meaningless attributes left out, an
// MP_REACH_NLRI cut after its next hop) in one arena, and as columns holding what the decision process compares. The
// source is part of the identity: an attribute set id tells which peer its routes came from. So is how the set came to be:
// what a peer may say in the NLRI field is not what it may say in MP_REACH_NLRI, and what a filter made is no loop.
//
// Nothing counts references. When enough sets have come since the last time, sweep() asks the RIB which ids are in use
// and frees the others, compacting the arena.

import { asPathLength, countAsn, neighborAsOf } from '../wire/as-path.ts';
import { AttributeCode, EXTENDED_LENGTH, MP_REACH_NEXT_HOP } from '../wire/attributes.ts';
import { readUint16, readUint32 } from '../wire/bytes.ts';
import { grow8, grow16, grow32 } from './columns.ts';
import { NextHops } from './next-hops.ts';
import type { Source } from './source.ts';

/** RFC 4271 §9.1.1: what a route without LOCAL_PREF is worth. */
export const DEFAULT_LOCAL_PREF = 100;

/** Communities that change how a route is treated, and the like, as bits of the `traits` column. */
export const Trait = {
  noExport: 1,
  noAdvertise: 2,
  noExportSubconfed: 4,
  /** RFC 8326. */
  gracefulShutdown: 8,
  /** RFC 9494. */
  longLivedStale: 16,
  noLongLived: 32,
  hasMed: 64,
  hasOriginator: 128,
} as const;

/** RFC 9494 §3.3. */
export const LLGR_STALE = 0xffff0006;

const communityTraits = new Map<number, number>([
  [0xffffff01, Trait.noExport],
  [0xffffff02, Trait.noAdvertise],
  [0xffffff03, Trait.noExportSubconfed],
  [0xffff0000, Trait.gracefulShutdown],
  [LLGR_STALE, Trait.longLivedStale],
  [0xffff0007, Trait.noLongLived],
]);

/** Why a set's routes may not be used at all; index 0 means that they may. RFC 4271 §9.1.2, RFC 4456 §8. */
export const refusals = [
  undefined,
  'own AS number in the AS_PATH',
  'own router id as ORIGINATOR_ID',
  'own cluster id in the CLUSTER_LIST',
  'next hop is an address of this speaker',
] as const;
const Refusal = { ownAs: 1, ownOriginator: 2, ownCluster: 3, ownNextHop: 4 } as const;

/** Who we are, as far as loops are concerned. */
export interface Identity {
  readonly routerId: number;
  readonly clusterId: number;
}

/** How a set came to be: with routes of the NLRI field, with those of MP_REACH_NLRI, or made of another set. */
export type Making = 'received' | 'received-mp' | { readonly ofRefusal: number; readonly priority?: number };
const RECEIVED = 0;

const makingNumber = (making: Making): number =>
  making === 'received' ? RECEIVED : making === 'received-mp' ? 1 : 2 + making.ofRefusal;

/** Longest set that can be stored: no attributes are longer, but some grow when their AS numbers do. */
export const MAX_SET_BYTES = 65535;

/**
 * Calico's nodes tell each other a route's metric by LOCAL_PREF, as 2147483647 - metric. Only a metric better than the normal
 * one, 1024, is taken to be one: a LOCAL_PREF that an operator chose is far from there.
 */
const PREFERENCE_OF_METRIC_0 = 2147483647;
const NORMAL_PRIORITY = 1024;

/** The LOCAL_PREF that says so, where the metric is better than normal. */
export const localPrefOfPriority = (priority: number): number | undefined =>
  priority > 0 && priority < NORMAL_PRIORITY ? PREFERENCE_OF_METRIC_0 - priority : undefined;

export function priorityOfLocalPref(localPref: number): number | undefined {
  const priority = PREFERENCE_OF_METRIC_0 - localPref;
  return priority > 0 && priority < NORMAL_PRIORITY ? priority : undefined;
}

const CHUNK_BITS = 20;
const CHUNK_BYTES = 1 << CHUNK_BITS;
const FIRST_ROWS = 1024;
/** Below this many new sets a sweep is not worth it. */
const SWEEP_AT_LEAST = 65536;
/** Sets that may come before a sweep when it seems that none is unused. */
const SWEEP_AT_LAST = 262144;

export class AttributeStore {
  readonly nextHops = new NextHops();
  readonly #identity: Identity;
  readonly #isOwnAddress: (nextHop: number) => boolean;
  #chunks: Uint8Array[] = [];
  #used = CHUNK_BYTES;
  #slots: Uint32Array = new Uint32Array(FIRST_ROWS * 2);
  #hashes: Uint32Array = new Uint32Array(FIRST_ROWS);
  /** Chunk number and offset in one word; 4 GiB in all. */
  #places: Uint32Array = new Uint32Array(FIRST_ROWS);
  #lengths: Uint16Array = new Uint16Array(FIRST_ROWS);
  #makings: Uint8Array = new Uint8Array(FIRST_ROWS);
  readonly #free: number[] = [];
  #addedSinceSweep = 0;
  /** How often a route has let go of its set since the last sweep. A hint: a first full table releases none. */
  released = 0;
  /** What find() was last asked for, and its hash. */
  #lastBytes: Uint8Array | undefined;
  #lastFrom = 0;
  #lastTo = 0;
  #lastSource = 0;
  #lastHash = 0;
  /** Ids are below this; 0 is none. */
  end = 1;
  size = 0;

  source: Uint32Array = new Uint32Array(FIRST_ROWS);
  localPref: Uint32Array = new Uint32Array(FIRST_ROWS);
  med: Uint32Array = new Uint32Array(FIRST_ROWS);
  /** AS_PATH length and ORIGIN in one number that compares as the decision process does: length × 4 + origin. */
  pathRank: Uint32Array = new Uint32Array(FIRST_ROWS);
  neighborAs: Uint32Array = new Uint32Array(FIRST_ROWS);
  nextHop: Uint32Array = new Uint32Array(FIRST_ROWS);
  /** ORIGINATOR_ID, or else the router id of the source (RFC 4456 §9). */
  originator: Uint32Array = new Uint32Array(FIRST_ROWS);
  clusterLength: Uint8Array = new Uint8Array(FIRST_ROWS);
  traits: Uint8Array = new Uint8Array(FIRST_ROWS);
  refusal: Uint8Array = new Uint8Array(FIRST_ROWS);
  /** Kernel metrics that filters set: no attribute of the wire, but a part of the set's identity. Undefined until one did. */
  #priorities: Uint32Array | undefined;

  constructor(identity: Identity, isOwnAddress: (nextHop: number) => boolean = () => false) {
    this.#identity = identity;
    this.#isOwnAddress = isOwnAddress;
  }

  /**
   * The id of exactly these canonical bytes from this source, with routes of the NLRI field, or 0. The bytes must not
   * change before intern().
   */
  find(source: number, bytes: Uint8Array, from: number, to: number): number {
    const hash = hashBytes(source, bytes, from, to);
    this.#lastBytes = bytes;
    this.#lastFrom = from;
    this.#lastTo = to;
    this.#lastSource = source;
    this.#lastHash = hash;
    return this.#slots[this.#seek(source, bytes, from, to, hash, RECEIVED, 0)] ?? 0;
  }

  /** The kernel metric that a set's routes shall have; undefined: the normal one. */
  priorityOf(id: number): number | undefined {
    const set = this.setPriorityOf(id);
    return set === 0 ? priorityOfLocalPref(this.localPref[id] ?? 0) : set;
  }

  /** The one that a filter set; 0: none. */
  setPriorityOf(id: number): number {
    return this.#priorities?.[id] ?? 0;
  }

  /** At most MAX_SET_BYTES. */
  intern(source: number, about: Source, bytes: Uint8Array, from: number, to: number, how: Making = 'received'): number {
    const making = makingNumber(how);
    const priority = typeof how === 'object' ? (how.priority ?? 0) : 0;
    // A find() of the same bytes usually came just before.
    const isSame =
      this.#lastBytes === bytes && this.#lastFrom === from && this.#lastTo === to && this.#lastSource === source;
    const hash = isSame ? this.#lastHash : hashBytes(source, bytes, from, to);
    this.#lastBytes = undefined;
    const slot = this.#seek(source, bytes, from, to, hash, making, priority);
    const found = this.#slots[slot] ?? 0;
    if (found !== 0) return found;
    const id = this.#free.pop() ?? this.end++;
    this.#growRows(id + 1);
    this.#hashes[id] = hash;
    this.#store(id, bytes, from, to);
    this.#makings[id] = making;
    this.source[id] = source;
    this.#setPriority(id, priority);
    this.#describe(id, about);
    if (typeof how === 'object') this.refusal[id] = how.ofRefusal;
    this.size++;
    this.#addedSinceSweep++;
    this.#slots[slot] = id;
    if (this.size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    return id;
  }

  /** Array that holds the set's bytes, from offsetOf(id) for lengthOf(id) octets. */
  bytesOf(id: number): Uint8Array {
    return this.#chunks[(this.#places[id] ?? 0) >>> CHUNK_BITS] ?? emptyChunk;
  }

  offsetOf(id: number): number {
    return (this.#places[id] ?? 0) & (CHUNK_BYTES - 1);
  }

  lengthOf(id: number): number {
    return this.#lengths[id] ?? 0;
  }

  /** A copy of the set's bytes, for slow paths. */
  copyOf(id: number): Uint8Array {
    const offset = this.offsetOf(id);
    return this.bytesOf(id).slice(offset, offset + this.lengthOf(id));
  }

  get wantsSweep(): boolean {
    const enough = Math.max(SWEEP_AT_LEAST, this.size >> 1);
    return this.#addedSinceSweep >= (this.released >= enough ? enough : Math.max(SWEEP_AT_LAST, this.size));
  }

  /** Frees every set that `mark` does not mark with a non-zero octet. */
  sweep(mark: (inUse: Uint8Array) => void): void {
    const inUse = new Uint8Array(this.end);
    mark(inUse);
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#used = CHUNK_BYTES;
    this.#free.length = 0;
    this.size = 0;
    for (let id = 1; id < this.end; id++) {
      if (inUse[id] === 0) {
        this.#free.push(id);
        continue;
      }
      const place = this.#places[id] ?? 0;
      const offset = place & (CHUNK_BYTES - 1);
      this.#store(id, chunks[place >>> CHUNK_BITS] ?? emptyChunk, offset, offset + this.lengthOf(id));
      this.size++;
    }
    this.#addedSinceSweep = 0;
    this.released = 0;
    this.#rehash(this.#slots.length, inUse);
  }

  /** Looks anew at the sets that came from this source, of which something else holds now. */
  rejudge(source: number, about: Source): void {
    const free = new Set(this.#free);
    for (let id = 1; id < this.end; id++) {
      const isReceived = (this.#makings[id] ?? 0) < makingNumber({ ofRefusal: 0 });
      if (this.source[id] === source && isReceived && !free.has(id)) this.#describe(id, about);
    }
  }

  /** Whether any set is of this source; exact right after a sweep. */
  namesSource(source: number): boolean {
    const free = new Set(this.#free);
    for (let id = 1; id < this.end; id++) if (this.source[id] === source && !free.has(id)) return true;
    return false;
  }

  #setPriority(id: number, priority: number): void {
    if (priority === 0 && !this.#priorities) return;
    this.#priorities = grow32(this.#priorities ?? new Uint32Array(0), this.source.length);
    this.#priorities[id] = priority;
  }

  #seek(
    source: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    hash: number,
    making: number,
    priority: number,
  ): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const id = slots[slot] ?? 0;
      if (id === 0) return slot;
      const isSame = this.#hashes[id] === hash && this.source[id] === source && this.#makings[id] === making;
      if (isSame && this.#equals(id, bytes, from, to) && this.setPriorityOf(id) === priority) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #equals(id: number, bytes: Uint8Array, from: number, to: number): boolean {
    if (this.#lengths[id] !== to - from) return false;
    const stored = this.bytesOf(id);
    let at = this.offsetOf(id);
    for (let i = from; i < to; i++) if (stored[at++] !== bytes[i]) return false;
    return true;
  }

  #store(id: number, bytes: Uint8Array, from: number, to: number): void {
    const length = to - from;
    if (this.#used + length > CHUNK_BYTES) {
      this.#chunks.push(new Uint8Array(CHUNK_BYTES));
      this.#used = 0;
    }
    const index = this.#chunks.length - 1;
    const chunk = this.#chunks[index] ?? emptyChunk;
    let at = this.#used;
    for (let i = from; i < to; i++) chunk[at++] = bytes[i] ?? 0;
    this.#places[id] = index * CHUNK_BYTES + this.#used;
    this.#lengths[id] = length;
    this.#used += length;
  }

  #rehash(slotCount: number, inUse?: Uint8Array): void {
    const slots = new Uint32Array(slotCount);
    const mask = slotCount - 1;
    const free = inUse ? undefined : new Set(this.#free);
    for (let id = 1; id < this.end; id++) {
      if (inUse ? inUse[id] === 0 : free?.has(id)) continue;
      let slot = (this.#hashes[id] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.#slots = slots;
  }

  #growRows(count: number): void {
    if (count <= this.source.length) return;
    this.#hashes = grow32(this.#hashes, count);
    this.#places = grow32(this.#places, count);
    this.#lengths = grow16(this.#lengths, count);
    this.#makings = grow8(this.#makings, count);
    this.source = grow32(this.source, count);
    this.localPref = grow32(this.localPref, count);
    this.med = grow32(this.med, count);
    this.pathRank = grow32(this.pathRank, count);
    this.neighborAs = grow32(this.neighborAs, count);
    this.nextHop = grow32(this.nextHop, count);
    this.originator = grow32(this.originator, count);
    this.clusterLength = grow8(this.clusterLength, count);
    this.traits = grow8(this.traits, count);
    this.refusal = grow8(this.refusal, count);
  }

  /** Fills the columns from the bytes. */
  #describe(id: number, about: Source): void {
    this.localPref[id] = DEFAULT_LOCAL_PREF;
    this.med[id] = 0;
    this.pathRank[id] = 0;
    this.neighborAs[id] = 0;
    this.nextHop[id] = 0;
    this.originator[id] = about.routerId;
    this.clusterLength[id] = 0;
    this.traits[id] = 0;
    this.refusal[id] = 0;
    const bytes = this.bytesOf(id);
    const to = this.offsetOf(id) + this.lengthOf(id);
    for (let at = this.offsetOf(id); at < to; ) {
      const extended = ((bytes[at] ?? 0) & EXTENDED_LENGTH) !== 0;
      const start = at + (extended ? 4 : 3);
      const end = start + (extended ? readUint16(bytes, at + 2) : (bytes[at + 2] ?? 0));
      this.#describeOne(id, about, bytes[at + 1] ?? 0, bytes, start, end);
      at = end;
    }
    // RFC 8326 §4: the receiver of a route that is about to go prefers any other.
    if (about.external && ((this.traits[id] ?? 0) & Trait.gracefulShutdown) !== 0) this.localPref[id] = 0;
  }

  #describeOne(id: number, about: Source, code: number, bytes: Uint8Array, start: number, end: number): void {
    switch (code) {
      case AttributeCode.origin:
        this.pathRank[id] = (this.pathRank[id] ?? 0) + (bytes[start] ?? 0);
        break;
      case AttributeCode.asPath:
        this.pathRank[id] = (this.pathRank[id] ?? 0) + asPathLength(bytes, start, end, 4) * 4;
        this.neighborAs[id] = neighborAsOf(bytes, start, end, 4);
        if (loops(about, bytes, start, end)) this.refusal[id] = Refusal.ownAs;
        break;
      case AttributeCode.nextHop:
        this.#setNextHop(id, about, bytes, start, end);
        break;
      case AttributeCode.mpReach: {
        const from = start + MP_REACH_NEXT_HOP;
        this.#setNextHop(id, about, bytes, from, from + (bytes[start + 3] ?? 0));
        break;
      }
      case AttributeCode.med:
        this.med[id] = readUint32(bytes, start);
        this.traits[id] = (this.traits[id] ?? 0) | Trait.hasMed;
        break;
      case AttributeCode.localPref:
        this.localPref[id] = readUint32(bytes, start);
        break;
      case AttributeCode.communities:
        for (let at = start; at < end; at += 4) this.#noteCommunity(id, readUint32(bytes, at));
        break;
      case AttributeCode.originatorId:
        this.originator[id] = readUint32(bytes, start);
        this.traits[id] = (this.traits[id] ?? 0) | Trait.hasOriginator;
        if (this.originator[id] === this.#identity.routerId) this.refusal[id] = Refusal.ownOriginator;
        break;
      case AttributeCode.clusterList:
        this.clusterLength[id] = Math.min(255, (end - start) >> 2);
        for (let at = start; at < end; at += 4) {
          if (readUint32(bytes, at) === this.#identity.clusterId) this.refusal[id] = Refusal.ownCluster;
        }
        break;
    }
  }

  #setNextHop(id: number, about: Source, bytes: Uint8Array, from: number, to: number): void {
    const index = this.nextHops.intern(bytes, from, to);
    this.nextHop[id] = index;
    if (!about.local && this.#isOwnAddress(index)) this.refusal[id] = Refusal.ownNextHop;
  }

  #noteCommunity(id: number, community: number): void {
    if (community < 0xffff0000) return;
    this.traits[id] = (this.traits[id] ?? 0) | (communityTraits.get(community) ?? 0);
  }
}

/** RFC 4271 §9.1.2: our AS is in the path, whichever of ours that is. */
const loops = ({ localAsn, ownAsn, allowedOwnAsns }: Source, bytes: Uint8Array, start: number, end: number): boolean =>
  countAsn(bytes, start, end, 4, localAsn) > allowedOwnAsns ||
  (ownAsn !== undefined && countAsn(bytes, start, end, 4, ownAsn) > allowedOwnAsns);

const emptyChunk = new Uint8Array(0);

function hashBytes(source: number, bytes: Uint8Array, from: number, to: number): number {
  let hash = Math.imul(source + 1, 0x9e3779b1) ^ (to - from);
  let at = from;
  for (const last = to - 3; at < last; at += 4) {
    const word =
      (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
    hash = Math.imul(hash ^ word, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  for (; at < to; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0xc2b2ae35);
  return (hash ^ (hash >>> 13)) >>> 0;
}
