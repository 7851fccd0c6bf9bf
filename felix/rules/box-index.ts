// Boxes that do not overlap, and the question whether one more does.
//
// One dimension, the one that tells the boxes apart best, is kept sorted: boxes that are equal in all the others form a
// slice, in which ranges of that dimension can not overlap, so that a binary search answers. 5,000 rules for one port are
// one slice.

import type { Family } from '../../net/address.ts';
import type { PortRange } from '../calc/output.ts';
import type { Box, Clause } from './match.ts';
import type { AddressRange } from './ranges.ts';

type Range = AddressRange | PortRange;
type RangeDimension = 'source' | 'destination' | 'destinationPorts' | 'sourcePorts';
const rangeDimensions: readonly RangeDimension[] = ['source', 'destination', 'destinationPorts', 'sourcePorts'];

interface Slice {
  readonly box: Box;
  /** Sorted, disjoint. */
  readonly ranges: Range[];
  /** The dimension is absent: the slice holds one box, which takes everything of it. */
  readonly takesAll: boolean;
}

export class BoxIndex {
  private readonly family: Family | undefined;
  private readonly sorted: RangeDimension | undefined;
  private readonly others: readonly RangeDimension[];
  private readonly slices = new Map<string, Slice>();

  /** All boxes to come have the same dimensions and family as this clause. */
  constructor({ family, box }: Clause) {
    this.family = family;
    this.sorted = rangeDimensions.find((dimension) => box[dimension] !== undefined);
    this.others = rangeDimensions.filter((dimension) => dimension !== this.sorted && box[dimension] !== undefined);
  }

  add(box: Box): void {
    const key = [box.protocol ?? '', ...this.others.map((dimension) => textOf(box[dimension]))].join(' ');
    let slice = this.slices.get(key);
    if (!slice) {
      slice = { box, ranges: [], takesAll: this.sorted === undefined };
      this.slices.set(key, slice);
    }
    for (const range of (this.sorted && box[this.sorted]) ?? []) {
      slice.ranges.splice(countUpTo(slice.ranges, range.first), 0, range);
    }
  }

  overlaps({ family, box }: Clause): boolean {
    if (family && this.family && family !== this.family) return false;
    const wanted = this.sorted && box[this.sorted];
    for (const slice of this.slices.values()) {
      if (!this.sliceMeets(slice.box, box)) continue;
      if (slice.takesAll || !wanted || wanted.some((range) => meetsAny(slice.ranges, range))) return true;
    }
    return false;
  }

  private sliceMeets(a: Box, b: Box): boolean {
    if (a.protocol !== undefined && b.protocol !== undefined && a.protocol !== b.protocol) return false;
    return this.others.every((dimension) => rangesMeet(a[dimension], b[dimension]));
  }
}

const textOf = (ranges: readonly Range[] | undefined): string =>
  ranges?.map(({ first, last }) => `${first}-${last}`).join() ?? '';

/** How many of the sorted ranges begin at or before the value. */
function countUpTo(ranges: readonly Range[], value: number | bigint): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range && range.first <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function meetsAny(sorted: readonly Range[], range: Range): boolean {
  const candidate = sorted[countUpTo(sorted, range.last) - 1];
  return candidate !== undefined && candidate.last >= range.first;
}

function rangesMeet(a: readonly Range[] | undefined, b: readonly Range[] | undefined): boolean {
  if (!a || !b) return true;
  return a.some((x) => b.some((y) => x.first <= y.last && y.first <= x.last));
}
