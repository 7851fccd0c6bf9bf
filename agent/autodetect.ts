// Which address a node takes when nobody says: Calico's methods.
//
//   first-found               the first global one of an interface that is not a pod's, a bridge's or a tunnel's
//   interface=REGEX,…         the first on an interface whose name matches, in the order of the patterns
//   skip-interface=REGEX,…    first-found, but none of these interfaces
//   cidr=CIDR,…               the first inside one of the networks
//   can-reach=HOST            the one that packets to HOST leave with
//   kubernetes-internal-ip    the InternalIP of this node's Node resource

import { createSocket } from 'node:dgram';
import type { networkInterfaces } from 'node:os';
import { type Family, familyOf, parseAddress } from '../net/address.ts';
import { type Prefix, parseInterfaceAddress, parsePrefix, prefixContains } from '../net/prefix.ts';

export type Interfaces = ReturnType<typeof networkInterfaces>;

export type Method =
  | { readonly kind: 'first-found' }
  | { readonly kind: 'interface' | 'skip-interface'; readonly patterns: readonly RegExp[] }
  | { readonly kind: 'cidr'; readonly networks: readonly Prefix[] }
  | { readonly kind: 'can-reach'; readonly host: string }
  | { readonly kind: 'kubernetes-internal-ip' };

/** What there is to look at. */
export interface Surroundings {
  readonly interfaces: Interfaces;
  /** The source address of packets to a host; undefined when there is no way to it. */
  readonly sourceTowards: (host: string, family: Family) => Promise<string | undefined>;
  /** The InternalIPs of this node's Node resource. */
  readonly internalAddresses: readonly string[];
}

export const methodNames =
  'first-found, can-reach=HOST, interface=REGEX,…, skip-interface=REGEX,…, cidr=CIDR,… or kubernetes-internal-ip';

const excluded = /^(lo|docker|cbr|dummy|virbr|lxcbr|veth|cali|tunl|flannel|kube-ipvs|cni|vxlan|wireguard|nodelocaldns)/;

/** Throws an Error that says what would be right. */
export function parseMethod(text: string): Method {
  const [, name = text, argument] = /^([a-z-]+)=(.*)$/.exec(text) ?? [];
  const words = (argument ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
  if (argument === undefined && (name === 'first-found' || name === 'kubernetes-internal-ip')) return { kind: name };
  if (words.length > 0) {
    switch (name) {
      case 'interface':
      case 'skip-interface':
        return { kind: name, patterns: words.map(parsePattern) };
      case 'cidr':
        return { kind: name, networks: words.map(parseNetwork) };
      case 'can-reach':
        return { kind: name, host: words.join(',') };
    }
  }
  throw new Error(`"${text}" is no way to find an address; give ${methodNames}`);
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new Error(`"${text}" is not a regular expression`);
  }
}

function parseNetwork(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`"${text}" is not a network; write it as 10.0.0.0/8`);
  return prefix;
}

/** As "address/length"; undefined when the method finds none of the family. */
export async function detectAddress(method: Method, family: Family, around: Surroundings): Promise<string | undefined> {
  const { interfaces } = around;
  switch (method.kind) {
    case 'first-found':
      return firstAddress(interfaces, family, { name: (name) => !excluded.test(name) });
    case 'skip-interface':
      return firstAddress(interfaces, family, {
        name: (name) => !excluded.test(name) && !method.patterns.some((pattern) => pattern.test(name)),
      });
    case 'interface':
      return method.patterns
        .map((pattern) => firstAddress(interfaces, family, { name: (name) => pattern.test(name) }))
        .find((found) => found !== undefined);
    case 'cidr':
      return firstAddress(interfaces, family, {
        address: (text) => {
          const address = parseAddress(text);
          return address !== undefined && method.networks.some((network) => prefixContains(network, address));
        },
      });
    case 'can-reach': {
      const source = await around.sourceTowards(method.host, family);
      return source === undefined ? undefined : withLength(source, interfaces);
    }
    case 'kubernetes-internal-ip': {
      const own = around.internalAddresses.find((text) => familyOfText(text) === family);
      return own === undefined ? undefined : withLength(own, interfaces);
    }
  }
}

const familyOfText = (text: string): Family | undefined => {
  const address = parseInterfaceAddress(text)?.address ?? parseAddress(text);
  return address === undefined ? undefined : familyOf(address);
};

interface Wanted {
  readonly name?: (name: string) => boolean;
  readonly address?: (address: string) => boolean;
}

function firstAddress(interfaces: Interfaces, family: Family, wanted: Wanted): string | undefined {
  for (const name of Object.keys(interfaces).sort()) {
    if (wanted.name?.(name) === false) continue;
    const found = interfaces[name]?.find(
      (one) =>
        one.family === `IPv${family}` &&
        !one.internal &&
        one.cidr !== null &&
        !/^(fe80:|169\.254\.)/.test(one.address) &&
        wanted.address?.(one.address) !== false,
    );
    if (found?.cidr) return found.cidr;
  }
  return undefined;
}

/** An address with the length of its subnet, as far as an interface here knows it. */
export function withLength(text: string, interfaces: Interfaces): string {
  if (text.includes('/')) return text;
  const all = Object.values(interfaces).flatMap((addresses) => addresses ?? []);
  return all.find((one) => one.address === text)?.cidr ?? text;
}

/** Asks the kernel by connecting a UDP socket, which sends nothing. */
export function sourceTowards(host: string, family: Family): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    const end = (found: string | undefined): void => {
      socket.close();
      resolve(found);
    };
    socket.once('error', () => end(undefined));
    socket.connect(80, host, () => end(socket.address().address));
  });
}
