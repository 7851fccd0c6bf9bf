// A route, as everybody sees it.

import type { Address } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';

export const tableMain = 254;
export const tableLocal = 255;

/** rtm_type, in the kernel's order; only what a routing table may hold. */
export const routeTypes = [
  'unspecified',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
] as const;

export type RouteType = (typeof routeTypes)[number];

export interface RouteNextHop {
  /** Undefined: the destination is on the link. An IPv6 gateway of an IPv4 route is allowed (RFC 8950). */
  readonly gateway?: Address;
  readonly interfaceIndex?: number;
  /** 1–256; default 1. */
  readonly weight?: number;
  /** Take the gateway to be on the link even though no route says so. */
  readonly onlink?: boolean;
}

export interface Route {
  readonly prefix: Prefix;
  /** Default unicast. */
  readonly type?: RouteType;
  /** Default 254, "main". */
  readonly table?: number;
  /** rtm_protocol: who made the route; 2 is the kernel. */
  readonly protocol: number;
  /** Default: link for a unicast route without gateway, host for a local one, else universe. IPv6 has none. */
  readonly scope?: number;
  /** The metric. IPv4's default is 0, IPv6's 1024. */
  readonly priority?: number;
  /** Source address to prefer for packets that start here. */
  readonly source?: Address;
  /** None for blackhole and its like. */
  readonly nextHops: readonly RouteNextHop[];
  readonly mtu?: number;
  readonly advmss?: number;
}
