// Prefixes in UPDATEs: a length octet and as many octets as it needs (RFC 4271 §4.3), with a path identifier before it
// where add-path was negotiated (RFC 7911 §3).

import { addressFromBytes, addressToBytes, type Family, widthOf } from '../../net/address.ts';
import { maskAddress, type Prefix } from '../../net/prefix.ts';
import { concat, readUint32, uint32 } from './bytes.ts';

export interface Nlri {
  readonly prefix: Prefix;
  /** RFC 7911; undefined when the session does not carry path identifiers in this direction. */
  readonly pathId?: number;
}

const PATH_ID_OCTETS = 4;

/** RFC 7606 §5.3: every length within the family's width and every prefix inside the field. */
export function isWellFormedNlri(
  bytes: Uint8Array,
  from: number,
  to: number,
  family: Family,
  addPath: boolean,
): boolean {
  const width = widthOf(family);
  const skip = addPath ? PATH_ID_OCTETS : 0;
  let at = from;
  while (at < to) {
    at += skip;
    if (at >= to) return false;
    const length = bytes[at] ?? 0;
    if (length > width) return false;
    at += 1 + ((length + 7) >> 3);
  }
  return at === to;
}

/** The field must be well formed. Bits beyond the length are irrelevant (RFC 4271 §4.3) and are cleared. */
export function decodeNlri(bytes: Uint8Array, from: number, to: number, family: Family, addPath: boolean): Nlri[] {
  const list: Nlri[] = [];
  for (let at = from; at < to; ) {
    const pathId = readUint32(bytes, at);
    if (addPath) at += PATH_ID_OCTETS;
    const length = bytes[at] ?? 0;
    const octets = (length + 7) >> 3;
    const padded = new Uint8Array(16);
    padded.set(bytes.subarray(at + 1, at + 1 + octets));
    const prefix = { address: maskAddress(addressFromBytes(padded, family), length), length };
    list.push(addPath ? { prefix, pathId } : { prefix });
    at += 1 + octets;
  }
  return list;
}

export function encodeNlri(list: readonly Nlri[]): Uint8Array {
  return concat(
    list.map(({ prefix, pathId }) => {
      const octets = addressToBytes(prefix.address).subarray(0, (prefix.length + 7) >> 3);
      const head = pathId === undefined ? [] : [uint32(pathId)];
      return concat([...head, Uint8Array.of(prefix.length), octets]);
    }),
  );
}
