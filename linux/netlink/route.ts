// Requests about routes: add, replace, delete, look up, dump.

import { type Address, addressToBytes, type Family, familyOf, formatAddress, widthOf } from '../../net/address.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';
import { afOf, writeRoute } from './route-message.ts';
import type { Route } from './route-types.ts';
import type { NetlinkRequest } from './socket.ts';

export { type Route, type RouteNextHop, type RouteType, tableLocal, tableMain } from './route-types.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_TABLE = 15;

/** RT_SCOPE_NOWHERE: of a route to delete, any scope. */
const scopeNowhere = 255;

/** Create: refuse when a route of this prefix, table and priority is there (EEXIST). Append: one more beside it. */
export type RouteWrite = 'create' | 'replace' | 'append';

const writeFlags: Record<RouteWrite, number> = {
  create: NLM_F_CREATE | NLM_F_EXCL,
  replace: NLM_F_CREATE | NLM_F_REPLACE,
  append: NLM_F_CREATE | NLM_F_APPEND,
};

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
