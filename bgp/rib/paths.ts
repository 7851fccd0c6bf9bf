// Adj-RIBs-In of all peers of one family: which paths there are for each prefix.
//
//   heads[prefix] → path → path → 0        linked through `next`, in no particular order
//   a path: attribute set, prefix, next    columns indexed by path number
//
// Path numbers are handed out in pages of 256, each belonging to one source, so a path knows its source by its page, and
// a source's paths are its pages: losing a peer costs what that peer had.

import { grow8, grow32 } from './columns.ts';

const PAGE_BITS = 8;
const PAGE_SIZE = 1 << PAGE_BITS;

/** One source's paths. */
interface Owned {
  readonly pages: number[];
  /** First free path of its pages, linked through `next`; 0 is none. */
  free: number;
  count: number;
}

export class Paths {
  /** By prefix id: its first path, 0 when there is none. */
  heads: Uint32Array = new Uint32Array(1024);
  /** By path. The attribute set in force; 0 when the import filter refused the route. */
  attributes: Uint32Array = new Uint32Array(PAGE_SIZE * 4);
  next: Uint32Array = new Uint32Array(PAGE_SIZE * 4);
  prefixes: Uint32Array = new Uint32Array(PAGE_SIZE * 4);
  /** By path: the set as received, where filters may have made another of it. Undefined until a filter did. */
  received: Uint32Array | undefined;
  /** By path: RFC 7911 path identifiers. Undefined until a peer sends some. */
  identifiers: Uint32Array | undefined;
  /** By path: 1 when it is from before the peer's restart (RFC 4724). Undefined until a peer restarts. */
  stale: Uint8Array | undefined;
  /** By path: a number that is higher for what came later; 0: before anybody asked. Undefined until somebody does. */
  arrivals: Uint32Array | undefined;
  #lastArrival = 0;
  /** By page: the source it belongs to. */
  #owners: Uint32Array = new Uint32Array(64);
  #end = PAGE_SIZE;
  readonly #freePages: number[] = [];
  readonly #owned = new Map<number, Owned>();
  #lastSource = 0;
  #lastOwned: Owned | undefined;
  count = 0;

  sourceOf(path: number): number {
    return this.#owners[path >>> PAGE_BITS] ?? 0;
  }

  countOf(source: number): number {
    return this.#owned.get(source)?.count ?? 0;
  }

  /** The path of this source, and of this identifier where there are any; 0 when there is none. */
  find(prefix: number, source: number, identifier: number): number {
    const owners = this.#owners;
    const { next, identifiers } = this;
    let path = this.heads[prefix] ?? 0;
    while (path !== 0) {
      if (owners[path >>> PAGE_BITS] === source && (identifiers === undefined || identifiers[path] === identifier))
        break;
      path = next[path] ?? 0;
    }
    return path;
  }

  /** A new path at the head of its prefix's list. */
  add(prefix: number, source: number, identifier: number, attributes: number): number {
    const owned = this.#ownerOf(source);
    if (owned.free === 0) this.#addPage(source, owned);
    const path = owned.free;
    owned.free = this.next[path] ?? 0;
    owned.count++;
    this.count++;
    if (prefix >= this.heads.length) this.heads = grow32(this.heads, prefix + 1);
    this.next[path] = this.heads[prefix] ?? 0;
    this.heads[prefix] = path;
    this.prefixes[path] = prefix;
    this.attributes[path] = attributes;
    if (identifier !== 0 || this.identifiers) this.#setIdentifier(path, identifier);
    if (this.arrivals) this.noteArrival(path);
    return path;
  }

  /** From now on it is known which paths came first. */
  trackArrivals(): void {
    this.arrivals ??= new Uint32Array(this.attributes.length);
  }

  /** The path is new, or says something else than before. */
  noteArrival(path: number): void {
    if (this.arrivals) this.arrivals[path] = ++this.#lastArrival;
  }

