// One object per distinct prefix, so that sets of prefixes are sets of objects: no key text, and equality is identity.

import type { Address } from '../../net/address.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';

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
  readonly #prefixes = new Map<number | string, PooledPrefix>();
  readonly #released = new Set<PooledPrefix>();

  get size(): number {
    return this.#prefixes.size;
  }

  /** The pooled objects of these prefixes, each once, each held until released. */
  acquire(prefixes: readonly Prefix[]): readonly PooledPrefix[] {
    const pooled: PooledPrefix[] = [];
    for (const prefix of prefixes) {
      const one = this.#pooled(prefix);
      if (pooled.length > 0 && prefixes.length < 32 && pooled.includes(one)) continue;
      pooled.push(one);
    }
    const distinct = prefixes.length < 32 ? pooled : [...new Set(pooled)];
    for (const one of distinct) one.holders++;
    return distinct;
  }

  release(prefixes: readonly PooledPrefix[]): void {
    for (const prefix of prefixes) if (--prefix.holders === 0) this.#released.add(prefix);
  }

  /**
   * Forgets what nobody holds any more. Not done at once: a prefix that goes and comes within one flush must stay the
   * same object, or its going and its coming would not cancel.
   */
  sweep(): void {
    for (const prefix of this.#released) if (prefix.holders === 0) this.#prefixes.delete(keyOf(prefix));
    this.#released.clear();
  }

  #pooled(prefix: Prefix): PooledPrefix {
    const key = keyOf(prefix);
    const found = this.#prefixes.get(key);
    if (found) return found;
    const made = new PooledPrefix(prefix);
    this.#prefixes.set(key, made);
    return made;
  }
}

// IPv6 by text: a Map hashes only the low 64 bits of a bigint, and those are zero in most networks.
const keyOf = (prefix: Prefix): number | string =>
  typeof prefix.address === 'number' ? prefix.address * 64 + prefix.length : formatPrefix(prefix);
