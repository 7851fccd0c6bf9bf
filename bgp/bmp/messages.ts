// BMP messages as bytes: RFC 7854 §4, RFC 8671 for the Adj-RIB-Out, RFC 9069 for the Loc-RIB. What a monitoring station is told of
// our peers, of what they sent and were sent, and of what was chosen.
//
//     common header   version(1)=3 length(4) type(1)
//     per-peer header type(1) flags(1) distinguisher(8) address(16) AS(4) BGP identifier(4) seconds(4) microseconds(4)

import { type Address, addressToBytes, familyOf } from '../../net/address.ts';
import type { AdjRibOutView } from '../settings.ts';
import { concat, uint16, uint32 } from '../wire/bytes.ts';
import { wholeMessage } from '../wire/codec.ts';
import { MessageType } from '../wire/message.ts';

const VERSION = 3;

const BmpType = {
  routeMonitoring: 0,
  statisticsReport: 1,
  peerDown: 2,
  peerUp: 3,
  initiation: 4,
  termination: 5,
} as const;

/** Numbers of routes, as 64-bit gauges: RFC 7854 §4.8, RFC 8671 §6.2. */
const StatisticType = { adjRibIn: 7, locRib: 8, adjRibOutPrePolicy: 14, adjRibOutPostPolicy: 15 } as const;

const LOC_RIB_PEER = 3;
const IPV6_FLAG = 0x80;
const POST_POLICY_FLAG = 0x40;
const TWO_OCTET_AS_FLAG = 0x20;
const ADJ_RIB_OUT_FLAG = 0x10;

export interface BmpPeer {
  /** Undefined: no peer but this speaker itself, with its Loc-RIB (RFC 9069 §4.1). */
  readonly address: Address | undefined;
  readonly asn: number;
  readonly routerId: number;
}

/** RFC 7854 §4.9. PDUs are whole BGP messages. */
export type BmpDownReason =
  | { readonly kind: 'notification-sent'; readonly pdu: Uint8Array }
  /** `event`: number of the RFC 4271 §8.1 event, 0 when none fits. */
  | { readonly kind: 'closed-by-us'; readonly event: number }
  | { readonly kind: 'notification-received'; readonly pdu: Uint8Array }
  | { readonly kind: 'closed-by-peer' }
  | { readonly kind: 'not-monitored-any-more' }
  /** RFC 9069 §5.3: the Loc-RIB is told no longer, or begins anew. */
  | { readonly kind: 'table-closed' };

export type BmpMessage =
  | { readonly kind: 'initiation'; readonly systemName: string; readonly systemDescription: string }
  | { readonly kind: 'termination' }
  | {
      readonly kind: 'peer-up';
      readonly peer: BmpPeer;
      readonly localAddress: Address;
      readonly localPort: number;
      readonly remotePort: number;
      readonly sentOpen: Uint8Array;
      readonly receivedOpen: Uint8Array;
    }
  | { readonly kind: 'peer-down'; readonly peer: BmpPeer; readonly reason: BmpDownReason }
  /** An UPDATE as the peer sent it, or one that says the same; with `out` one that it is sent. */
  | {
      readonly kind: 'route-monitoring';
      readonly peer: BmpPeer;
      readonly update: Uint8Array;
      readonly twoOctetAs: boolean;
      readonly out?: AdjRibOutView;
    }
  | { readonly kind: 'loc-rib-up'; readonly peer: BmpPeer; readonly open: Uint8Array }
  | {
      readonly kind: 'statistics';
      readonly peer: BmpPeer;
      readonly adjRibInRoutes: number;
      readonly adjRibOutRoutes?: Readonly<Partial<Record<AdjRibOutView, number>>>;
    }
  | { readonly kind: 'loc-rib-statistics'; readonly peer: BmpPeer; readonly routes: number };

