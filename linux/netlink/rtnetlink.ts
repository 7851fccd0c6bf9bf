// The routing and link side of one network namespace, typed. Everything is synchronous but the sliced dump of routes.
//
//     const links = new Rtnetlink({ netns: '/run/netns/pod-1' });
//     links.socket.execute([addRoute(…), deleteRoute(…)]);     // many at once; failures come back
//     links.links();                                           // a dump

import type { Address, Family } from '../../net/address.ts';
import { hasCode } from '../errors.ts';
import type { NetnsRef } from '../netns.ts';
import { dumpAddresses, type InterfaceAddress, readAddress } from './address.ts';
import { dumpLinks, getLink, type Link, readLink } from './link.ts';
import type { NetlinkMessage } from './message.ts';
import { dumpNeighbours, type Neighbour, readNeighbour } from './neighbour.ts';
import { dumpRoutes, lookUpRoute, type Route, type RouteFilter } from './route.ts';
import { readRoute, readRouteInterface } from './route-message.ts';
import { dumpRules, type RoutingRule, readRule } from './rule.ts';
import { type NetlinkFailure, type NetlinkRequest, NetlinkSocket } from './socket.ts';

export class Rtnetlink {
  /** For requests; each is an atomic call to the kernel. */
  readonly socket: NetlinkSocket;
  /** For dumps that let the event loop turn: requests in between must not mix with their answers. */
  readonly #dumpSocket: NetlinkSocket;
  readonly #options: { readonly netns?: NetnsRef };
  #lastSlicedDump: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly netns?: NetnsRef } = {}) {
    this.#options = options;
    this.socket = new NetlinkSocket(options);
    this.#dumpSocket = new NetlinkSocket(options);
  }

  /** Runs requests in order and returns the failed ones. */
  execute(requests: readonly NetlinkRequest[]): NetlinkFailure[] {
    return this.socket.execute(requests);
  }

  /** Runs one request; throws LinuxError when the kernel refuses. */
  run(request: NetlinkRequest): void {
    this.socket.run(request);
  }

  /** Runs one request, and takes these refusals for success: true when it was done, false when so refused. */
  runUnless(request: NetlinkRequest, ...codes: readonly string[]): boolean {
    const [failure] = this.socket.execute([request]);
    if (!failure) return true;
    if (hasCode(failure.error, ...codes)) return false;
    throw failure.error;
  }

  /**
   * As runUnless(), without holding up the event loop: for requests that make the kernel wait, as deleting a link does.
   * Several run at the same time. A namespace given by descriptor must still be open.
   */
  async runInThreadUnless(request: NetlinkRequest, ...codes: readonly string[]): Promise<boolean> {
    const socket = new NetlinkSocket(this.#options);
    try {
      await socket.runInThread(request);
      return true;
    } catch (error) {
      if (hasCode(error, ...codes)) return false;
      throw error;
    } finally {
      socket.close();
    }
  }

  links(): Link[] {
    return this.#collect(dumpLinks, readLink);
  }

  /** A link by name or index; undefined when there is none. */
  link(which: string | number): Link | undefined {
    try {
      return readLink(this.socket.query(getLink(which)));
    } catch (error) {
      if (hasCode(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  addresses(interfaceIndex?: number): InterfaceAddress[] {
    return this.#collect(dumpAddresses(interfaceIndex), readAddress);
  }

  neighbours(options: { readonly proxy?: boolean } = {}): Neighbour[] {
    return this.#collect(dumpNeighbours(options), readNeighbour);
  }

  rules(family: Family): RoutingRule[] {
    return this.#collect(dumpRules(family), readRule);
  }

  /** At once: for tables of some thousands of routes. */
  routes(filter: RouteFilter): Route[] {
    try {
      return this.#collect(dumpRoutes(filter), (payload) => routeOf(payload, filter));
    } catch (error) {
      if (isAbsentTable(error, filter)) return [];
      throw error;
    }
  }

  /** The interface by which the kernel would send to an address now; undefined when it would not send at all. */
  interfaceTowards(address: Address): number | undefined {
    try {
      return readRouteInterface(this.socket.query(lookUpRoute(address)));
    } catch (error) {
      // No route, or one that says no: unreachable, prohibit, blackhole.
      if (hasCode(error, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'ESRCH')) return undefined;
      throw error;
    }
  }

  /** For tables of any size: the event loop turns meanwhile. */
  routesInSlices(filter: RouteFilter): Promise<Route[]> {
    const dump = this.#lastSlicedDump.then(async () => {
      let found: Route[] = [];
      const onMessage = ({ payload }: NetlinkMessage): void => {
        const route = routeOf(payload, filter);
        if (route) found.push(route);
      };
      try {
        await this.#dumpSocket.dumpInSlices(dumpRoutes(filter), onMessage, () => {
          found = [];
        });
      } catch (error) {
        if (!isAbsentTable(error, filter)) throw error;
      }
      return found;
    });
    this.#lastSlicedDump = dump.catch(() => {});
    return dump;
  }

  close(): void {
    this.socket.close();
    void this.#lastSlicedDump.then(() => this.#dumpSocket.close());
  }

  #collect<T>(request: NetlinkRequest, read: (payload: Uint8Array) => T | undefined): T[] {
    let found: T[] = [];
    this.socket.dump(
      request,
      ({ payload }) => {
        const value = read(payload);
        if (value !== undefined) found.push(value);
      },
      () => {
        found = [];
      },
    );
    return found;
  }
}

/** A table that has never held a route does not exist, and asked for it the kernel says ENOENT. */
const isAbsentTable = (error: unknown, filter: RouteFilter): boolean =>
  filter.table !== undefined && hasCode(error, 'ENOENT');

/** The kernel has filtered already, unless it is too old for strict checking (before 4.20). */
function routeOf(payload: Uint8Array, filter: RouteFilter): Route | undefined {
  const route = readRoute(payload);
  if (!route) return undefined;
  if (filter.table !== undefined && route.table !== filter.table) return undefined;
  if (filter.protocol !== undefined && route.protocol !== filter.protocol) return undefined;
  return route;
}
