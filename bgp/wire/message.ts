// The messages of BGP as values: RFC 4271 §4, RFC 2918 and 7313 (ROUTE-REFRESH), and the capabilities of OPEN.
//
// Numbers that appear on the wire and may be unknown to us (AFI, SAFI, codes) stay numbers; everything we act on has a
// name. Bytes are read and written by the files beside this one: open.ts, notification.ts, update.ts, codec.ts.

import type { Ipv4 } from '../../net/address.ts';
import type { AddressFamily } from '../settings.ts';
import type { UpdateMessage } from './update.ts';

export const HEADER_LENGTH = 19;
/** RFC 4271 §4.1. */
export const MAX_MESSAGE_LENGTH = 4096;
/** RFC 8654: UPDATE, NOTIFICATION and ROUTE-REFRESH only. */
export const MAX_EXTENDED_MESSAGE_LENGTH = 65535;
/** RFC 6793: stands for an AS number that does not fit in two octets. */
export const AS_TRANS = 23456;

export const MessageType = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

export interface OpenMessage {
  readonly kind: 'open';
  readonly version: number;
  /** The sender's AS: that of the 4-octet AS capability when it is there, else the 2-octet field. */
  readonly asn: number;
  readonly holdTimeSec: number;
  readonly routerId: Ipv4;
  readonly capabilities: readonly Capability[];
}

export interface NotificationMessage {
  readonly kind: 'notification';
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

export interface RouteRefreshMessage {
  readonly kind: 'route-refresh';
  readonly afi: number;
  readonly safi: number;
  /** 0 request; RFC 7313: 1 beginning of refresh, 2 end of refresh. */
  readonly subtype: number;
}

export interface KeepaliveMessage {
  readonly kind: 'keepalive';
}

export type Message = OpenMessage | UpdateMessage | NotificationMessage | KeepaliveMessage | RouteRefreshMessage;

/** AFI and SAFI as on the wire. */
export interface WireFamily {
  readonly afi: number;
  readonly safi: number;
}

export type Capability =
  /** RFC 4760 §8. */
  | ({ readonly kind: 'multiprotocol' } & WireFamily)
  /** RFC 2918. */
  | { readonly kind: 'route-refresh' }
  /** RFC 7313. */
  | { readonly kind: 'enhanced-route-refresh' }
  /** RFC 8950: IPv4 routes may come with next hops of `nextHopAfi` (2: IPv6). */
  | {
      readonly kind: 'extended-next-hop';
      readonly families: readonly (WireFamily & { readonly nextHopAfi: number })[];
    }
  /** RFC 8654. */
  | { readonly kind: 'extended-message' }
  /** RFC 4724, with the N bit of RFC 8538 (`notification`). */
  | {
      readonly kind: 'graceful-restart';
      readonly restarting: boolean;
      readonly notification: boolean;
      readonly restartTimeSec: number;
      readonly families: readonly (WireFamily & { readonly forwarding: boolean })[];
    }
  /** RFC 6793. */
  | { readonly kind: 'four-octet-as'; readonly asn: number }
  /** RFC 7911 §4. */
  | {
      readonly kind: 'add-path';
      readonly families: readonly (WireFamily & { readonly send: boolean; readonly receive: boolean })[];
    }
  /** RFC 9494 §3. */
  | {
      readonly kind: 'long-lived-graceful-restart';
      readonly families: readonly (WireFamily & { readonly forwarding: boolean; readonly staleTimeSec: number })[];
    }
  /** draft-walton-bgp-hostname-capability, as FRR speaks it. */
  | { readonly kind: 'fqdn'; readonly host: string; readonly domain: string }
  /** Any other, or a known one whose length is wrong: RFC 5492 says to ignore it. */
  | { readonly kind: 'unknown'; readonly code: number; readonly data: Uint8Array };

const wireFamilies: Readonly<Record<AddressFamily, WireFamily>> = {
  'ipv4-unicast': { afi: 1, safi: 1 },
  'ipv6-unicast': { afi: 2, safi: 1 },
};

export const toWireFamily = (family: AddressFamily): WireFamily => wireFamilies[family];

/** Undefined for families that this speaker does not carry. */
export function fromWireFamily(afi: number, safi: number): AddressFamily | undefined {
  if (safi !== 1) return undefined;
  return afi === 1 ? 'ipv4-unicast' : afi === 2 ? 'ipv6-unicast' : undefined;
}
