// Routes as bytes: `struct rtmsg` and its attributes, written and read.
//
//     rtmsg: family(1) dst_len(1) src_len(1) tos(1) table(1) protocol(1) scope(1) type(1) flags(4)
//     rtnexthop: length(2) flags(1) hops(1) ifindex(4) attributes …

import { type Address, addressFromBytes, addressToBytes, type Family, familyOf } from '../../net/address.ts';
import { familyOfPrefix } from '../../net/prefix.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { AttributeCursor, type MessageWriter, viewOf } from './message.ts';
import { type Route, type RouteNextHop, routeTypes, tableMain } from './route-types.ts';

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

const scopeUniverse = 0;
const scopeLink = 253;
const scopeHost = 254;

export const afOf = (family: Family): number => (family === 4 ? AF_INET : AF_INET6);

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
