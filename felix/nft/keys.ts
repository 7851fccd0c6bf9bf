// Values of nftables' types as bytes, and back to the texts that objects.ts makes. Each field of a key takes a multiple of
// four bytes.

import {
  type Address,
  addressFromBytes,
  addressToBytes,
  formatAddress,
  parseIpv4,
  parseIpv6,
} from '../../net/address.ts';
import { lastAddress, parsePrefix } from '../../net/prefix.ts';
import { addressRangeKey, type KeyType, numberRangeKey } from './objects.ts';

interface KeyTypeFacts {
  /** nft's number of the type: what a set's declaration carries. */
  readonly number: number;
  /** Bytes of a value. */
  readonly length: number;
  readonly hostOrder?: boolean;
}

export const keyTypes: Readonly<Record<KeyType, KeyTypeFacts>> = {
  ipv4_addr: { number: 7, length: 4 },
  ipv6_addr: { number: 8, length: 16 },
  inet_proto: { number: 12, length: 1 },
  inet_service: { number: 13, length: 2 },
  icmp_type: { number: 14, length: 1 },
  icmpv6_type: { number: 29, length: 1 },
  icmp_code: { number: 32, length: 1 },
  icmpv6_code: { number: 33, length: 1 },
  ifname: { number: 41, length: 16, hostOrder: true },
};

const padded = (length: number): number => (length + 3) & ~3;

export const keyLength = (types: readonly KeyType[]): number =>
  types.length === 1 ? keyTypes[types[0] ?? 'ifname'].length : sum(types.map((type) => padded(keyTypes[type].length)));

/** A concatenation's type is those of its fields, six bits each. */
export const keyTypeNumber = (types: readonly KeyType[]): number =>
  types.reduce((number, type) => number * 64 + keyTypes[type].number, 0);

export const fieldLengths = (types: readonly KeyType[]): number[] => types.map((type) => keyTypes[type].length);

/** The lowest and the highest value of a key's text; equal for a single value. */
export interface KeyBytes {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

export function encodeKey(text: string, types: readonly KeyType[]): KeyBytes {
  const [only] = types;
  if (types.length === 1 && only) return encodeField(text, only);
  const fields = text.split(' . ');
  const first = new Uint8Array(keyLength(types));
  const last = new Uint8Array(first.length);
  let offset = 0;
  for (const [i, type] of types.entries()) {
    const field = encodeField(fields[i] ?? '', type);
    first.set(field.first, offset);
    last.set(field.last, offset);
    offset += padded(keyTypes[type].length);
  }
  return { first, last };
}

/** One field: a value, a prefix or a range. */
export function encodeField(text: string, type: KeyType): KeyBytes {
  if (type === 'ifname') {
    const name = encodeName(text);
    return { first: name, last: name };
  }
  if (type === 'ipv4_addr' || type === 'ipv6_addr') {
    const prefix = text.includes('/') ? parsePrefix(text) : undefined;
    if (prefix) return { first: addressToBytes(prefix.address), last: addressToBytes(lastAddress(prefix)) };
    const [first, last = first] = text.split('-');
    return { first: encodeAddress(first ?? '', type), last: encodeAddress(last ?? '', type) };
  }
  const [first, last = first] = text.split('-');
  const { length } = keyTypes[type];
  return { first: encodeNumber(Number(first), length), last: encodeNumber(Number(last), length) };
}

export function encodeName(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(Buffer.from(text.replaceAll('"', '')).subarray(0, 15));
  return bytes;
}

function encodeAddress(text: string, type: 'ipv4_addr' | 'ipv6_addr'): Uint8Array {
  const address = type === 'ipv4_addr' ? parseIpv4(text) : parseIpv6(text);
  if (address === undefined) throw new RangeError(`not an ${type}: ${text}`);
  return addressToBytes(address);
}

/** Big-endian. */
export function encodeNumber(value: number, length: number): Uint8Array {
  // Cut off, it would be another number: a rule that says something else.
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * length)) {
    throw new RangeError(`not a number of ${length} bytes: ${value}`);
  }
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest & 255;
  return bytes;
}

/** The text of a key; `last` when it is a range. */
export function decodeKey(first: Uint8Array, last: Uint8Array | undefined, types: readonly KeyType[]): string {
  let offset = 0;
  const fields = types.map((type) => {
    const text = decodeField(first, last ?? first, offset, type);
    offset += padded(keyTypes[type].length);
    return text;
  });
  return fields.join(' . ');
}

function decodeField(first: Uint8Array, last: Uint8Array, offset: number, type: KeyType): string {
  switch (type) {
    case 'ifname': {
      const name = Buffer.from(first.subarray(offset, offset + 16)).toString();
      return `"${name.replace(/\0.*$/s, '')}"`;
    }
    case 'ipv4_addr':
      return rangeText(addressFromBytes(first, 4, offset), addressFromBytes(last, 4, offset));
    case 'ipv6_addr':
      return rangeText(addressFromBytes(first, 6, offset), addressFromBytes(last, 6, offset));
    case 'inet_proto':
    case 'icmp_type':
    case 'icmp_code':
    case 'icmpv6_type':
    case 'icmpv6_code':
      return numberRangeKey(first[offset] ?? 0, last[offset] ?? 0);
    case 'inet_service': {
      const at = (bytes: Uint8Array): number => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
      return numberRangeKey(at(first), at(last));
    }
  }
}

const rangeText = (first: Address, last: Address): string =>
  first === last ? formatAddress(first) : addressRangeKey(first, last);

/** The value after this one; undefined after the highest. */
export function successor(bytes: Uint8Array): Uint8Array | undefined {
  const next = Uint8Array.from(bytes);
  for (let i = next.length - 1; i >= 0; i--) {
    const value = next[i] ?? 0;
    if (value < 255) {
      next[i] = value + 1;
      return next;
    }
    next[i] = 0;
  }
  return undefined;
}

/** The value before this one. */
export function predecessor(bytes: Uint8Array): Uint8Array {
  const previous = Uint8Array.from(bytes);
  for (let i = previous.length - 1; i >= 0; i--) {
    const value = previous[i] ?? 0;
    previous[i] = (value + 255) & 255;
    if (value > 0) break;
  }
  return previous;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
