// Addresses and prefixes as people write them: what is wrong is said, with what would be right.
//
// The strict parsers of address.ts and prefix.ts decide; this file only explains, so it may be slow. ip-num helps with
// notations that we do not take but understand: netmasks and zones.

import { IPv4Mask, Validator } from 'ip-num';
import { type Address, type Family, familyOf, formatAddress, parseAddress, widthOf } from './address.ts';
import { formatPrefix, maskAddress, type Prefix, parseInterfaceAddress, prefixOf } from './prefix.ts';

export type Reading<T> =
  | { readonly kind: 'ok'; readonly value: T }
  /** One sentence without a full stop, which names the text and what would be right. */
  | { readonly kind: 'invalid'; readonly reason: string };

const ok = <T>(value: T): Reading<T> => ({ kind: 'ok', value });
const invalid = (reason: string): { kind: 'invalid'; reason: string } => ({ kind: 'invalid', reason });

/** A lone address. */
export function readAddress(text: string, family?: Family): Reading<Address> {
  const address = parseAddress(text);
  if (address === undefined) return invalid(whyNoAddress(text));
  if (family && familyOf(address) !== family) return invalid(`${text} is not an IPv${family} address`);
  return ok(address);
}

/** A network: "10.0.0.0/24", with its host bits zero. */
export function readPrefix(text: string, family?: Family): Reading<Prefix> {
  const reading = readInterfaceAddress(text, family);
  if (reading.kind === 'invalid') return reading;
  const { address, length } = reading.value;
  if (maskAddress(address, length) === address) return ok({ address, length });
  return invalid(`${text} has host bits set: ${formatPrefix(prefixOf(address, length))} would be the network`);
}

/** A network, or a lone address as its /32 or /128. */
export function readPrefixOrAddress(text: string, family?: Family): Reading<Prefix> {
  if (text.includes('/')) return readPrefix(text, family);
  const reading = readAddress(text, family);
  if (reading.kind === 'invalid') return reading;
  return ok({ address: reading.value, length: widthOf(familyOf(reading.value)) });
}

/** An address with the length of its network, as on an interface: "10.0.0.1/24". */
export function readInterfaceAddress(text: string, family?: Family): Reading<{ address: Address; length: number }> {
  const parsed = parseInterfaceAddress(text);
  if (!parsed) return invalid(whyNoPrefix(text));
  if (family && familyOf(parsed.address) !== family) return invalid(`${text} is not IPv${family}`);
  return ok(parsed);
}

function whyNoPrefix(text: string): string {
  const [addressText = '', lengthText, ...rest] = text.split('/');
  if (lengthText === undefined) {
    const address = parseAddress(text);
    if (address === undefined) return `${whyNoAddress(text)}, and a prefix length is missing`;
    return `${text} has no prefix length: ${text}/${widthOf(familyOf(address))} would be this one address`;
  }
  if (rest.length > 0) return `${quote(text)} has more than one "/"`;
  const address = parseAddress(addressText);
  if (address === undefined) return whyNoAddress(addressText);
  const width = widthOf(familyOf(address));
  if (typeof address === 'number' && Validator.isValidIPv4Mask(lengthText)[0]) {
    const length = Number(new IPv4Mask(lengthText).prefix);
    return `${text} has a netmask: ${formatAddress(address)}/${length} is the form wanted`;
  }
  return `the prefix length of ${quote(text)} must be a number from 0 to ${width}`;
}

function whyNoAddress(text: string): string {
  if (text === '') return 'an address is missing';
  if (text.trim() !== text) return `${quote(text)} has spaces around it`;
  const zone = text.indexOf('%');
  if (zone > 0 && parseAddress(text.slice(0, zone)) !== undefined) {
    return `${text} has a zone, which means something on one machine only: ${text.slice(0, zone)} is the form wanted`;
  }
  if (text.includes('/')) return `${quote(text)} has a prefix length where a lone address is wanted`;
  return text.includes(':') ? whyNoIpv6(text) : whyNoIpv4(text);
}

function whyNoIpv4(text: string): string {
  const octets = text.split('.');
  if (!/^[0-9.]+$/.test(text)) return `${quote(text)} is no IP address`;
  if (octets.length !== 4) return `${quote(text)} has ${octets.length} of the 4 numbers of an IPv4 address`;
  const tooLarge = octets.find((octet) => Number(octet) > 255);
  if (tooLarge) return `${quote(text)} is no IPv4 address: ${tooLarge} is more than 255`;
  const padded = octets.find((octet) => octet.length > 1 && octet.startsWith('0'));
  if (padded) {
    const plain = octets.map(Number).join('.');
    return `${quote(text)} has a leading zero, which some programs read as octal: ${plain} is the form wanted`;
  }
  return `${quote(text)} is no IPv4 address`;
}

function whyNoIpv6(text: string): string {
  const strange = /[^0-9a-fA-F:.]/.exec(text)?.[0];
  if (strange) return `${quote(text)} is no IPv6 address: ${quote(strange)} is no hexadecimal digit`;
  if (text.includes(':::')) return `${quote(text)} is no IPv6 address: ":::" is one colon too many`;
  if (text.split('::').length > 2) return `${quote(text)} is no IPv6 address: "::" may stand only once`;
  const long = text.split(':').find((group) => group.length > 4 && !group.includes('.'));
  if (long) return `${quote(text)} is no IPv6 address: ${quote(long)} has more than 4 digits`;
  const groups = text.split(':').filter((group) => group !== '').length;
  return `${quote(text)} is no IPv6 address: it has ${groups} groups of the 8`;
}

const quote = (text: string): string => JSON.stringify(text);
