// Scalars of networking: addresses, prefixes, AS numbers, ports, protocols, communities.

import { type Family, familyOf, formatAddress, parseAddress } from '../../../net/address.ts';
import { formatPrefix, parseInterfaceAddress, parsePrefix, prefixOf } from '../../../net/prefix.ts';
import { checkedText, describe, text } from './scalars.ts';
import { Refused, type ScalarType } from './types.ts';

const familyWord = (family?: Family): string => (family === 4 ? 'an IPv4' : family === 6 ? 'an IPv6' : 'an IP');
const examplePrefix = (family?: Family): string => (family === 6 ? 'fd00:10::/64' : '10.0.0.0/16');

/** A prefix whose host bits are zero. */
export function cidr(family?: Family): ScalarType<string> {
  const name = family ? `IPv${family} CIDR` : 'CIDR';
  return checkedText(name, (value) => prefixProblem(value, family), { format: 'cidr' });
}

/** The same, stored in canonical text: for what is compared as text elsewhere. */
export const canonicalCidr: ScalarType<string> = {
  ...cidr(),
  read: (value) => {
    const read = cidr().read(value);
    const prefix = typeof read === 'string' ? parsePrefix(read) : undefined;
    return prefix ? formatPrefix(prefix) : read;
  },
};

/** A prefix whose host bits are zero, or a lone address as its /32 or /128. */
export function cidrOrAddress(family?: Family): ScalarType<string> {
  const name = family ? `IPv${family} CIDR or address` : 'CIDR or address';
  return checkedText(
    name,
    (value) => {
      const address = parseAddress(value);
      const fits = address !== undefined && (!family || familyOf(address) === family);
      return fits ? undefined : prefixProblem(value, family);
    },
    { format: 'cidr' },
  );
}

/** Says what is wrong with a text that should be a masked prefix. */
export function prefixProblem(value: string, family?: Family): Refused | undefined {
  const parsed = parseInterfaceAddress(value);
  if (!parsed) {
    const address = parseAddress(value);
    const remedy =
      address === undefined
        ? `write address/length, as ${examplePrefix(family)}`
        : `write ${value}/${familyOf(address) === 4 ? 32 : 128} for the one address`;
    return new Refused(`${describe(value)} is not a CIDR`, remedy);
  }
  if (family && familyOf(parsed.address) !== family) {
    return new Refused(`${value} is not ${familyWord(family)} CIDR`, `give ${familyWord(family)} CIDR`);
  }
  const masked = prefixOf(parsed.address, parsed.length);
  return masked.address === parsed.address
    ? undefined
    : new Refused(`${value} has host bits set`, `write ${formatPrefix(masked)}`);
}

/** A prefix, or a lone address, host bits allowed: what policies and network sets list. */
export const network: ScalarType<string> = checkedText(
  'CIDR or address',
  (value) =>
    parseInterfaceAddress(value) || parseAddress(value) !== undefined
      ? undefined
      : new Refused(`${describe(value)} is neither a CIDR nor an address`, `write it as ${examplePrefix()}`),
  { format: 'cidr' },
);

export function address(family?: Family): ScalarType<string> {
  const name = family ? `IPv${family} address` : 'IP address';
  return checkedText(
    name,
    (value) => {
      const parsed = parseAddress(value);
      if (parsed !== undefined && (!family || familyOf(parsed) === family)) return undefined;
      const withLength = parseInterfaceAddress(value);
      return new Refused(
        `${describe(value)} is not ${familyWord(family)} address`,
        withLength
          ? `leave the prefix length out: ${formatAddress(withLength.address)}`
          : `give ${familyWord(family)} address`,
      );
    },
    { format: family ? `ipv${family}` : 'ip' },
  );
}

/** An address with the length of its subnet, as on an interface; a lone address counts as a /32 or /128. */
export function interfaceAddress(family: Family): ScalarType<string> {
  return checkedText(`IPv${family} address/length`, (value) => {
    const parsed = parseInterfaceAddress(value)?.address ?? parseAddress(value);
    if (parsed !== undefined && familyOf(parsed) === family) return undefined;
    const example = family === 4 ? '10.0.0.1/24' : 'fd00::1/64';
    return new Refused(
      `${describe(value)} is not ${familyWord(family)} address with its subnet`,
      `write it as ${example}`,
    );
  });
}

/** An AS number, 4 octets; dotted text ("1.10") is stored as its number. */
export const asNumber: ScalarType<number> = {
  kind: 'scalar',
  name: 'AS number',
  jsonSchema: { type: 'integer', minimum: 0, maximum: 4294967295, format: 'int64' },
  // `asNumber: 1.10` without quotes is the number 1.1, which is refused.
  manifestSchema: {
    anyOf: [
      { type: 'integer', minimum: 0, maximum: 4294967295 },
      { type: 'string', pattern: '^[0-9]{1,10}$|^[0-9]{1,5}\\.[0-9]{1,5}$' },
    ],
  },
  read: (value) => {
    const number = typeof value === 'string' ? parseAsNumber(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 4294967295) return number;
    return new Refused(`${describe(value)} is not an AS number`, 'give 0 to 4294967295, or dotted as 1.10');
  },
};

/** RFC 5396: plain and dotted notation. */
export function parseAsNumber(text: string): number | undefined {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  const [, high, low] = /^(\d{1,5})\.(\d{1,5})$/.exec(text) ?? [];
  if (high === undefined || low === undefined || Number(high) > 65535 || Number(low) > 65535) return undefined;
  return Number(high) * 65536 + Number(low);
}

