// IP addresses as integers.
//
// An IPv4 address is an unsigned 32-bit number, an IPv6 address a 128-bit bigint. Their JavaScript type is their family,
// so an address is a Map key, compares with ===, and costs no object. Text is parsed and printed only at the edges, and
// printing is canonical: RFC 5952 for IPv6. Parsing here is strict and fast; net/people.ts explains what is wrong to a
// person.

export type Ipv4 = number;
export type Ipv6 = bigint;
export type Address = Ipv4 | Ipv6;
export type Family = 4 | 6;

export const familyOf = (address: Address): Family => (typeof address === 'number' ? 4 : 6);

/** Bits in an address of this family: 32 or 128. */
export const widthOf = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** Parses dotted-quad IPv4 or RFC 4291 IPv6 text (no zone, no prefix length); undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

export function parseIpv4(text: string): Ipv4 | undefined {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      if (octet < 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = -1;
    } else {
      const digit = code - 48;
      // A leading zero is refused: some programs read it as octal.
      if (digit < 0 || digit > 9 || octet === 0) return undefined;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return undefined;
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : undefined;
}

export function parseIpv6(text: string): Ipv6 | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

/** 16-bit groups of one side of "::"; the last may be an IPv4 address (RFC 4291 §2.2) when it ends the text. */
function parseGroups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (endsAddress && i === parts.length - 1 && part.includes('.')) {
      const ipv4 = parseIpv4(part);
      if (ipv4 === undefined) return undefined;
      groups.push(ipv4 >>> 16, ipv4 & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** fe80::/10: means something on one link only. */
export const isLinkLocal = (address: Address): boolean => typeof address === 'bigint' && address >> 118n === 0x3fan;

export function formatAddress(address: Address): string {
  return typeof address === 'number' ? formatIpv4(address) : formatIpv6(address);
}

export function formatIpv4(address: Ipv4): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::". */
export function formatIpv6(address: Ipv6): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((address >> shift) & 0xffffn));
  // RFC 5952 §5: the IPv4-mapped form keeps its dotted quad.
  if (address >> 32n === 0xffffn) return `::ffff:${formatIpv4(Number(address & 0xffffffffn))}`;
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      bestStart = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return bestStart < 0 ? hex(0, 8) : `${hex(0, bestStart)}::${hex(bestStart + bestLength, 8)}`;
}

/** Network byte order: 4 or 16 bytes. */
export function addressToBytes(address: Address): Uint8Array {
  if (typeof address === 'number') {
    return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
  }
  const bytes = new Uint8Array(16);
  let rest = address;
  for (let i = 15; i >= 0; i--) {
    bytes[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return bytes;
}

/** Reads 4 (family 4) or 16 (family 6) bytes in network byte order; bytes beyond the end of the array count as zero. */
export function addressFromBytes(bytes: Uint8Array, family: 4, offset?: number): Ipv4;
export function addressFromBytes(bytes: Uint8Array, family: 6, offset?: number): Ipv6;
export function addressFromBytes(bytes: Uint8Array, family: Family, offset?: number): Address;
export function addressFromBytes(bytes: Uint8Array, family: Family, offset = 0): Address {
  const at = (i: number): number => bytes[offset + i] ?? 0;
  if (family === 4) return ((at(0) << 24) | (at(1) << 16) | (at(2) << 8) | at(3)) >>> 0;
  let value = 0n;
  for (let i = 0; i < 16; i++) value = (value << 8n) | BigInt(at(i));
  return value;
}

/** The address `offset` after this one; the caller keeps it inside the family's range. */
export function addressPlus(address: Address, offset: number): Address {
  return typeof address === 'number' ? (address + offset) >>> 0 : address + BigInt(offset);
}

/** Orders IPv4 before IPv6, then by value: negative, zero or positive as Array.prototype.sort wants. */
export function compareAddresses(a: Address, b: Address): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
