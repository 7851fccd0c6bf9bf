// A packet, as far as policy looks at it.

import { parseProtocol, protocolNumbers } from '../../datastore/model/index.ts';
import type { Address } from '../../net/address.ts';

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** For protocols that have ports. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** For ICMP and ICMPv6. */
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

/** What is asked about: protocol, and port or ICMP type. */
export type Traffic = Omit<Packet, 'source' | 'destination'>;

const protocolsWithPorts: readonly number[] = [
  protocolNumbers.TCP,
  protocolNumbers.UDP,
  protocolNumbers.SCTP,
  protocolNumbers.UDPLite,
];
const icmpProtocols: readonly number[] = [protocolNumbers.ICMP, protocolNumbers.ICMPv6];

export const hasPorts = (protocol: number): boolean => protocolsWithPorts.includes(protocol);

/** A client's port: above all that services use, and in no rule that means something by source ports. */
export const CLIENT_PORT = 50_000;

const ECHO_REQUEST = { [protocolNumbers.ICMP]: 8, [protocolNumbers.ICMPv6]: 128 } as const;

/** "tcp/80", "udp/53", "icmp", "icmp/8", "icmp/3/1", "sctp/7", "89"; undefined when it is none of these. */
export function parseTraffic(text: string): Traffic | undefined {
  const [name = '', ...numbers] = text.split('/');
  const protocol = parseProtocol(name);
  if (protocol === undefined || numbers.length > 2) return undefined;
  const values = numbers.map((number) => (/^\d{1,5}$/.test(number) ? Number(number) : Number.NaN));
  const [first, second] = values;
  if (hasPorts(protocol)) {
    const isPort = first !== undefined && first >= 1 && first <= 65535 && values.length === 1;
    return isPort ? { protocol, sourcePort: CLIENT_PORT, destinationPort: first } : undefined;
  }
  if (icmpProtocols.includes(protocol)) {
    if (values.some((value) => !(value <= 255))) return undefined;
    return { protocol, icmpType: first ?? echoRequest(protocol), icmpCode: second ?? 0 };
  }
  return values.length === 0 ? { protocol } : undefined;
}

const echoRequest = (protocol: number): number =>
  protocol === protocolNumbers.ICMP ? ECHO_REQUEST[protocolNumbers.ICMP] : ECHO_REQUEST[protocolNumbers.ICMPv6];

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name.toLowerCase()]),
);

export const protocolName = (protocol: number): string => names.get(protocol) ?? `protocol ${protocol}`;

export function formatTraffic(traffic: Traffic): string {
  const name = protocolName(traffic.protocol);
  if (traffic.destinationPort !== undefined) return `${name}/${traffic.destinationPort}`;
  if (traffic.icmpType !== undefined) return `${name}/${traffic.icmpType}/${traffic.icmpCode ?? 0}`;
  return name;
}
