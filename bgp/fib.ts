// The kernel's routing table: learned and blackhole routes go in, marked with our protocol number; next hops are resolved
// by the routes of others.
//
//     RIB ──replace, remove──► apply() ──batches of 512──► rtnetlink
//     monitor (links, addresses, routes but ours) ──► NextHopTable ──► onChange, when a next hop is reached differently
//
// The kernel removes routes by itself when a link goes down, and does not tell (IPv4). So after such an event, and now and
// then, our routes are read back, and those that are missing are told to onLost.
//
// A route of somebody else with our prefix and metric, or a better one, is never replaced: ours waits and goes in when
// that one is gone.

import { Monitor, type MonitorEvent } from '../linux/monitor.ts';
import type { Link } from '../linux/netlink/link.ts';
import { addRoute, deleteRoute, type Route, type RouteNextHop } from '../linux/netlink/route.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import type { NetlinkRequest } from '../linux/netlink/socket.ts';
import type { NetnsRef } from '../linux/netns.ts';
import type { Address } from '../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../net/prefix.ts';
import type { Fib, FibFailure, FibRoute } from './edges.ts';
import { type ForeignRoute, NextHopTable, type ResolvedNextHop } from './next-hops.ts';
import type { FibSettings } from './settings.ts';

export interface FibOptions {
  readonly settings: Pick<FibSettings, 'table' | 'protocol' | 'priority' | 'priority6'>;
  readonly netns?: NetnsRef;
  /** The interface that a link-local next hop is on: the address alone does not say. */
  readonly interfaceOf?: (address: Address) => number | undefined;
}

/** Opens the table and reads the foreign routes. */
export async function openFib(options: FibOptions): Promise<Fib> {
  const fib = new KernelFib(options);
  await fib.resync();
  return fib;
}

/** Prefixes as map keys: half the memory of their text. */
type PrefixKey = number | bigint;

const keyOf = ({ address, length }: Prefix): PrefixKey =>
  typeof address === 'number' ? address * 64 + length : address * 256n + BigInt(length);

const prefixOfKey = (key: PrefixKey): Prefix =>
  typeof key === 'number'
    ? { address: Math.floor(key / 64), length: key % 64 }
    : { address: key / 256n, length: Number(key % 256n) };

/** Links that go down often do so in company, and come back soon. */
const verifySoonMs = 50;
const verifyAlwaysMs = 60_000;
/** With more routes than this, only what hints at a loss has them read back. */
const verifyAlwaysLimit = 50_000;

class KernelFib implements Fib {
  readonly #settings: FibOptions['settings'];
  readonly #rtnetlink: Rtnetlink;
  readonly #monitor: Monitor;
  readonly #nextHops = new NextHopTable();
  readonly #interfaceOf: (address: Address) => number | undefined;
  /** Interfaces that are up, and the link-local next hops that were asked for with their answers. */
  readonly #up = new Set<number>();
  readonly #linkLocal = new Map<Address, number | undefined>();
  /** Prefixes of the routes that we have in the kernel. */
  readonly #own = new Set<PrefixKey>();
  /** Routes of ours with another metric, from before the setting changed. */
  readonly #formerPriority = new Map<PrefixKey, number>();
  /** Ours that wait for a foreign route of the same prefix, as good or better, to go. */
  readonly #waiting = new Map<PrefixKey, FibRoute>();
  readonly #callbacks: (() => void)[] = [];
  readonly #lostCallbacks: ((prefixes: readonly Prefix[]) => void)[] = [];
  /** Written while our routes are being read back. */
  #written: Set<PrefixKey> | undefined;
  #verifyTimer: NodeJS.Timeout;
  #closed = false;
  #resyncing: Promise<void> | undefined;