/** @param atMs wall clock, of what the message tells. */
export function encodeBmp(message: BmpMessage, atMs: number): Uint8Array {
  switch (message.kind) {
    case 'initiation':
      return frame(BmpType.initiation, [textTlv(1, message.systemDescription), textTlv(2, message.systemName)]);
    case 'termination':
      // Reason 0: closed by the administrator.
      return frame(BmpType.termination, [tlv(1, uint16(0))]);
    case 'peer-up':
      return frame(BmpType.peerUp, [
        peerHeader(message.peer, atMs),
        wideAddress(message.localAddress),
        uint16(message.localPort),
        uint16(message.remotePort),
        message.sentOpen,
        message.receivedOpen,
      ]);
    case 'peer-down':
      return frame(BmpType.peerDown, [peerHeader(message.peer, atMs), ...downReason(message.reason)]);
    case 'route-monitoring':
      return frame(BmpType.routeMonitoring, [peerHeader(message.peer, atMs, message), message.update]);
    case 'loc-rib-up':
      // RFC 9069 §5.2: no addresses, no ports, and the same OPEN for both ends, which says what UPDATEs are like.
      return frame(BmpType.peerUp, [
        peerHeader(message.peer, atMs),
        new Uint8Array(16 + 2 + 2),
        message.open,
        message.open,
        tableName,
      ]);
    case 'statistics':
      return statisticsReport(message.peer, atMs, [
        gauge(StatisticType.adjRibIn, message.adjRibInRoutes),
        ...Object.entries(message.adjRibOutRoutes ?? {}).map(([view, count]) =>
          gauge(view === 'pre-policy' ? StatisticType.adjRibOutPrePolicy : StatisticType.adjRibOutPostPolicy, count),
        ),
      ]);
    case 'loc-rib-statistics':
      return statisticsReport(message.peer, atMs, [gauge(StatisticType.locRib, message.routes)]);
  }
}

/** An UPDATE of which the body is given. */
export const updatePdu = (body: Uint8Array): Uint8Array => wholeMessage(MessageType.update, body);

function frame(type: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 6);
  return concat([Uint8Array.of(VERSION), uint32(length), Uint8Array.of(type), ...parts]);
}

const tlv = (type: number, value: Uint8Array): Uint8Array => concat([uint16(type), uint16(value.length), value]);

const textTlv = (type: number, text: string): Uint8Array => tlv(type, new TextEncoder().encode(text));

const gauge = (type: number, value: number): Uint8Array => tlv(type, concat([uint32(0), uint32(value)]));

const statisticsReport = (peer: BmpPeer, atMs: number, statistics: readonly Uint8Array[]): Uint8Array =>
  frame(BmpType.statisticsReport, [peerHeader(peer, atMs), uint32(statistics.length), ...statistics]);

/** RFC 9069 §5.2: there is one table. */
const tableName = textTlv(3, 'global');

interface RouteFlags {
  readonly twoOctetAs?: boolean;
  readonly out?: AdjRibOutView;
}

/** RFC 7854 §4.2: of the global instance, what came before our policy; or of the Loc-RIB. RFC 8671 §4: or what goes out. */
function peerHeader(
  { address, asn, routerId }: BmpPeer,
  atMs: number,
  { twoOctetAs, out }: RouteFlags = {},
): Uint8Array {
  const isIpv6 = address !== undefined && familyOf(address) === 6;
  const flags =
    (isIpv6 ? IPV6_FLAG : 0) |
    (twoOctetAs ? TWO_OCTET_AS_FLAG : 0) |
    (out ? ADJ_RIB_OUT_FLAG : 0) |
    (out === 'post-policy' ? POST_POLICY_FLAG : 0);
  return concat([
    Uint8Array.of(address === undefined ? LOC_RIB_PEER : 0, flags),
    new Uint8Array(8),
    address === undefined ? new Uint8Array(16) : wideAddress(address),
    uint32(asn),
    uint32(routerId),
    uint32(Math.floor(atMs / 1000)),
    uint32(Math.floor(atMs % 1000) * 1000),
  ]);
}

/** IPv4 addresses are in the last four octets, after zeros. */
function wideAddress(address: Address): Uint8Array {
  const bytes = addressToBytes(address);
  return bytes.length === 16 ? bytes : concat([new Uint8Array(12), bytes]);
}

function downReason(reason: BmpDownReason): Uint8Array[] {
  switch (reason.kind) {
    case 'notification-sent':
      return [Uint8Array.of(1), reason.pdu];
    case 'closed-by-us':
      return [Uint8Array.of(2), uint16(reason.event)];
    case 'notification-received':
      return [Uint8Array.of(3), reason.pdu];
    case 'closed-by-peer':
      return [Uint8Array.of(4)];
    case 'not-monitored-any-more':
      return [Uint8Array.of(5)];
    case 'table-closed':
      return [Uint8Array.of(6), tableName];
  }
}
