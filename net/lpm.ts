// A map keyed by prefixes, with longest-prefix match: a path-compressed binary trie for each family.
//
//     10.0.0.0/8 ─┬─0─ 10.1.0.0/16 ─── …          a node has a value, or two children, or both;
//                 └─1─ 10.128.0.0/9 …              what lies between parent and child is skipped, not stored
//
// Every operation costs at most one step for each stored prefix on the path, however many prefixes there are.

import { type Address, type Family, familyOf, formatAddress, widthOf } from './address.ts';
import { familyOfPrefix, maskAddress, type Prefix } from './prefix.ts';

interface Node<V> {
  readonly address: Address;
  readonly length: number;
  /** Undefined: only a fork. */
  entry: PrefixEntry<V> | undefined;
  zero: Node<V> | undefined;
  one: Node<V> | undefined;
}

export interface PrefixEntry<V> {
  readonly prefix: Prefix;
  readonly value: V;
}

export class PrefixMap<V> {
  #ipv4: Node<V> | undefined;
  #ipv6: Node<V> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(prefix: Prefix): V | undefined {
    return this.#find(prefix)?.entry?.value;
  }

  has(prefix: Prefix): boolean {
    return this.#find(prefix)?.entry !== undefined;
  }

  /** True when the prefix is new. */
  set(prefix: Prefix, value: V): boolean {
    const entry = { prefix, value };
    const family = familyOfPrefix(prefix);
    const root = this.#root(family);
    if (!root) {
      this.#setRoot(family, leaf(entry));
      this.#size++;
      return true;
    }
    let parent: Node<V> | undefined;
    let node = root;
    for (;;) {
      const common = commonLength(prefix.address, node.address, Math.min(prefix.length, node.length));
      if (common < node.length) {
        this.#replaceChild(family, parent, node, join(entry, node, common));
        this.#size++;
        return true;
      }
      if (node.length === prefix.length) {
        const isNew = node.entry === undefined;
        node.entry = entry;
        if (isNew) this.#size++;
        return isNew;
      }
      const child = childOf(node, prefix.address);
      if (!child) {
        setChild(node, leaf(entry));
        this.#size++;
        return true;
      }
      parent = node;
      node = child;
    }
  }

  /** True when the prefix was there. */
  delete(prefix: Prefix): boolean {
    const family = familyOfPrefix(prefix);
    let grandparent: Node<V> | undefined;
    let parent: Node<V> | undefined;
    let node = this.#root(family);
    while (node && !(node.length === prefix.length && node.address === prefix.address)) {
      if (node.length >= prefix.length || !covers(node, prefix.address)) return false;
      grandparent = parent;
      parent = node;
      node = childOf(node, prefix.address);
    }
    if (!node?.entry) return false;
    node.entry = undefined;
    this.#size--;
    if (node.zero && node.one) return true;
    this.#replaceChild(family, parent, node, node.zero ?? node.one);
    // A fork that lost one of its two ways is a detour.
    if (parent && !parent.entry && !(parent.zero && parent.one)) {
      this.#replaceChild(family, grandparent, parent, parent.zero ?? parent.one);
    }
    return true;
  }

  clear(): void {
    this.#ipv4 = undefined;
    this.#ipv6 = undefined;
    this.#size = 0;
  }

  /** The entry with the longest prefix that holds the address. */
  match(address: Address): PrefixEntry<V> | undefined {
    let best: PrefixEntry<V> | undefined;
    const width = widthOf(familyOf(address));
    let node = this.#root(familyOf(address));
    while (node && covers(node, address)) {
      if (node.entry) best = node.entry;
      if (node.length === width) break;
      node = childOf(node, address);
    }
    return best;
  }

  /** Entries whose prefix covers this one, itself included, the shortest first. */
  covering(prefix: Prefix): PrefixEntry<V>[] {
    const found: PrefixEntry<V>[] = [];
    let node = this.#root(familyOfPrefix(prefix));
    while (node && node.length <= prefix.length && covers(node, prefix.address)) {
      if (node.entry) found.push(node.entry);
      if (node.length === prefix.length) break;
      node = childOf(node, prefix.address);
    }
    return found;
  }

  /** Entries inside this prefix, itself included, in the order of comparePrefixes. The map must not change meanwhile. */
  covered(prefix: Prefix): Generator<PrefixEntry<V>> {
    return walk(this.#subtree(prefix), false);
  }

  /** As covered(), but nothing that lies inside another entry of the result: they do not overlap. */
  outermostCovered(prefix: Prefix): Generator<PrefixEntry<V>> {
    return walk(this.#subtree(prefix), true);
  }

  /** All entries: IPv4 before IPv6, by address, the shorter prefix first. The map must not change meanwhile. */
  *entries(): Generator<PrefixEntry<V>> {
    yield* walk(this.#ipv4, false);
    yield* walk(this.#ipv6, false);
  }

  [Symbol.iterator](): Generator<PrefixEntry<V>> {
    return this.entries();
  }

  #root(family: Family): Node<V> | undefined {
    return family === 4 ? this.#ipv4 : this.#ipv6;
  }

  #setRoot(family: Family, node: Node<V> | undefined): void {
    if (family === 4) this.#ipv4 = node;
    else this.#ipv6 = node;
  }

  #find(prefix: Prefix): Node<V> | undefined {
    let node = this.#root(familyOfPrefix(prefix));
    while (node && node.length < prefix.length) node = childOf(node, prefix.address);
    return node?.length === prefix.length && node.address === prefix.address ? node : undefined;
  }

  /** The highest node inside the prefix. */
  #subtree(prefix: Prefix): Node<V> | undefined {
    let node = this.#root(familyOfPrefix(prefix));
    while (node && node.length < prefix.length) node = childOf(node, prefix.address);
    return node && maskAddress(node.address, prefix.length) === prefix.address ? node : undefined;
  }

  #replaceChild(family: Family, parent: Node<V> | undefined, old: Node<V>, by: Node<V> | undefined): void {
    if (!parent) this.#setRoot(family, by);
    else if (parent.zero === old) parent.zero = by;
    else parent.one = by;
  }
}