  constructor({ settings, netns, interfaceOf = () => undefined }: FibOptions) {
    this.#settings = settings;
    this.#interfaceOf = interfaceOf;
    const inNetns = netns === undefined ? {} : { netns };
    // Listening comes first, so that nothing is missed between reading the table and its first change.
    this.#monitor = new Monitor({
      ...inNetns,
      watch: ['links', 'addresses', 'routes'],
      ignoreRouteProtocols: [settings.protocol],
      onEvents: (events) => this.#onEvents(events),
    });
    this.#rtnetlink = new Rtnetlink(inNetns);
    this.#verifyTimer = this.#verifyIn(verifyAlwaysMs);
  }

  /** Reads all foreign routes anew: at the start, and after events were lost. */
  resync(): Promise<void> {
    this.#resyncing ??= this.#readAll().finally(() => {
      this.#resyncing = undefined;
    });
    return this.#resyncing;
  }

  async #readAll(): Promise<void> {
    const foreign: ForeignRoute[] = [];
    this.#up.clear();
    for (const link of this.#rtnetlink.links()) if (link.up) this.#up.add(link.index);
    for (const family of [4, 6] as const) {
      const routes = await this.#rtnetlink.routesInSlices({ family, table: this.#settings.table });
      for (const route of routes) if (route.protocol !== this.#settings.protocol) foreign.push(foreignRoute(route));
    }
    const usable = foreign.filter(({ interfaceIndex }) => interfaceIndex === undefined || this.#up.has(interfaceIndex));
    if (this.#nextHops.replaceAll(usable)) this.#announce();
    this.#retryWaiting();
  }

  async dump(): Promise<readonly FibRoute[]> {
    const { table, protocol } = this.#settings;
    const found: FibRoute[] = [];
    for (const family of [4, 6] as const) {
      for (const route of await this.#rtnetlink.routesInSlices({ family, table, protocol })) {
        const key = keyOf(route.prefix);
        const priority = route.priority ?? 0;
        if (priority === this.#priorityOf(route.prefix)) {
          this.#own.add(key);
          found.push(fibRoute(route));
        } else {
          this.#formerPriority.set(key, priority);
          // Without next hops it is like no route that may be wanted, so it will be written anew.
          found.push({ kind: 'unicast', prefix: route.prefix, nextHops: [] });
        }
      }
    }
    return found;
  }

  async apply(replace: readonly FibRoute[], remove: readonly Prefix[]): Promise<readonly FibFailure[]> {
    const writes: Write[] = [];
    const failures: FibFailure[] = [];
    for (const prefix of remove) this.#planRemoval(prefix, writes);
    for (const route of replace) this.#planReplacement(route, writes, failures);
    // In slices, so that a table of a million routes does not stop keepalives.
    for (let start = 0; start < writes.length; start += sliceSize) {
      if (start > 0) await new Promise(setImmediate);
      if (this.#closed) return failures;
      const slice = writes.slice(start, start + sliceSize);
      for (const { index, error } of this.#rtnetlink.execute(slice.map(({ request }) => request))) {
        const write = slice[index];
        // Gone already: the kernel removes routes itself when their link goes down.
        if (!write || (write.removes && error.code === 'ESRCH')) continue;
        if (!write.removes) this.#own.delete(keyOf(write.prefix));
        failures.push({ prefix: write.prefix, error: error.code });
      }
    }
    return failures;
  }

  #planRemoval(prefix: Prefix, writes: Write[]): void {
    const key = keyOf(prefix);
    this.#waiting.delete(key);
    this.#written?.add(key);
    if (this.#own.delete(key)) writes.push(this.#removal(prefix, this.#priorityOf(prefix)));
    this.#planFormerRemoval(prefix, writes);
  }

  #planReplacement(route: FibRoute, writes: Write[], failures: FibFailure[]): void {
    const { prefix } = route;
    const key = keyOf(prefix);
    const priority = this.#priorityOf(prefix);
    const foreign = this.#nextHops.bestPriority(prefix);
    if (foreign !== undefined && foreign <= priority && !this.#own.has(key)) {
      this.#waiting.set(key, route);
      // A better one, as that of a connected network, is no failure: ours would only stand behind it.
      if (foreign === priority) failures.push({ prefix, error: 'EEXIST' });
      return;
    }
    this.#waiting.delete(key);
    this.#written?.add(key);
    // Create, unless it is ours already: the kernel's replace would not ask whose the other is.
    const request = addRoute(this.#kernelRoute(route), this.#own.has(key) ? 'replace' : 'create');
    writes.push({ prefix, request, removes: false });
    this.#own.add(key);
    this.#planFormerRemoval(prefix, writes);
  }

  /** After the new one is there, so that nothing is lost in between. */
  #planFormerRemoval(prefix: Prefix, writes: Write[]): void {
    const former = this.#formerPriority.get(keyOf(prefix));
    if (former === undefined) return;
    this.#formerPriority.delete(keyOf(prefix));
    writes.push(this.#removal(prefix, former));
  }

  #removal(prefix: Prefix, priority: number): Write {
    const { table, protocol } = this.#settings;
    return { prefix, request: deleteRoute({ prefix, table, protocol, priority }), removes: true };
  }

  resolve(address: Address): ResolvedNextHop | undefined {
    if (!isLinkLocal(address)) return this.#nextHops.resolve(address);
    const interfaceIndex = this.#linkOf(address);
    this.#linkLocal.set(address, interfaceIndex);
    return interfaceIndex === undefined ? undefined : { interfaceIndex };
  }

  #linkOf(address: Address): number | undefined {
    const index = this.#interfaceOf(address);
    return index !== undefined && this.#up.has(index) ? index : undefined;
  }

  onChange(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  onLost(callback: (prefixes: readonly Prefix[]) => void): void {
    this.#lostCallbacks.push(callback);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#verifyTimer);
    void this.#monitor.close();
    this.#rtnetlink.close();
  }

  #priorityOf(prefix: Prefix): number {
    const { priority, priority6 = priority } = this.#settings;
    return familyOfPrefix(prefix) === 4 ? priority : priority6;
  }

  #kernelRoute(route: FibRoute): Route {
    const { table, protocol } = this.#settings;
    const priority = this.#priorityOf(route.prefix);
    if (route.kind === 'blackhole') {
      return { prefix: route.prefix, type: 'blackhole', table, protocol, priority, nextHops: [] };
    }
    const nextHops = route.nextHops.map(
      ({ gateway, interfaceIndex }): RouteNextHop => ({
        ...(gateway === undefined ? {} : { gateway }),
        ...(interfaceIndex === undefined ? {} : { interfaceIndex }),
        // A link-local gateway is on its link by definition, for IPv4 routes too (RFC 8950).
        ...(gateway !== undefined && typeof gateway !== typeof route.prefix.address ? { onlink: true } : {}),
      }),
    );
    return { prefix: route.prefix, table, protocol, priority, nextHops };
  }

  #onEvents(events: readonly MonitorEvent[]): void {
    if (this.#closed) return;
    let changed = false;
    let freed = false;
    for (const event of events) {
      if (event.kind === 'resync') {
        void this.resync();
        continue;
      }
      changed = this.#onEvent(event) || changed;
      freed ||= event.kind !== 'route';
    }
    if (freed) this.#retryWaiting();
    if (changed) this.#announce();
    if (events.some(mayRemoveRoutes)) {
      clearTimeout(this.#verifyTimer);
      this.#verifyTimer = this.#verifyIn(verifySoonMs);
    }
  }

  #verifyIn(delay: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const due = delay === verifySoonMs || this.#own.size <= verifyAlwaysLimit;
      const done = due ? this.#verify() : Promise.resolve();
      void done.finally(() => {
        if (!this.#closed && this.#verifyTimer === timer) this.#verifyTimer = this.#verifyIn(verifyAlwaysMs);
      });
    }, delay);
    return timer.unref();
  }

  /** Reads our routes back and tells which are missing. */
  async #verify(): Promise<void> {
    if (this.#own.size === 0 || this.#written) return;
    const { table, protocol } = this.#settings;
    const missing = new Set(this.#own);
    const written = new Set<PrefixKey>();
    this.#written = written;
    try {
      for (const family of [4, 6] as const) {
        for (const route of await this.#rtnetlink.routesInSlices({ family, table, protocol })) {
          missing.delete(keyOf(route.prefix));
        }
      }
    } catch {
      // The table kept changing while it was read; there will be another time.
      return;
    } finally {
      this.#written = undefined;
    }
    const lost = [...missing].filter((key) => !written.has(key));
    if (lost.length === 0 || this.#closed) return;
    for (const key of lost) this.#own.delete(key);
    for (const callback of this.#lostCallbacks) callback(lost.map(prefixOfKey));
  }

  #onEvent(event: MonitorEvent): boolean {
    switch (event.kind) {
      case 'link':
        return this.#onLink(event.link);
      case 'link-removed':
        return this.#onLink({ ...event.link, up: false });
      case 'address-removed':
        return this.#nextHops.removeSource(event.address.address);
      case 'route':
        return this.#concerns(event.route) && this.#nextHops.add(foreignRoute(event.route));
      case 'route-removed':
        return this.#concerns(event.route) && this.#nextHops.remove(foreignRoute(event.route));
      case 'address':
      case 'nftables':
      case 'trace':
      case 'resync':
        return false;
    }
  }

  #onLink(link: Link): boolean {
    // The kernel tells about the routes that come with a link that goes up, not about those that go with it.
    if (link.up) this.#up.add(link.index);
    else this.#up.delete(link.index);
    const changed = [...this.#linkLocal].some(([address, before]) => this.#linkOf(address) !== before);
    return (link.up ? false : this.#nextHops.removeInterface(link.index)) || changed;
  }

  #concerns(route: Route): boolean {
    return route.table === this.#settings.table && route.protocol !== this.#settings.protocol;
  }

  #retryWaiting(): void {
    const free = [...this.#waiting.values()].filter(
      ({ prefix }) => (this.#nextHops.bestPriority(prefix) ?? Infinity) > this.#priorityOf(prefix),
    );
    if (free.length > 0) void this.apply(free, []);
  }

  #announce(): void {
    for (const callback of this.#callbacks) callback();
  }
}

const sliceSize = 2048;

interface Write {
  readonly prefix: Prefix;
  readonly request: NetlinkRequest;
  readonly removes: boolean;
}

/** fe80::/10. */
const isLinkLocal = (address: Address): boolean => typeof address === 'bigint' && address >> 118n === 0x3fan;

const mayRemoveRoutes = (event: MonitorEvent): boolean =>
  (event.kind === 'link' && !event.link.up) ||
  event.kind === 'link-removed' ||
  event.kind === 'address-removed' ||
  event.kind === 'resync';

function foreignRoute(route: Route): ForeignRoute {
  const [hop] = route.nextHops;
  return {
    prefix: route.prefix,
    priority: route.priority ?? 0,
    forwards: route.type === 'unicast',
    interfaceIndex: hop?.interfaceIndex,
    gateway: hop?.gateway,
    source: route.source,
  };
}

function fibRoute(route: Route): FibRoute {
  if (route.type === 'blackhole') return { kind: 'blackhole', prefix: route.prefix };
  const nextHops = route.nextHops.map(({ gateway, interfaceIndex }) => ({
    gateway,
    ...(interfaceIndex === undefined ? {} : { interfaceIndex }),
  }));
  return { kind: 'unicast', prefix: route.prefix, nextHops };
}

/** For logs: "10.0.0.0/26 via 2 next hops". */
export const describeFibRoute = (route: FibRoute): string =>
  route.kind === 'blackhole'
    ? `blackhole ${formatPrefix(route.prefix)}`
    : `${formatPrefix(route.prefix)} by ${route.nextHops.length} next hops`;
