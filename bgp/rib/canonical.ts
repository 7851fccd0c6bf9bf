// From the attributes of a received UPDATE to the canonical bytes that the attribute store keeps: 4-octet AS numbers with
// AS4_PATH merged in (RFC 6793 §4.2.3), nothing malformed or meaningless, and the next hop where the family has it.

import { type AsPathSegment, asPathLength, decodeAsPath, encodeAsPath } from '../wire/as-path.ts';
import type { AttributeScan } from '../wire/attribute-scan.ts';
import { AttributeCode, EXTENDED_LENGTH, MP_REACH_NEXT_HOP, OPTIONAL, TRANSITIVE } from '../wire/attributes.ts';
import { concat, readUint16, uint32, writeUint16 } from '../wire/bytes.ts';
import { AS_TRANS } from '../wire/message.ts';

/** Room for the attributes of the longest message, with every AS number doubled. */
const scratch = new Uint8Array(2 * 65536 + 64);

/** The canonical set in `scratch`; valid until the next call. */
export interface Canonical {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/**
 * @param mp the set is for the prefixes in MP_REACH_NLRI, and not for those in the NLRI field.
 */
export function canonicalize(bytes: Uint8Array, scan: AttributeScan, mp: boolean, fourOctetAs: boolean): Canonical {
  let length = 0;
  for (let i = 0; i < scan.count; i++) {
    const code = scan.codes[i] ?? 0;
    const head = scan.heads[i] ?? 0;
    const start = scan.starts[i] ?? 0;
    const end = scan.ends[i] ?? 0;
    if (code === AttributeCode.mpUnreach || code === (mp ? AttributeCode.nextHop : AttributeCode.mpReach)) continue;
    if (code === AttributeCode.mpReach) length = putReach(bytes, start, length);
    // RFC 6793 §4.1: these mean nothing between speakers of 4-octet numbers.
    else if (code === AttributeCode.as4Path || code === AttributeCode.as4Aggregator) continue;
    else if (!fourOctetAs && code === AttributeCode.asPath) length = putMergedPath(bytes, scan, i, length);
    else if (!fourOctetAs && code === AttributeCode.aggregator) length = putAggregator(bytes, scan, i, length);
    else length = put(bytes, head, end, length);
  }
  return { bytes: scratch, length };
}

function put(bytes: Uint8Array, from: number, to: number, at: number): number {
  for (let i = from; i < to; i++) scratch[at++] = bytes[i] ?? 0;
  return at;
}

/** Header, AFI, SAFI, next hop, reserved octet: what MP_REACH_NLRI has before its prefixes. */
function putReach(bytes: Uint8Array, start: number, at: number): number {
  const length = MP_REACH_NEXT_HOP + (bytes[start + 3] ?? 0) + 1;
  scratch[at] = OPTIONAL;
  scratch[at + 1] = AttributeCode.mpReach;
  scratch[at + 2] = length;
  const end = put(bytes, start, start + length, at + 3);
  scratch[end - 1] = 0;
  return end;
}

function putValue(code: number, flags: number, value: Uint8Array, at: number): number {
  scratch[at] = flags | EXTENDED_LENGTH;
  scratch[at + 1] = code;
  writeUint16(scratch, at + 2, value.length);
  scratch.set(value, at + 4);
  return at + 4 + value.length;
}

function putMergedPath(bytes: Uint8Array, scan: AttributeScan, index: number, at: number): number {
  const [start, end] = [scan.starts[index] ?? 0, scan.ends[index] ?? 0];
  const path = decodeAsPath(bytes, start, end, 2);
  const wideIndex = usesOldAggregator(bytes, scan) ? -1 : scan.indexOf(AttributeCode.as4Path);
  const wide = wideIndex < 0 ? [] : decodeAsPath(bytes, scan.starts[wideIndex] ?? 0, scan.ends[wideIndex] ?? 0, 4);
  return putValue(AttributeCode.asPath, TRANSITIVE, encodeAsPath(mergePaths(path, wide), 4), at);
}

/** RFC 6793 §4.2.3: an AGGREGATOR that is not AS_TRANS was set by an old speaker, so AS4_PATH is out of date. */
function usesOldAggregator(bytes: Uint8Array, scan: AttributeScan): boolean {
  const index = scan.indexOf(AttributeCode.aggregator);
  if (index < 0 || scan.indexOf(AttributeCode.as4Aggregator) < 0) return false;
  return readUint16(bytes, scan.starts[index] ?? 0) !== AS_TRANS;
}

/** The part of the old path that the wide one does not cover, then the wide one. */
export function mergePaths(path: readonly AsPathSegment[], wide: readonly AsPathSegment[]): AsPathSegment[] {
  const size = (segments: readonly AsPathSegment[]): number => {
    const encoded = encodeAsPath(segments, 4);
    return asPathLength(encoded, 0, encoded.length, 4);
  };
  let lead = size(path) - size(wide);
  if (wide.length === 0 || lead < 0) return [...path];
  const merged: AsPathSegment[] = [];
  for (const segment of path) {
    if (lead === 0) break;
    const taken = segment.kind === 'set' ? segment.asns : segment.asns.slice(0, lead);
    merged.push({ kind: segment.kind, asns: taken });
    lead -= segment.kind === 'set' ? 1 : taken.length;
  }
  const last = merged.at(-1);
  const [first, ...rest] = wide;
  if (last?.kind !== 'sequence' || first?.kind !== 'sequence') return [...merged, ...wide];
  return [...merged.slice(0, -1), { kind: 'sequence', asns: [...last.asns, ...first.asns] }, ...rest];
}

function putAggregator(bytes: Uint8Array, scan: AttributeScan, index: number, at: number): number {
  const [start, end] = [scan.starts[index] ?? 0, scan.ends[index] ?? 0];
  const asn = readUint16(bytes, start);
  const wide = scan.indexOf(AttributeCode.as4Aggregator);
  const value =
    asn === AS_TRANS && wide >= 0
      ? bytes.slice(scan.starts[wide], scan.ends[wide])
      : concat([uint32(asn), bytes.slice(end - 4, end)]);
  return putValue(AttributeCode.aggregator, scan.flags[index] ?? 0, value, at);
}