  remove(path: number): void {
    const prefix = this.prefixes[path] ?? 0;
    const after = this.next[path] ?? 0;
    let at = this.heads[prefix] ?? 0;
    if (at === path) this.heads[prefix] = after;
    else {
      while ((this.next[at] ?? 0) !== path) at = this.next[at] ?? 0;
      this.next[at] = after;
    }
    this.#recycle(path);
  }

  #recycle(path: number): void {
    const owned = this.#ownerOf(this.sourceOf(path));
    this.prefixes[path] = 0;
    this.attributes[path] = 0;
    if (this.received) this.received[path] = 0;
    if (this.stale) this.stale[path] = 0;
    this.next[path] = owned.free;
    owned.free = path;
    owned.count--;
    this.count--;
    if (owned.count === 0) this.#releasePages(this.sourceOf(path), owned);
  }

  /** Calls back for each path of the source; the callback may remove that path. */
  forEachOf(source: number, callback: (path: number) => void): void {
    for (const page of [...(this.#owned.get(source)?.pages ?? [])]) {
      const from = page << PAGE_BITS;
      for (let path = from; path < from + PAGE_SIZE; path++) if (this.prefixes[path] !== 0) callback(path);
    }
  }

  /** Marks all paths of a source as from before its restart. */
  markStale(source: number): void {
    const stale = grow8(this.stale ?? new Uint8Array(0), this.attributes.length);
    this.stale = stale;
    this.forEachOf(source, (path) => {
      stale[path] = 1;
    });
  }

  setReceived(path: number, attributes: number): void {
    this.received = grow32(this.received ?? new Uint32Array(0), this.attributes.length);
    this.received[path] = attributes;
  }

  /** The attribute set as the peer sent it. */
  receivedOf(path: number): number {
    return this.received?.[path] || (this.attributes[path] ?? 0);
  }

  /** Marks the attribute sets that paths use. */
  mark(inUse: Uint8Array): void {
    const { attributes, received } = this;
    for (let path = 0; path < this.#end; path++) inUse[attributes[path] ?? 0] = 1;
    if (received) for (const id of received) inUse[id] = 1;
  }

  #setIdentifier(path: number, identifier: number): void {
    this.identifiers = grow32(this.identifiers ?? new Uint32Array(0), this.attributes.length);
    this.identifiers[path] = identifier;
  }

  /** Paths come in runs of one source. */
  #ownerOf(source: number): Owned {
    if (this.#lastOwned && source === this.#lastSource) return this.#lastOwned;
    const owned = this.#owned.get(source) ?? this.#addOwner(source);
    this.#lastOwned = owned;
    this.#lastSource = source;
    return owned;
  }

  #addOwner(source: number): Owned {
    const owned: Owned = { pages: [], free: 0, count: 0 };
    this.#owned.set(source, owned);
    return owned;
  }

  #addPage(source: number, owned: Owned): void {
    const page = this.#freePages.pop() ?? this.#newPage();
    this.#owners[page] = source;
    owned.pages.push(page);
    // Linked in ascending order, so that paths lie in memory as they arrive.
    const from = page << PAGE_BITS;
    for (let path = from + PAGE_SIZE - 1; path >= from; path--) {
      this.next[path] = owned.free;
      owned.free = path;
    }
  }

  #newPage(): number {
    const page = this.#end >>> PAGE_BITS;
    this.#end += PAGE_SIZE;
    this.#owners = grow32(this.#owners, page + 1);
    if (this.#end > this.attributes.length) {
      this.attributes = grow32(this.attributes, this.#end);
      this.next = grow32(this.next, this.#end);
      this.prefixes = grow32(this.prefixes, this.#end);
    }
    const rows = this.attributes.length;
    if (this.received) this.received = grow32(this.received, rows);
    if (this.identifiers) this.identifiers = grow32(this.identifiers, rows);
    if (this.stale) this.stale = grow8(this.stale, rows);
    if (this.arrivals) this.arrivals = grow32(this.arrivals, rows);
    return page;
  }

  #releasePages(source: number, owned: Owned): void {
    for (const page of owned.pages) this.#freePages.push(page);
    this.#owned.delete(source);
    this.#lastOwned = undefined;
  }
}
