// Prefixes as small numbers. Each prefix seen gets an id, dense from 1; everything else in the RIB is a column indexed by
// it. The table is open addressing with linear probing: slots hold ids, the key is in the columns.
//
//   slots [.. 7 .. 3 ..]  →  addresses[3] = 10.0.0.0, lengths[3] = 26
//
// A slot holds the id and, in its upper eight bits, a part of the key's hash, so that a foreign id in the way is mostly
// passed without a look at its key. Sixteen prefixes that follow each other share a cache line of slots: what is near in
// the address space is mostly near in time too.
//
// A prefix without routes keeps its id, because flapping routes come back; release() gives ids to others, when the RIB
// finds that too many lie idle.

import { type Address, addressFromBytes, addressToBytes, widthOf } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import { grow8, grow32 } from './columns.ts';

export interface PrefixTable {
  readonly family: 4 | 6;
  /** Ids are below this; 0 is none. */
  readonly end: number;
  /** Ids in use. */
  readonly size: number;
  /** The id of the NLRI at `at` (length octet, address octets), which must be well formed; made when new. */
  intern(bytes: Uint8Array, at: number): number;
  /** As intern, but 0 when there is none. */
  find(bytes: Uint8Array, at: number): number;
  /** Writes the prefix as NLRI and returns where it ends. */
  write(id: number, bytes: Uint8Array, at: number): number;
  prefixOf(id: number): Prefix;
  /** Asked before the table grows: may release ids instead, and says whether it did. */
  reclaim: () => boolean;
  /** Gives up all ids that the callback does not want to keep. */
  release(keep: (id: number) => boolean): void;
}

export const internPrefix = (table: PrefixTable, prefix: Prefix): number => table.intern(nlriOf(prefix), 0);
export const findPrefix = (table: PrefixTable, prefix: Prefix): number => table.find(nlriOf(prefix), 0);

function nlriOf({ address, length }: Prefix): Uint8Array {
  const bytes = new Uint8Array(17);
  bytes[0] = length;
  bytes.set(addressToBytes(address), 1);
  return bytes;
}

const FIRST_SLOTS = 1024;
const QUADRUPLES_BELOW = 1 << 18;
/** A slot: tag in the upper bits, id in the lower ones. */
const ID_BITS = 24;
const ID_MASK = (1 << ID_BITS) - 1;
/** Ids that fit into a slot. */
const MAX_IDS = ID_MASK;

/** What both families share: slots, ids and their recycling. */
abstract class HashedPrefixes {
  slots: Uint32Array = new Uint32Array(FIRST_SLOTS);
  lengths: Uint8Array = new Uint8Array(FIRST_SLOTS);
  end = 1;
  size = 0;
  reclaim: () => boolean = () => false;
  readonly #free: number[] = [];

  protected abstract hashOf(id: number): number;

  protected newId(): number {
    this.size++;
    const id = this.#free.pop() ?? this.end++;
    if (id > MAX_IDS) throw new RangeError(`more than ${MAX_IDS} prefixes of one family`);
    return id;
  }

  /** Beyond five eighths probing gets slow. */
  protected get isFull(): boolean {
    return (this.size + 1) * 8 > this.slots.length * 5;
  }

  /** Makes room for one more id. True when slots moved, so that what was found in them must be found again. */
  protected makeRoom(): boolean {
    if (!this.isFull) return false;
    // A small table that grows will mostly be a large one.
    if (!this.reclaim()) this.rehash(this.slots.length * (this.slots.length < QUADRUPLES_BELOW ? 4 : 2));
    return true;
  }

  protected rehash(slotCount: number): void {
    const free = this.#free.length > 0 ? new Set(this.#free) : undefined;
    const slots = new Uint32Array(slotCount);
    const mask = slotCount - 1;
    for (let id = 1; id < this.end; id++) {
      if (free?.has(id)) continue;
      const hash = this.hashOf(id);
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = tagOf(hash) | id;
    }
    this.slots = slots;
  }

