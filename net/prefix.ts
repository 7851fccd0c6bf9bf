// Prefixes (networks): an address with its host bits zero, and a length.
//
// A Prefix made by this file is always masked. Its canonical text ("10.0.0.0/26") is its key in maps.

import {
  type Address,
  addressPlus,
  compareAddresses,
  type Family,
  familyOf,
  formatAddress,
  parseAddress,
  widthOf,
} from './address.ts';

export interface Prefix {
  /** Host bits are zero. */
  readonly address: Address;
  /** 0–32 or 0–128. */
  readonly length: number;
}

export const familyOfPrefix = (prefix: Prefix): Family => familyOf(prefix.address);

/** Zeroes the host bits. */
export function maskAddress(address: Address, length: number): Address {
  if (typeof address === 'number') return length === 0 ? 0 : (address & (0xffffffff << (32 - length))) >>> 0;
  const hostBits = BigInt(128 - length);
  return (address >> hostBits) << hostBits;
}

/** The network of `length` bits that holds the address. */
export const prefixOf = (address: Address, length: number): Prefix => ({
  address: maskAddress(address, length),
  length,
});

/** The /32 or /128 of one address. */
export const hostPrefix = (address: Address): Prefix => ({ address, length: widthOf(familyOf(address)) });

/**
 * Parses "address/length"; the host bits must be zero. Undefined when the text is not a masked prefix.
 * For "10.0.0.1/24", where the host bits matter, see parseInterfaceAddress.
 */
export function parsePrefix(text: string): Prefix | undefined {
  const parsed = parseInterfaceAddress(text);
  if (!parsed || maskAddress(parsed.address, parsed.length) !== parsed.address) return undefined;
  return parsed;
}

/** Parses "address/length" keeping the host bits, as on an interface: {address: 10.0.0.1, length: 24}. */
export function parseInterfaceAddress(text: string): { address: Address; length: number } | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined) return undefined;
  const length = parseLength(text, slash + 1);
  return length <= widthOf(familyOf(address)) ? { address, length } : undefined;
}

/** The number that ends the text; NaN when there is none, or one with a leading zero. */
function parseLength(text: string, start: number): number {
  let length = Number.NaN;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9 || length === 0) return Number.NaN;
    length = i === start ? digit : length * 10 + digit;
  }
  return length;
}

/** Parses a masked prefix, or a lone address as its /32 or /128. */
export function parsePrefixOrAddress(text: string): Prefix | undefined {
  if (text.includes('/')) return parsePrefix(text);
  const address = parseAddress(text);
  return address === undefined ? undefined : hostPrefix(address);
}

export const formatPrefix = (prefix: Prefix): string => `${formatAddress(prefix.address)}/${prefix.length}`;

export function prefixContains(prefix: Prefix, address: Address): boolean {
  return familyOf(address) === familyOfPrefix(prefix) && maskAddress(address, prefix.length) === prefix.address;
}

/** True when every address of `inner` is in `outer`; a prefix covers itself. */
export const prefixCovers = (outer: Prefix, inner: Prefix): boolean =>
  inner.length >= outer.length && prefixContains(outer, inner.address);

export const prefixesOverlap = (a: Prefix, b: Prefix): boolean => prefixCovers(a, b) || prefixCovers(b, a);

export const prefixesEqual = (a: Prefix, b: Prefix): boolean => a.address === b.address && a.length === b.length;

/** The highest address of the prefix. */
export function lastAddress(prefix: Prefix): Address {
  if (typeof prefix.address === 'number') {
    // A shift by 32 is a shift by 0 in JavaScript.
    return prefix.length === 32 ? prefix.address : (prefix.address | (0xffffffff >>> prefix.length)) >>> 0;
  }
  return prefix.address | ((1n << BigInt(128 - prefix.length)) - 1n);
}

/** Number of addresses; exact up to 2^53, which is every IPv4 prefix and IPv6 ones of /75 or longer. */
export const prefixSize = (prefix: Prefix): number => 2 ** (widthOf(familyOfPrefix(prefix)) - prefix.length);

/** The address at this ordinal, counted from the network address. */
export const addressAt = (prefix: Prefix, ordinal: number): Address => addressPlus(prefix.address, ordinal);

/** Position of the address inside the prefix; the caller has checked that it is inside. */
export const ordinalOf = (prefix: Prefix, address: Address): number => Number(BigInt(address) - BigInt(prefix.address));

/** IPv4 before IPv6, by address, the shorter prefix first. */
export const comparePrefixes = (a: Prefix, b: Prefix): number =>
  compareAddresses(a.address, b.address) || a.length - b.length;
