// A binary trie (path-compressed) of prefixes that knows which are covered by another.
//
// "Top" prefixes are those without a shorter one around them: what a set of non-overlapping intervals is made of.

import type { Address } from '../../net/address.ts';
import { maskAddress, type Prefix, prefixCovers } from '../../net/prefix.ts';

interface Node<P extends Prefix> {
  /** Where this node is; a branching point when `value` is undefined. */
  readonly at: Prefix;
  value: P | undefined;
  readonly children: [Node<P> | undefined, Node<P> | undefined];
}

/** Of one address family. */
export class CoverTrie<P extends Prefix> {
  #root: Node<P> | undefined;

  /** True when a shorter prefix of the trie covers this one. */
  isCovered(prefix: Prefix): boolean {
    let node = this.#root;
    while (node && node.at.length < prefix.length && prefixCovers(node.at, prefix)) {
      if (node.value) return true;
      node = node.children[bitAt(prefix.address, node.at.length)];
    }
    return false;
  }

  /** The outermost prefixes strictly inside this one. */
  *topInside(prefix: Prefix): Iterable<P> {
    let node = this.#root;
    while (node && node.at.length <= prefix.length) {
      if (!prefixCovers(node.at, prefix)) return;
      if (node.at.length === prefix.length) {
        yield* tops(node.children[0]);
        yield* tops(node.children[1]);
        return;
      }
      node = node.children[bitAt(prefix.address, node.at.length)];
    }
    if (node && prefixCovers(prefix, node.at)) yield* tops(node);
  }

  /** All outermost prefixes. */
  *top(): Iterable<P> {
    yield* tops(this.#root);
  }

  add(prefix: P): void {
    this.#root = insert(this.#root, prefix);
  }

  delete(prefix: P): void {
    this.#root = remove(this.#root, prefix);
  }
}

const leaf = <P extends Prefix>(value: P): Node<P> => ({ at: value, value, children: [undefined, undefined] });

function insert<P extends Prefix>(node: Node<P> | undefined, value: P): Node<P> {
  if (!node) return leaf(value);
  const shared = sharedLength(node.at, value);
  if (shared === node.at.length) {
    if (shared === value.length) {
      node.value = value;
      return node;
    }
    const side = bitAt(value.address, shared);
    node.children[side] = insert(node.children[side], value);
    return node;
  }
  const above: Node<P> =
    shared === value.length
      ? leaf(value)
      : {
          at: { address: maskAddress(value.address, shared), length: shared },
          value: undefined,
          children: [undefined, undefined],
        };
  above.children[bitAt(node.at.address, shared)] = node;
  if (shared < value.length) above.children[bitAt(value.address, shared)] = leaf(value);
  return above;
}

function remove<P extends Prefix>(node: Node<P> | undefined, value: P): Node<P> | undefined {
  if (!node || node.at.length > value.length) return node;
  if (node.at.length === value.length) {
    if (node.at.address !== value.address) return node;
    node.value = undefined;
  } else {
    const side = bitAt(value.address, node.at.length);
    node.children[side] = remove(node.children[side], value);
  }
  if (node.value) return node;
  const [zero, one] = node.children;
  // A branching point with one branch is none.
  return zero && one ? node : (zero ?? one);
}

function* tops<P extends Prefix>(node: Node<P> | undefined): Iterable<P> {
  const stack = [node];
  for (let next = stack.pop(); stack.length > 0 || next; next = stack.pop()) {
    if (!next) continue;
    if (next.value) yield next.value;
    else stack.push(next.children[1], next.children[0]);
  }
}

/** The bit after the first `length` bits. */
function bitAt(address: Address, length: number): 0 | 1 {
  if (typeof address === 'number') return ((address >>> (31 - length)) & 1) === 1 ? 1 : 0;
  return ((address >> BigInt(127 - length)) & 1n) === 1n ? 1 : 0;
}

/** How many leading bits two prefixes have in common, at most the shorter length. */
function sharedLength(a: Prefix, b: Prefix): number {
  const limit = Math.min(a.length, b.length);
  if (typeof a.address === 'number' && typeof b.address === 'number') {
    return Math.min(limit, Math.clz32(a.address ^ b.address));
  }
  const difference = BigInt(a.address) ^ BigInt(b.address);
  return difference === 0n ? limit : Math.min(limit, 128 - difference.toString(2).length);
}