  release(keep: (id: number) => boolean): void {
    const free = new Set(this.#free);
    for (let id = 1; id < this.end; id++) {
      if (free.has(id) || keep(id)) continue;
      this.#free.push(id);
      this.size--;
    }
    this.rehash(this.slots.length);
  }
}

/** The bits of a hash that are kept beside the id, in their place. */
const tagOf = (hash: number): number => hash & ~ID_MASK;

/** Prefix number n of a length: the sixteen that differ in the last four bits get neighboring slots. */
const hash4 = (address: number, length: number): number => {
  const number = length === 0 ? 0 : address >>> (32 - length);
  return (hash32((number >>> 4) + Math.imul(length, 0x3c6ef35f)) & ~15) | (number & 15);
};

function hash32(value: number): number {
  const mixed = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  return mixed ^ (mixed >>> 15);
}

export class Ipv4Prefixes extends HashedPrefixes implements PrefixTable {
  readonly family = 4;
  #addresses: Uint32Array = new Uint32Array(FIRST_SLOTS);

  intern(bytes: Uint8Array, at: number): number {
    const length = bytes[at] ?? 0;
    const address = readMasked(bytes, at + 1, length);
    const { slots, lengths } = this;
    const addresses = this.#addresses;
    const mask = slots.length - 1;
    const hash = hash4(address, length);
    const tag = tagOf(hash);
    let slot = hash & mask;
    for (;;) {
      const entry = slots[slot] ?? 0;
      if (entry === 0) return this.makeRoom() ? this.intern(bytes, at) : this.#add(address, length, slot, tag);
      const id = entry & ID_MASK;
      if ((entry & ~ID_MASK) === tag && addresses[id] === address && lengths[id] === length) return id;
      slot = (slot + 1) & mask;
    }
  }

  find(bytes: Uint8Array, at: number): number {
    const length = bytes[at] ?? 0;
    const address = readMasked(bytes, at + 1, length);
    const { slots, lengths } = this;
    const addresses = this.#addresses;
    const mask = slots.length - 1;
    const hash = hash4(address, length);
    const tag = tagOf(hash);
    let slot = hash & mask;
    for (;;) {
      const entry = slots[slot] ?? 0;
      if (entry === 0) return 0;
      const id = entry & ID_MASK;
      if ((entry & ~ID_MASK) === tag && addresses[id] === address && lengths[id] === length) return id;
      slot = (slot + 1) & mask;
    }
  }

  #add(address: number, length: number, slot: number, tag: number): number {
    const id = this.newId();
    if (id >= this.lengths.length) {
      this.#addresses = grow32(this.#addresses, id + 1);
      this.lengths = grow8(this.lengths, id + 1);
    }
    this.#addresses[id] = address;
    this.lengths[id] = length;
    this.slots[slot] = tag | id;
    return id;
  }