/** A port number; 0 is refused unless `min` says otherwise. */
export const portNumber: ScalarType<number> = {
  kind: 'scalar',
  name: 'port number',
  jsonSchema: { type: 'integer', minimum: 1, maximum: 65535 },
  read: (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535
      ? value
      : new Refused(
          `${describe(value)} is not a port`,
          typeof value === 'string' && /^\d{1,5}$/.test(value) ? 'remove the quotes' : 'give 1 to 65535',
        ),
};

export type Port = number | string;

/** What a `ports` entry means: a range (of one or more numbers) or a name. */
export type ParsedPort =
  | { readonly kind: 'range'; readonly first: number; readonly last: number }
  | { readonly kind: 'name'; readonly name: string };

/** Undefined when it is not a port, a range or a name. */
export function parsePort(port: Port): ParsedPort | undefined {
  if (typeof port === 'number') {
    return Number.isInteger(port) && port >= 0 && port <= 65535
      ? { kind: 'range', first: port, last: port }
      : undefined;
  }
  const [, first, last = first] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(port) ?? [];
  if (first !== undefined) {
    const range = { kind: 'range', first: Number(first), last: Number(last) } as const;
    return range.first <= range.last && range.last <= 65535 ? range : undefined;
  }
  return portName.test(port) && !/^[\d:]+$/.test(port) ? { kind: 'name', name: port } : undefined;
}

const portName = /^[a-zA-Z0-9_.-]{1,128}$/;

const portScalar = (name: string, named: boolean, remedy: string): ScalarType<Port> => ({
  kind: 'scalar',
  name,
  jsonSchema: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true },
  read: (value) => {
    const parsed = typeof value === 'number' || typeof value === 'string' ? parsePort(value) : undefined;
    if (!parsed || (parsed.kind === 'name' && !named)) return new Refused(`${describe(value)} is not ${name}`, remedy);
    if (parsed.kind === 'name') return parsed.name;
    if (parsed.first === 0 && parsed.last === 0) return new Refused('port 0 cannot be matched', remedy);
    return parsed.first === parsed.last ? parsed.first : `${parsed.first}:${parsed.last}`;
  },
});

/** A port number, a range `first:last`, or a port's name. Numbers in quotes are stored as numbers. */
export const portMatch = portScalar('a port', true, 'give 1 to 65535, a range as 8000:8100, or the name of a port');

/** A port number or a range, no names. */
export const portRange = portScalar('a port or range', false, 'give a port, or a range as 30000:32767');

export type Protocol = number | string;

export const protocolNumbers = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
} as const satisfies Readonly<Record<string, number>>;

const protocolNames = Object.keys(protocolNumbers);
const protocolByLowerName = new Map(
  Object.entries(protocolNumbers).map(([name, number]) => [name.toLowerCase(), number]),
);

/** The IP protocol number of a name or number; undefined when it is neither. */
export function parseProtocol(protocol: Protocol): number | undefined {
  if (typeof protocol === 'string' && !/^\d+$/.test(protocol)) return protocolByLowerName.get(protocol.toLowerCase());
  const number = Number(protocol);
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number : undefined;
}

/** TCP, UDP … or a protocol number. Names in another case are stored in Calico's. */
export const protocol: ScalarType<Protocol> = {
  kind: 'scalar',
  name: `${protocolNames.join(' | ')} | 1 to 255`,
  jsonSchema: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true },
  read: (value) => {
    const number = typeof value === 'string' || typeof value === 'number' ? parseProtocol(value) : undefined;
    if (number === undefined || number === 0) {
      return new Refused(
        `${describe(value)} is not a protocol`,
        `give one of ${protocolNames.join(', ')}, or 1 to 255`,
      );
    }
    if (typeof value === 'number' || /^\d+$/.test(String(value))) return number;
    return protocolNames.find((name) => name.toLowerCase() === String(value).toLowerCase()) ?? number;
  },
};

/** Standard `65000:100` or large `65000:1:2` community. */
export const community: ScalarType<string> = checkedText('BGP community', (value) => {
  const parts = value.split(':');
  const limit = parts.length === 2 ? 65535 : 4294967295;
  const fine =
    (parts.length === 2 || parts.length === 3) &&
    parts.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= limit);
  return fine
    ? undefined
    : new Refused(`${describe(value)} is not a community`, 'write aa:nn (16 bits each) or aa:nn:mm (32 bits each)');
});

export const macAddress: ScalarType<string> = text({
  name: 'MAC address',
  pattern: /^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/,
  remedy: 'write six octets, as ee:ee:ee:ee:ee:ee',
});

const dscpNames = /^(DF|EF|LE|VA|CS[0-7]|AF[1-4][1-3])$/;

/** A DSCP mark, by number or by name. */
export const dscp: ScalarType<number | string> = {
  kind: 'scalar',
  name: 'DSCP, 0 to 63 or its name',
  jsonSchema: { anyOf: [{ type: 'integer' }, { type: 'string' }], 'x-kubernetes-int-or-string': true },
  read: (value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 63) return number;
    if (typeof value === 'string' && dscpNames.test(value)) return value;
    return new Refused(`${describe(value)} is not a DSCP`, 'give 0 to 63, or a name as AF11 or EF');
  },
};
