// AS_PATH as segments: RFC 4271 §4.3, 4-octet numbers RFC 6793, AS 0 forbidden by RFC 7607.
//
// The functions on bytes serve the RIB, which never makes segment objects; those on objects serve tests and people.

import { readUint16, readUint32 } from './bytes.ts';

export interface AsPathSegment {
  readonly kind: 'set' | 'sequence';
  readonly asns: readonly number[];
}

export const AS_SET = 1;
export const AS_SEQUENCE = 2;
/** RFC 5065 §3. */
const AS_CONFED_SEQUENCE = 3;
const AS_CONFED_SET = 4;
/** A segment counts its numbers in one octet. */
export const MAX_SEGMENT_ASNS = 255;

export type AsnSize = 2 | 4;

export const readAsn = (bytes: Uint8Array, at: number, size: AsnSize): number =>
  size === 4 ? readUint32(bytes, at) : readUint16(bytes, at);

/**
 * RFC 7606 §7.2: unknown segment types, overruns, a lone last octet and empty segments are malformed. Confederation
 * segments count as unknown: this speaker is in no confederation (RFC 5065 §5.3).
 */
export function isWellFormedAsPath(
  bytes: Uint8Array,
  from: number,
  to: number,
  size: AsnSize,
  highestType = AS_SEQUENCE,
): boolean {
  let at = from;
  while (at < to) {
    if (at + 2 > to) return false;
    const type = bytes[at] ?? 0;
    const count = bytes[at + 1] ?? 0;
    if (type < AS_SET || type > highestType || count === 0) return false;
    at += 2;
    const end = at + count * size;
    if (end > to) return false;
    for (; at < end; at += size) if (readAsn(bytes, at, size) === 0) return false;
  }
  return true;
}

/** RFC 6793 §6: segments of confederations may not be in an AS4_PATH, and only they are left out when they are. */
export const isWellFormedAs4Path = (bytes: Uint8Array, from: number, to: number): boolean =>
  isWellFormedAsPath(bytes, from, to, 4, AS_CONFED_SET);

/** Length for the decision process: a set counts as one (RFC 4271 §9.1.2.2 a). */
export function asPathLength(bytes: Uint8Array, from: number, to: number, size: AsnSize): number {
  let length = 0;
  for (let at = from; at < to; ) {
    const count = bytes[at + 1] ?? 0;
    length += bytes[at] === AS_SET ? 1 : count;
    at += 2 + count * size;
  }
  return length;
}

/** The AS that the route came from last: the first of the leading sequence; 0 when the path is empty or begins with a set. */
export function neighborAsOf(bytes: Uint8Array, from: number, to: number, size: AsnSize): number {
  return from + 2 <= to && bytes[from] === AS_SEQUENCE ? readAsn(bytes, from + 2, size) : 0;
}

/** How often the AS occurs, in sequences and sets. */
export function countAsn(bytes: Uint8Array, from: number, to: number, size: AsnSize, asn: number): number {
  let found = 0;
  for (let at = from; at < to; ) {
    const end = at + 2 + (bytes[at + 1] ?? 0) * size;
    for (at += 2; at < end; at += size) if (readAsn(bytes, at, size) === asn) found++;
  }
  return found;
}

export function decodeAsPath(bytes: Uint8Array, from: number, to: number, size: AsnSize): AsPathSegment[] {
  const segments: AsPathSegment[] = [];
  for (let at = from; at + 2 <= to; ) {
    const type = bytes[at] ?? 0;
    const kind = type === AS_SET ? 'set' : 'sequence';
    const end = Math.min(to, at + 2 + (bytes[at + 1] ?? 0) * size);
    const asns: number[] = [];
    for (at += 2; at < end; at += size) asns.push(readAsn(bytes, at, size));
    if (type < AS_CONFED_SEQUENCE) segments.push({ kind, asns });
  }
  return segments;
}

export function encodeAsPath(segments: readonly AsPathSegment[], size: AsnSize): Uint8Array {
  const octets: number[] = [];
  for (const { kind, asns } of segments) {
    for (let from = 0; from < asns.length; from += MAX_SEGMENT_ASNS) {
      const part = asns.slice(from, from + MAX_SEGMENT_ASNS);
      octets.push(kind === 'set' ? AS_SET : AS_SEQUENCE, part.length);
      for (const asn of part) {
        if (size === 4) octets.push(asn >>> 24, (asn >>> 16) & 255);
        octets.push((asn >>> 8) & 255, asn & 255);
      }
    }
  }
  return Uint8Array.from(octets);
}

/** "64500 64501 {64502 64503}". */
export const formatAsPath = (segments: readonly AsPathSegment[]): string =>
  segments.map(({ kind, asns }) => (kind === 'set' ? `{${asns.join(' ')}}` : asns.join(' '))).join(' ');