function leaf<V>(entry: PrefixEntry<V>): Node<V> {
  return { address: entry.prefix.address, length: entry.prefix.length, entry, zero: undefined, one: undefined };
}

/** A node for the entry above, or beside, a node that it shares its first `common` bits with. */
function join<V>(entry: PrefixEntry<V>, node: Node<V>, common: number): Node<V> {
  const added = leaf(entry);
  if (common === entry.prefix.length) {
    setChild(added, node);
    return added;
  }
  const address = maskAddress(node.address, common);
  const fork: Node<V> = { address, length: common, entry: undefined, zero: undefined, one: undefined };
  setChild(fork, node);
  setChild(fork, added);
  return fork;
}

function* walk<V>(top: Node<V> | undefined, outermost: boolean): Generator<PrefixEntry<V>> {
  const stack = top ? [top] : [];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.entry) {
      yield node.entry;
      if (outermost) continue;
    }
    if (node.one) stack.push(node.one);
    if (node.zero) stack.push(node.zero);
  }
}

const covers = <V>(node: Node<V>, address: Address): boolean => maskAddress(address, node.length) === node.address;

const childOf = <V>(node: Node<V>, address: Address): Node<V> | undefined =>
  bitAt(address, node.length) ? node.one : node.zero;

function setChild<V>(node: Node<V>, child: Node<V>): void {
  if (bitAt(child.address, node.length)) node.one = child;
  else node.zero = child;
}

/** The bit at a position counted from the most significant one. */
function bitAt(address: Address, position: number): boolean {
  if (typeof address === 'number') return ((address >>> (31 - position)) & 1) === 1;
  return ((address >> BigInt(127 - position)) & 1n) === 1n;
}

/** How many leading bits two addresses of one family share, up to a limit. */
function commonLength(a: Address, b: Address, limit: number): number {
  if (typeof a === 'number' && typeof b === 'number') return Math.min(limit, Math.clz32(a ^ b));
  if (typeof a === 'number' || typeof b === 'number') {
    throw new TypeError(`addresses of two families: ${formatAddress(a)}, ${formatAddress(b)}`);
  }
  const difference = a ^ b;
  for (let word = 0; word < 4; word++) {
    const bits = Number((difference >> BigInt(96 - 32 * word)) & 0xffffffffn);
    if (bits !== 0) return Math.min(limit, 32 * word + Math.clz32(bits));
  }
  return limit;
}
