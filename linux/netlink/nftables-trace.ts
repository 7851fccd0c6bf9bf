// NFT_MSG_TRACE: what the ruleset did with a packet that some rule marked by `meta nftrace set 1`.
//
// The kernel sends one message for each rule that matched, one for each chain that was left without a verdict, and one for
// a base chain's policy. All messages about a packet bear its id; the first of each base chain has the packet's headers.

import { type Address, addressFromBytes } from '../../net/address.ts';
import { AttributeCursor, type NetlinkMessage, viewOf } from './message.ts';

const traceMessage = (10 << 8) | 17;
const attribute = {
  table: 1,
  chain: 2,
  ruleHandle: 3,
  type: 4,
  verdict: 5,
  id: 6,
  networkHeader: 8,
  transportHeader: 9,
  family: 15,
  policy: 16,
} as const;
const types = ['policy', 'return', 'rule'] as const;
const verdictNames: Readonly<Record<number, TraceVerdict>> = {
  0: 'drop',
  1: 'accept',
  [-1]: 'continue',
  [-2]: 'continue',
  [-3]: 'jump',
  [-4]: 'goto',
  [-5]: 'return',
};
const NFPROTO_INET = 1;

export type TraceVerdict = 'accept' | 'drop' | 'continue' | 'jump' | 'goto' | 'return' | 'other';

/** The start of a packet's headers. */
export interface TracedPacket {
  readonly source: Address;
  readonly destination: Address;
  /** IPv6 extension headers are not walked: then this is theirs. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
}

export interface NftTrace {
  readonly id: number;
  /** With its family: "inet twill"; other families have their number. */
  readonly table: string;
  readonly chain: string;
  readonly type: (typeof types)[number];
  /** Of a rule. */
  readonly ruleHandle?: number;
  readonly verdict: TraceVerdict;
  /** In the first message of a base chain; absent later, and for what is not IP. */
  readonly packet?: TracedPacket;
}

/** Undefined when the message is none. */
export function readTrace({ type, payload }: NetlinkMessage): NftTrace | undefined {
  if (type !== traceMessage) return undefined;
  let id = 0;
  let table = '';
  let chain = '';
  let kind = 0;
  let ruleHandle: number | undefined;
  let verdict: TraceVerdict = 'other';
  let network: Uint8Array | undefined;
  let transport: Uint8Array | undefined;
  const cursor = new AttributeCursor(payload, 4);
  while (cursor.next()) {
    if (cursor.type === attribute.table) table = cursor.string();
    else if (cursor.type === attribute.chain) chain = cursor.string();
    else if (cursor.type === attribute.ruleHandle) ruleHandle = Number(viewOf(cursor.value()).getBigUint64(0));
    else if (cursor.type === attribute.type) kind = viewOf(cursor.value()).getUint32(0);
    else if (cursor.type === attribute.id) id = viewOf(cursor.value()).getUint32(0);
    else if (cursor.type === attribute.verdict) verdict = readVerdict(cursor.nested());
    else if (cursor.type === attribute.policy) verdict = verdictName(viewOf(cursor.value()).getInt32(0));
    else if (cursor.type === attribute.networkHeader) network = cursor.value();
    else if (cursor.type === attribute.transportHeader) transport = cursor.value();
  }
  const packet = network && readPacket(network, transport);
  return {
    id,
    table: `${payload[0] === NFPROTO_INET ? 'inet' : payload[0]} ${table}`,
    chain,
    type: types[kind - 1] ?? 'rule',
    verdict,
    ...(ruleHandle !== undefined && { ruleHandle }),
    ...(packet && { packet }),
  };
}

const verdictName = (code: number): TraceVerdict => verdictNames[code] ?? 'other';

function readVerdict(cursor: AttributeCursor): TraceVerdict {
  while (cursor.next()) if (cursor.type === 1) return verdictName(viewOf(cursor.value()).getInt32(0));
  return 'other';
}

const portProtocols: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);
const icmpProtocols: ReadonlySet<number> = new Set([1, 58]);

function readPacket(network: Uint8Array, transport: Uint8Array | undefined): TracedPacket | undefined {
  const version = (network[0] ?? 0) >> 4;
  const isIpv4 = version === 4;
  if (!(isIpv4 || version === 6) || network.length < (isIpv4 ? 20 : 40)) return undefined;
  const protocol = network[isIpv4 ? 9 : 6] ?? 0;
  const addresses = {
    source: isIpv4 ? addressFromBytes(network, 4, 12) : addressFromBytes(network, 6, 8),
    destination: isIpv4 ? addressFromBytes(network, 4, 16) : addressFromBytes(network, 6, 24),
    protocol,
  };
  if (!transport || transport.length < 4) return addresses;
  const view = viewOf(transport);
  if (portProtocols.has(protocol)) {
    return { ...addresses, sourcePort: view.getUint16(0), destinationPort: view.getUint16(2) };
  }
  if (!icmpProtocols.has(protocol)) return addresses;
  return { ...addresses, icmp: { type: view.getUint8(0), code: view.getUint8(1) } };
}
