// Sets of prefixes without overlaps, which is what kernel interval sets take.

import { type Address, addressPlus, compareAddresses, type Family, familyOf, widthOf } from './address.ts';
import { PrefixMap } from './lpm.ts';
import {
  comparePrefixes,
  familyOfPrefix,
  lastAddress,
  type Prefix,
  prefixCovers,
  prefixesEqual,
  prefixOf,
} from './prefix.ts';

/** From `first` to `last`, both included, of one family. */
export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
}

/** The fewest prefixes that hold the same addresses: nothing covered by another, no two halves side by side. */
export function mergePrefixes(prefixes: readonly Prefix[]): Prefix[] {
  const merged: Prefix[] = [];
  for (const prefix of [...prefixes].sort(comparePrefixes)) {
    const last = merged.at(-1);
    if (last && prefixCovers(last, prefix)) continue;
    merged.push(prefix);
    joinHalves(merged);
  }
  return merged;
}

/** While the last two are the halves of one prefix, puts that in their place. */
function joinHalves(merged: Prefix[]): void {
  for (;;) {
    const high = merged.at(-1);
    const low = merged.at(-2);
    if (!high || !low || high.length !== low.length || high.length === 0) return;
    if (familyOfPrefix(high) !== familyOfPrefix(low)) return;
    const whole = prefixOf(low.address, low.length - 1);
    if (prefixesEqual(high, low) || !prefixCovers(whole, high)) return;
    merged.splice(-2, 2, whole);
  }
}

/** The fewest ranges that hold the same addresses, in order. */
export function mergeToRanges(prefixes: readonly Prefix[]): AddressRange[] {
  const ranges: { first: Address; last: Address }[] = [];
  for (const prefix of mergePrefixes(prefixes)) {
    const previous = ranges.at(-1);
    const last = lastAddress(prefix);
    if (previous && follows(previous.last, prefix.address)) previous.last = last;
    else ranges.push({ first: prefix.address, last });
  }
  return ranges;
}

const follows = (last: Address, next: Address): boolean =>
  familyOf(last) === familyOf(next) && BigInt(next) - BigInt(last) === 1n;

/** The prefixes that make up a range, in order. */
export function rangeToPrefixes({ first, last }: AddressRange): Prefix[] {
  const prefixes: Prefix[] = [];
  const family: Family = familyOf(first);
  let address = first;
  while (compareAddresses(address, last) <= 0) {
    // The shortest prefix that begins here and does not reach beyond the range.
    let length: number = widthOf(family);
    while (length > 0) {
      const wider = prefixOf(address, length - 1);
      if (wider.address !== address || compareAddresses(lastAddress(wider), last) > 0) break;
      length--;
    }
    const prefix = { address, length };
    prefixes.push(prefix);
    const end = lastAddress(prefix);
    if (compareAddresses(end, last) >= 0) break;
    address = addressPlus(end, 1);
  }
  return prefixes;
}

/** What a change of members does to the prefixes in sight. */
export interface UnionChange {
  readonly added: readonly Prefix[];
  readonly removed: readonly Prefix[];
}

const nothing: UnionChange = { added: [], removed: [] };

/**
 * Prefixes that come and go, possibly several times and inside one another, seen as prefixes that do not overlap: those
 * that no other member covers. A change costs what changes in that picture.
 */
export class PrefixUnion {
  readonly #counts = new PrefixMap<number>();

  add(prefix: Prefix): UnionChange {
    const count = this.#counts.get(prefix) ?? 0;
    const removed = count === 0 && !this.#isCovered(prefix) ? this.#outermost(prefix) : undefined;
    this.#counts.set(prefix, count + 1);
    return removed ? { added: [prefix], removed } : nothing;
  }

  /** The prefix must have been added before. */
  remove(prefix: Prefix): UnionChange {
    const count = this.#counts.get(prefix) ?? 0;
    if (count === 0) throw new RangeError('removed a prefix that is no member');
    if (count > 1) {
      this.#counts.set(prefix, count - 1);
      return nothing;
    }
    this.#counts.delete(prefix);
    return this.#isCovered(prefix) ? nothing : { added: this.#outermost(prefix), removed: [prefix] };
  }

  /** The prefixes in sight, in order. */
  *prefixes(): Generator<Prefix> {
    let last: Prefix | undefined;
    for (const { prefix } of this.#counts) {
      if (last && prefixCovers(last, prefix)) continue;
      last = prefix;
      yield prefix;
    }
  }

  /** By another member, longer-lived or not: one shorter than the prefix itself. */
  #isCovered(prefix: Prefix): boolean {
    const [shortest] = this.#counts.covering(prefix);
    return shortest !== undefined && shortest.prefix.length < prefix.length;
  }

  #outermost(prefix: Prefix): Prefix[] {
    return Array.from(this.#counts.outermostCovered(prefix), (entry) => entry.prefix);
  }
}
