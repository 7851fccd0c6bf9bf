// Merging of intervals, our own: the kernel refuses overlapping ones.

import { type Address, addressPlus, compareAddresses, type Family } from '../../net/address.ts';
import { comparePrefixes, familyOfPrefix, lastAddress, type Prefix } from '../../net/prefix.ts';
import type { PortRange } from '../calc/output.ts';

export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
}

export const everyPort: PortRange = { first: 0, last: 65535 };

/** The prefixes of one family as ordered ranges that neither overlap nor touch. */
export function mergePrefixes(prefixes: readonly Prefix[], family: Family): AddressRange[] {
  const sorted = prefixes.filter((prefix) => familyOfPrefix(prefix) === family).sort(comparePrefixes);
  const merged: AddressRange[] = [];
  for (const prefix of sorted) {
    const last = lastAddress(prefix);
    const previous = merged.at(-1);
    // Nothing can follow the highest address, so the addition does not wrap where it matters.
    const touches = previous && compareAddresses(prefix.address, addressPlus(previous.last, 1)) <= 0;
    if (previous && (touches || compareAddresses(prefix.address, previous.last) <= 0)) {
      if (compareAddresses(last, previous.last) > 0) merged[merged.length - 1] = { first: previous.first, last };
    } else merged.push({ first: prefix.address, last });
  }
  return merged;
}

/** Ports as ordered ranges that neither overlap nor touch. */
export function mergePorts(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous && range.first <= previous.last + 1) {
      if (range.last > previous.last) merged[merged.length - 1] = { first: previous.first, last: range.last };
    } else merged.push(range);
  }
  return merged;
}