  protected hashOf(id: number): number {
    return hash4(this.#addresses[id] ?? 0, this.lengths[id] ?? 0);
  }

  write(id: number, bytes: Uint8Array, at: number): number {
    const length = this.lengths[id] ?? 0;
    const address = this.#addresses[id] ?? 0;
    bytes[at] = length;
    if (length > 24) {
      bytes[at + 1] = address >>> 24;
      bytes[at + 2] = address >>> 16;
      bytes[at + 3] = address >>> 8;
      bytes[at + 4] = address;
      return at + 5;
    }
    // Octets beyond the prefix are overwritten by what follows; the writer leaves room for them.
    bytes[at + 1] = address >>> 24;
    bytes[at + 2] = address >>> 16;
    bytes[at + 3] = address >>> 8;
    return at + 1 + ((length + 7) >> 3);
  }

  prefixOf(id: number): Prefix {
    return { address: this.#addresses[id] ?? 0, length: this.lengths[id] ?? 0 };
  }
}

/** An address of up to 32 bits, with the bits beyond the length cleared. */
function readMasked(bytes: Uint8Array, at: number, length: number): number {
  if (length > 24) {
    const address =
      ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    return (address & (-1 << (32 - length))) >>> 0;
  }
  if (length > 16) {
    const address = ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8);
    return (address & (-1 << (32 - length))) >>> 0;
  }
  if (length > 8) return ((((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16)) & (-1 << (32 - length))) >>> 0;
  return length === 0 ? 0 : (((bytes[at] ?? 0) << 24) & (-1 << (32 - length))) >>> 0;
}

export class Ipv6Prefixes extends HashedPrefixes implements PrefixTable {
  readonly family = 6;
  /** Four words an id. */
  #words: Uint32Array = new Uint32Array(FIRST_SLOTS * 4);
  readonly #key = new Uint32Array(4);
  /** Of the key, left by #seek(). */
  #tag = 0;

  intern(bytes: Uint8Array, at: number): number {
    const slot = this.#seek(bytes, at);
    const found = this.slots[slot] ?? 0;
    if (found !== 0) return found & ID_MASK;
    if (this.makeRoom()) return this.intern(bytes, at);
    const id = this.newId();
    this.lengths = grow8(this.lengths, id + 1);
    this.#words = grow32(this.#words, (id + 1) * 4);
    this.#words.set(this.#key, id * 4);
    this.lengths[id] = bytes[at] ?? 0;
    this.slots[slot] = this.#tag | id;
    return id;
  }

  find(bytes: Uint8Array, at: number): number {
    return (this.slots[this.#seek(bytes, at)] ?? 0) & ID_MASK;
  }

  /** Leaves the masked address in #key, and returns the slot that has it or that is free for it; its tag in #tag. */
  #seek(bytes: Uint8Array, at: number): number {
    const length = bytes[at] ?? 0;
    const key = this.#key;
    for (let word = 0; word < 4; word++) {
      const bits = length - word * 32;
      key[word] = bits > 0 ? readMasked(bytes, at + 1 + word * 4, Math.min(bits, 32)) : 0;
    }
    const [a = 0, b = 0, c = 0, d = 0] = [key[0], key[1], key[2], key[3]];
    const { slots, lengths } = this;
    const words = this.#words;
    const mask = slots.length - 1;
    const hash = hash128(a, b, c, d, length);
    const tag = tagOf(hash);
    this.#tag = tag;
    let slot = hash & mask;
    for (;;) {
      const entry = slots[slot] ?? 0;
      if (entry === 0) return slot;
      if ((entry & ~ID_MASK) === tag) {
        const id = entry & ID_MASK;
        const w = id * 4;
        if (
          words[w] === a &&
          words[w + 1] === b &&
          words[w + 2] === c &&
          words[w + 3] === d &&
          lengths[id] === length
        ) {
          return slot;
        }
      }
      slot = (slot + 1) & mask;
    }
  }

  protected hashOf(id: number): number {
    const words = this.#words;
    const w = id * 4;
    return hash128(words[w] ?? 0, words[w + 1] ?? 0, words[w + 2] ?? 0, words[w + 3] ?? 0, this.lengths[id] ?? 0);
  }

  write(id: number, bytes: Uint8Array, at: number): number {
    const length = this.lengths[id] ?? 0;
    const octets = (length + 7) >> 3;
    bytes[at] = length;
    for (let i = 0; i < octets; i++) bytes[at + 1 + i] = (this.#words[id * 4 + (i >> 2)] ?? 0) >>> (24 - (i & 3) * 8);
    return at + 1 + octets;
  }

  prefixOf(id: number): Prefix {
    const bytes = new Uint8Array(17 + 3);
    this.write(id, bytes, 0);
    const address: Address = addressFromBytes(bytes, 6, 1);
    return { address, length: Math.min(this.lengths[id] ?? 0, widthOf(6)) };
  }
}

function hash128(a: number, b: number, c: number, d: number, length: number): number {
  return hash32(Math.imul(hash32(a + length), 31) ^ Math.imul(hash32(b), 17) ^ Math.imul(hash32(c), 7) ^ d);
}
