// Routes: `struct rtmsg` and its attributes.
//
//     rtmsg: family(1) dst_len(1) src_len(1) tos(1) table(1) protocol(1) scope(1) type(1) flags(4)
//     rtnexthop: length(2) flags(1) hops(1) ifindex(4) attributes …

import {
  type Address,
  addressFromBytes,
  addressToBytes,
  type Family,
  familyOf,
  formatAddress,
  widthOf,
} from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../../net/prefix.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import {
  AttributeCursor,
  type MessageWriter,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  viewOf,
} from './message.ts';
import type { NetlinkRequest } from './socket.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;

const RTNH_F_ONLINK = 4;

export const tableMain = 254;
export const tableLocal = 255;

const scopeUniverse = 0;
const scopeLink = 253;
const scopeHost = 254;
const scopeNowhere = 255;

/** rtm_type, in the kernel's order; only what a routing table may hold. */
const routeTypes = [
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

/** Create: refuse when a route of this prefix, table and priority is there (EEXIST). Append: one more beside it. */
export type RouteWrite = 'create' | 'replace' | 'append';

const writeFlags: Record<RouteWrite, number> = {
  create: NLM_F_CREATE | NLM_F_EXCL,
  replace: NLM_F_CREATE | NLM_F_REPLACE,
  append: NLM_F_CREATE | NLM_F_APPEND,
};

const afOf = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

/** Beware of `replace`: the kernel does not ask whose the route is that it replaces. */
export function addRoute(route: Route, how: RouteWrite = 'create'): NetlinkRequest {
  return {
    type: RTM_NEWROUTE,
    flags: writeFlags[how],
    write: (writer) => writeRoute(writer, route),
    describe: () => `${how} route ${formatPrefix(route.prefix)}`,
  };
}

/** What names the route to delete. Without a protocol, whoever made it; without next hops, whatever its next hops are. */
export type RouteKey = Pick<Route, 'prefix'> & Partial<Omit<Route, 'prefix'>>;

export function deleteRoute(route: RouteKey): NetlinkRequest {
  return {
    type: RTM_DELROUTE,
    flags: 0,
    write: (writer) =>
      writeRoute(writer, {
        ...route,
        protocol: route.protocol ?? 0,
        scope: route.scope ?? scopeNowhere,
        type: route.type ?? 'unspecified',
        nextHops: route.nextHops ?? [],
      }),
    describe: () => `delete route ${formatPrefix(route.prefix)}`,
  };
}

export interface RouteFilter {
  readonly family: Family;
  /** Only this table; default: all. */
  readonly table?: number;
  /** Only this protocol; default: all. The kernel filters, so a dump of our own routes costs what our routes cost. */
  readonly protocol?: number;
  readonly interfaceIndex?: number;
}

export function dumpRoutes(filter: RouteFilter): NetlinkRequest {
  return {
    type: RTM_GETROUTE,
    flags: 0,
    write: (writer) => {
      writer.u8(afOf(filter.family));
      writer.u8(0);
      writer.u8(0);
      writer.u8(0);
      writer.u8(0);
      writer.u8(filter.protocol ?? 0);
      writer.u8(0);
      writer.u8(0);
      writer.u32(0);
      if (filter.table !== undefined) writer.attributeU32(RTA_TABLE, filter.table);
      if (filter.interfaceIndex !== undefined) writer.attributeU32(RTA_OIF, filter.interfaceIndex);
    },
    describe: () => `dump IPv${filter.family} routes`,
  };
}

/** Asks how the kernel would reach an address now; the answer is one route, with the next hop chosen. */
export function lookUpRoute(address: Address): NetlinkRequest {
  const family = familyOf(address);
  return {
    type: RTM_GETROUTE,
    flags: 0,
    write: (writer) => {
      writer.u8(afOf(family));
      writer.u8(widthOf(family));
      writer.u16(0);
      writer.u32(0);
      writer.u32(0);
      writer.attribute(RTA_DST, addressToBytes(address));
    },
    describe: () => `look up ${formatAddress(address)}`,
  };
}

function defaultScope(route: Route): number {
  if (typeof route.prefix.address !== 'number') return scopeUniverse;
  switch (route.type ?? 'unicast') {
    case 'local':
      return scopeHost;
    case 'broadcast':
    case 'multicast':
    case 'anycast':
      return scopeLink;
    case 'unicast':
      return route.nextHops.every((hop) => hop.gateway === undefined) ? scopeLink : scopeUniverse;
    default:
      return scopeUniverse;
  }
}

export function writeRoute(writer: MessageWriter, route: Route): void {
  const table = route.table ?? tableMain;
  const [first, second] = route.nextHops;
  writer.u8(afOf(familyOfPrefix(route.prefix)));
  writer.u8(route.prefix.length);
  writer.u8(0);
  writer.u8(0);
  writer.u8(table < 256 ? table : 0);
  writer.u8(route.protocol);
  writer.u8(route.scope ?? defaultScope(route));
  writer.u8(routeTypes.indexOf(route.type ?? 'unicast'));
  writer.u32(!second && first?.onlink ? RTNH_F_ONLINK : 0);
  writer.attribute(RTA_DST, addressToBytes(route.prefix.address));
  if (table > 255) writer.attributeU32(RTA_TABLE, table);
  if (route.priority !== undefined) writer.attributeU32(RTA_PRIORITY, route.priority);
  if (route.source !== undefined) writer.attribute(RTA_PREFSRC, addressToBytes(route.source));
  if (route.mtu !== undefined || route.advmss !== undefined) writeMetrics(writer, route);
  if (second) writeMultipath(writer, route);
  else if (first) writeSingleHop(writer, route, first);
}

function writeMetrics(writer: MessageWriter, route: Route): void {
  writer.nest(RTA_METRICS, () => {
    if (route.mtu !== undefined) writer.attributeU32(RTAX_MTU, route.mtu);
    if (route.advmss !== undefined) writer.attributeU32(RTAX_ADVMSS, route.advmss);
  });
}

function writeSingleHop(writer: MessageWriter, route: Route, hop: RouteNextHop): void {
  writeGateway(writer, route, hop);
  if (hop.interfaceIndex !== undefined) writer.attributeU32(RTA_OIF, hop.interfaceIndex);
}

function writeMultipath(writer: MessageWriter, route: Route): void {
  writer.nest(RTA_MULTIPATH, () => {
    for (const hop of route.nextHops) {
      writer.sized(() => {
        writer.u8(hop.onlink ? RTNH_F_ONLINK : 0);
        writer.u8((hop.weight ?? 1) - 1);
        writer.u32(hop.interfaceIndex ?? 0);
        writeGateway(writer, route, hop);
      });
    }
  });
}

function writeGateway(writer: MessageWriter, route: Route, { gateway }: RouteNextHop): void {
  if (gateway === undefined) return;
  const bytes = addressToBytes(gateway);
  if (familyOf(gateway) === familyOfPrefix(route.prefix)) {
    writer.attribute(RTA_GATEWAY, bytes);
    return;
  }
  // struct rtvia: family(2) address. RFC 8950: an IPv4 route by an IPv6 next hop.
  const via = new Uint8Array(2 + bytes.length);
  via[0] = afOf(familyOf(gateway));
  via.set(bytes, 2);
  writer.attribute(RTA_VIA, via);
}

/** Reads the payload of RTM_NEWROUTE or RTM_DELROUTE; undefined for families that are not ours and cloned routes. */
export function readRoute(payload: Uint8Array): Route | undefined {
  if (payload.length < 12) return undefined;
  const af = payload[0];
  const family: Family | undefined = af === AF_INET ? 4 : af === AF_INET6 ? 6 : undefined;
  if (!family) return undefined;
  const flags = viewOf(payload).getUint32(8, true);
  // RTM_F_CLONED: IPv6 exceptions (path MTU, redirects), which are a cache and no routes.
  if (flags & 0x200) return undefined;
  let address: Address = family === 4 ? 0 : 0n;
  let table = payload[4] ?? 0;
  let gateway: Address | undefined;
  let interfaceIndex: number | undefined;
  let nextHops: RouteNextHop[] | undefined;
  const route: { -readonly [K in keyof Route]?: Route[K] } = {};
  const cursor = new AttributeCursor(payload, 12);
  while (cursor.next()) {
    switch (cursor.type) {
      case RTA_DST:
        address = addressFromBytes(payload, family, cursor.start);
        break;
      case RTA_TABLE:
        table = cursor.u32();
        break;
      case RTA_OIF:
        interfaceIndex = cursor.u32();
        break;
      case RTA_GATEWAY:
        gateway = addressFromBytes(payload, family, cursor.start);
        break;
      case RTA_VIA:
        gateway = readVia(payload, cursor);
        break;
      case RTA_PRIORITY:
        route.priority = cursor.u32();
        break;
      case RTA_PREFSRC:
        route.source = addressFromBytes(payload, family, cursor.start);
        break;
      case RTA_MULTIPATH:
        nextHops = readMultipath(payload, family, cursor.start, cursor.end);
        break;
      case RTA_METRICS:
        readMetrics(cursor.nested(), route);
        break;
    }
  }
  const type = routeTypes[payload[7] ?? 0] ?? 'unspecified';
  if (!nextHops) {
    const forwards = type === 'unicast' || type === 'local' || type === 'broadcast' || type === 'anycast';
    // IPv6 shows a blackhole as a route by lo.
    const hasHop = forwards && (gateway !== undefined || interfaceIndex !== undefined);
    nextHops = hasHop ? [nextHop(gateway, interfaceIndex, undefined, (flags & RTNH_F_ONLINK) !== 0)] : [];
  }
  return {
    ...route,
    prefix: { address, length: payload[1] ?? 0 },
    type,
    table,
    protocol: payload[5] ?? 0,
    scope: payload[6] ?? 0,
    nextHops,
  };
}

/** The interface in the answer to lookUpRoute(), which the kernel marks as cloned. */
export function readRouteInterface(payload: Uint8Array): number | undefined {
  const cursor = new AttributeCursor(payload, 12);
  while (cursor.next()) if (cursor.type === RTA_OIF) return cursor.u32();
  return undefined;
}

function nextHop(
  gateway: Address | undefined,
  interfaceIndex: number | undefined,
  weight: number | undefined,
  onlink: boolean,
): RouteNextHop {
  return {
    ...(gateway !== undefined && { gateway }),
    ...(interfaceIndex !== undefined && { interfaceIndex }),
    ...(weight !== undefined && { weight }),
    ...(onlink && { onlink }),
  };
}

function readMultipath(payload: Uint8Array, family: Family, start: number, end: number): RouteNextHop[] {
  const view = viewOf(payload);
  const hops: RouteNextHop[] = [];
  let offset = start;
  while (offset + 8 <= end) {
    const length = view.getUint16(offset, true);
    if (length < 8 || offset + length > end) break;
    const interfaceIndex = view.getUint32(offset + 4, true);
    let gateway: Address | undefined;
    const cursor = new AttributeCursor(payload, offset + 8, offset + length);
    while (cursor.next()) {
      if (cursor.type === RTA_GATEWAY) gateway = addressFromBytes(payload, family, cursor.start);
      else if (cursor.type === RTA_VIA) gateway = readVia(payload, cursor);
    }
    const onlink = ((payload[offset + 2] ?? 0) & RTNH_F_ONLINK) !== 0;
    hops.push(nextHop(gateway, interfaceIndex, (payload[offset + 3] ?? 0) + 1, onlink));
    offset += (length + 3) & ~3;
  }
  return hops;
}

function readVia(payload: Uint8Array, cursor: AttributeCursor): Address | undefined {
  const af = cursor.u16();
  if (af === AF_INET6) return addressFromBytes(payload, 6, cursor.start + 2);
  return af === AF_INET ? addressFromBytes(payload, 4, cursor.start + 2) : undefined;
}

function readMetrics(cursor: AttributeCursor, route: { mtu?: number; advmss?: number }): void {
  while (cursor.next()) {
    if (cursor.type === RTAX_MTU) route.mtu = cursor.u32();
    else if (cursor.type === RTAX_ADVMSS) route.advmss = cursor.u32();
  }
}
