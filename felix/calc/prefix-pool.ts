// One object per distinct prefix, so that sets of prefixes are sets of objects: no key text, and equality is identity.

import type { Address } from '../../net/address.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import { addToFew, elementsOf, type Few, getOrMake } from './few.ts';

/** The only object of its value in the pool that made it. */
export class PooledPrefix implements Prefix {
  readonly address: Address;
  readonly length: number;
  /** How many hold it. */
  holders = 0;

  constructor(prefix: Prefix) {
    this.address = prefix.address;
    this.length = prefix.length;
  }

  get isHost(): boolean {
    return this.length === (typeof this.address === 'number' ? 32 : 128);
  }
}

export class PrefixPool {
  /** By length, then by address. Small integers as keys: a Map holds them without an object each. */
  readonly #ipv4 = Array.from({ length: 33 }, () => new Map<number, PooledPrefix>());
  /** By text: a Map hashes only the low 64 bits of a bigint, and those are zero in most networks. */
  readonly #ipv6 = new Map<string, PooledPrefix>();
  readonly #released = new Set<PooledPrefix>();

  /** The pooled objects of these prefixes, each once, each held until released. */
  acquire(prefixes: readonly Prefix[]): Few<PooledPrefix> {
    let pooled: Few<PooledPrefix>;
    for (const prefix of prefixes) pooled = addToFew(pooled, this.#pooled(prefix));
    for (const prefix of elementsOf(pooled)) prefix.holders++;
    return pooled;
  }

  release(prefixes: Few<PooledPrefix>): void {
    for (const prefix of elementsOf(prefixes)) if (--prefix.holders === 0) this.#released.add(prefix);
  }

  /**
   * Forgets what nobody holds any more. Not done at once: a prefix that goes and comes within one flush must stay the
   * same object, or its going and its coming would not cancel.
   */
  sweep(): void {
    for (const prefix of this.#released) if (prefix.holders === 0) this.#forget(prefix);
    this.#released.clear();
  }

  #pooled(prefix: Prefix): PooledPrefix {
    const { address, length } = prefix;
    if (typeof address === 'bigint') return getOrMake(this.#ipv6, formatPrefix(prefix), () => new PooledPrefix(prefix));
    const sameLength = this.#ipv4[length] ?? new Map<number, PooledPrefix>();
    return getOrMake(sameLength, address | 0, () => new PooledPrefix(prefix));
  }

  #forget(prefix: PooledPrefix): void {
    const { address, length } = prefix;
    if (typeof address === 'bigint') this.#ipv6.delete(formatPrefix(prefix));
    else this.#ipv4[length]?.delete(address | 0);
  }
}
