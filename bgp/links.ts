// The node's interfaces as the FIB needs them: which are up, what they are called, and which of them a link-local next hop
// is on, which its address alone does not say.

import type { Link } from '../linux/netlink/link.ts';
import type { Address } from '../net/address.ts';
import type { ForeignMatch } from './edges.ts';

export class Links {
  readonly #interfaceOf: (address: Address) => number | undefined;
  readonly #up = new Set<number>();
  readonly #names = new Map<number, string>();
  /** Link-local next hops that were asked for, with their answers. */
  readonly #asked = new Map<Address, number | undefined>();

  constructor(interfaceOf: (address: Address) => number | undefined) {
    this.#interfaceOf = interfaceOf;
  }

  /** All are about to be told anew. */
  clear(): void {
    this.#up.clear();
  }

  /** Returns true when it was called differently. */
  set({ index, name, up }: Link): boolean {
    const before = this.#names.get(index);
    this.#names.set(index, name);
    if (up) this.#up.add(index);
    else this.#up.delete(index);
    return before !== undefined && before !== name;
  }

  forget(index: number): void {
    this.#names.delete(index);
  }

  isUp(index: number): boolean {
    return this.#up.has(index);
  }

  nameOf(index: number): string | undefined {
    return this.#names.get(index);
  }

  /** How a link-local address is reached. */
  lookUp(address: Address): ForeignMatch {
    const interfaceIndex = this.#linkOf(address);
    this.#asked.set(address, interfaceIndex);
    return { length: 128, priority: 0, ways: interfaceIndex === undefined ? [] : [{ interfaceIndex }] };
  }

  /** Link-local addresses that have another answer than when they were looked up. */
  changed(): Address[] {
    return [...this.#asked].filter(([address, before]) => this.#linkOf(address) !== before).map(([address]) => address);
  }

  #linkOf(address: Address): number | undefined {
    const index = this.#interfaceOf(address);
    return index !== undefined && this.#up.has(index) ? index : undefined;
  }
}
