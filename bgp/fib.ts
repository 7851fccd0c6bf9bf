// The kernel's routing table: learned and blackhole routes go in, marked with our protocol number; the routes of others
// are mirrored, to resolve next hops by them.
//
//     RIB ──replace, remove──► apply() ──batches of 512──► rtnetlink
//     monitor (links, addresses, routes) ──► NextHopTable ──► onChange, when an address is reached differently
//                                        └──► onLost, when somebody else removed or changed a route of ours
//
// The kernel removes routes by itself when a link goes down, and does not tell (IPv4). So after such an event, and now and
// then, our routes are read back, and those that are missing are told to onLost.
//
// A route of somebody else with our prefix and metric, or a better one, is never replaced: ours waits and goes in when
// that one is gone. If somebody puts a route in the place of ours, it is theirs from then on.

import { Monitor, type MonitorEvent } from '../linux/monitor.ts';
import type { Link } from '../linux/netlink/link.ts';
import { addRoute, deleteRoute, type Route, type RouteNextHop } from '../linux/netlink/route.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import type { NetlinkRequest } from '../linux/netlink/socket.ts';
import type { NetnsRef } from '../linux/netns.ts';
import { type Address, isLinkLocal } from '../net/address.ts';
import { familyOfPrefix, type Prefix } from '../net/prefix.ts';
import type { Fib, FibFailure, FibRoute, ForeignMatch, Way, WorkloadRoute } from './edges.ts';
import { Links } from './links.ts';
import { type ForeignRoute, NextHopTable } from './next-hops.ts';
import type { FibSettings } from './settings.ts';
import { WorkloadTable } from './workload-table.ts';

export interface FibOptions {
  readonly settings: Pick<FibSettings, 'table' | 'protocol' | 'priority' | 'priority6' | 'workloadProtocol'>;
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
  readonly #links: Links;
  /** Interfaces that went down and may have been a way of a route with several: the kernel does not tell of its return. */
  readonly #wentDown = new Set<number>();
  /** Prefixes of the routes that we have in the kernel. */
  readonly #own = new Set<PrefixKey>();
  /** Their metrics, where they are not those of the settings. */
  readonly #ownPriority = new Map<PrefixKey, number>();
  /** Further routes of ours with the same prefix: from before a metric changed. They go when the wanted one is there. */
  readonly #former = new Map<PrefixKey, readonly number[]>();
  /** Ours that wait for a foreign route of the same prefix, as good or better, to go. */
  readonly #waiting = new Map<PrefixKey, FibRoute>();
  readonly #workloads: WorkloadTable;
  readonly #callbacks: ((addresses: readonly Address[]) => void)[] = [];
  readonly #lostCallbacks: ((prefixes: readonly Prefix[]) => void)[] = [];
  readonly #renamedCallbacks: ((interfaceIndex: number) => void)[] = [];
  readonly #workloadCallbacks: ((routes: readonly WorkloadRoute[]) => void)[] = [];
  /** Written while our routes are being read back. */
  #written: Set<PrefixKey> | undefined;
  #verifyTimer: NodeJS.Timeout;
  #closed = false;
  #resyncing: Promise<void> | undefined;

  constructor({ settings, netns, interfaceOf = () => undefined }: FibOptions) {
    this.#settings = settings;
    this.#workloads = new WorkloadTable(settings.workloadProtocol);
    this.#links = new Links(interfaceOf);
    const inNetns = netns === undefined ? {} : { netns };
    this.#rtnetlink = new Rtnetlink(inNetns);
    // Listening comes before reading, so that nothing is missed between reading the table and its first change.
    this.#monitor = new Monitor({
      ...inNetns,
      watch: ['links', 'addresses', 'routes'],
      ignoreRoutes: { protocols: [settings.protocol], portId: this.#rtnetlink.socket.portId },
      onEvents: (events) => this.#onEvents(events),
    });
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
    this.#links.clear();
    for (const link of this.#rtnetlink.links()) this.#setLink(link);
    this.#workloads.clear();
    for (const family of [4, 6] as const) {
      for (const route of await this.#rtnetlink.routesInSlices({ family, table: this.#settings.table })) {
        if (route.protocol === this.#settings.protocol) continue;
        const seen = foreignRoute(route);
        const ways = seen.ways.filter(({ interfaceIndex }) => this.#links.isUp(interfaceIndex));
        if (seen.ways.length > 0 && ways.length === 0) continue;
        foreign.push({ ...seen, ways });
        this.#workloads.set(route);
      }
    }
    const changed = this.#nextHops.replaceAll(foreign);
    if (changed.length > 0) this.#announce(changed);
    this.#tellWorkloads();
    this.#retryWaiting();
  }

  async dump(): Promise<readonly FibRoute[]> {
    const { table, protocol } = this.#settings;
    const found = new Map<PrefixKey, FibRoute>();
    for (const family of [4, 6] as const) {
      for (const route of await this.#rtnetlink.routesInSlices({ family, table, protocol })) {
        const key = keyOf(route.prefix);
        const priority = route.priority ?? 0;
        if (found.has(key)) {
          this.#former.set(key, [...(this.#former.get(key) ?? []), priority]);
          // Without next hops it is like no route that may be wanted, so all of them will be written anew.
          found.set(key, { kind: 'unicast', prefix: route.prefix, nextHops: [] });
          continue;
        }
        this.#setOwn(key, route.prefix, priority);
        found.set(key, this.#fibRoute(route, priority));
      }
    }
    return [...found.values()];
  }

  #fibRoute(route: Route, priority: number): FibRoute {
    const normal = priority === this.#normalPriority(route.prefix);
    const { prefix } = route;
    // Our blackholes have the normal metric: one with another is from before the setting changed.
    if (route.type === 'blackhole')
      return normal ? { kind: 'blackhole', prefix } : { kind: 'unicast', prefix, nextHops: [] };
    const nextHops = route.nextHops.map(({ gateway, interfaceIndex }) => ({
      gateway,
      ...(interfaceIndex === undefined ? {} : { interfaceIndex }),
    }));
    return { kind: 'unicast', prefix, nextHops, ...(normal ? {} : { priority }) };
  }

  async apply(replace: readonly FibRoute[], remove: readonly Prefix[]): Promise<readonly FibFailure[]> {
    const writes: Write[] = [];
    const failures: FibFailure[] = [];
    for (const prefix of remove) this.#planRemoval(prefix, writes);
    for (const route of replace) this.#planReplacement(route, writes, failures);
    // In slices, so that a table of a million routes does not stop keepalives; whoever has more comes right after the last.
    for (let start = 0; start < writes.length; start += sliceSize) {
      if (start > 0 || writes.length >= sliceSize) await new Promise(setImmediate);
      if (this.#closed) return failures;
      const slice = writes.slice(start, start + sliceSize);
      for (const { index, error } of this.#rtnetlink.execute(slice.map(({ request }) => request))) {
        const write = slice[index];
        // Gone already: the kernel removes routes itself when their link goes down.
        if (!write || (!write.route && error.code === 'ESRCH')) continue;
        if (write.route) this.#forget(keyOf(write.prefix));
        // Somebody was quicker, and the news of it is on its way.
        if (write.route && error.code === 'EEXIST') this.#waiting.set(keyOf(write.prefix), write.route);
        failures.push({ prefix: write.prefix, error: error.code });
      }
    }
    return failures;
  }

  #planRemoval(prefix: Prefix, writes: Write[]): void {
    const key = keyOf(prefix);
    this.#waiting.delete(key);
    this.#written?.add(key);
    if (this.#own.has(key)) {
      writes.push(this.#removal(prefix, this.#priorityOf(key, prefix)));
      this.#forget(key);
    }
    this.#planFormerRemovals(prefix, writes);
  }

  #planReplacement(route: FibRoute, writes: Write[], failures: FibFailure[]): void {
    const { prefix } = route;
    const key = keyOf(prefix);
    const priority = this.#wantedPriority(route);
    const current = this.#own.has(key) ? this.#priorityOf(key, prefix) : undefined;
    const foreign = this.#nextHops.bestPriority(prefix);
    if (foreign !== undefined && foreign <= priority && current !== priority) {
      this.#planRemoval(prefix, writes);
      this.#waiting.set(key, route);
      // A better one, as that of a connected network, is no failure: ours would only stand behind it.
      if (this.#nextHops.has(prefix, priority)) failures.push({ prefix, error: 'EEXIST' });
      return;
    }
    this.#waiting.delete(key);
    this.#written?.add(key);
    // Create, unless it is ours already: the kernel's replace would not ask whose the other is.
    const request = addRoute(this.#kernelRoute(route, priority), current === priority ? 'replace' : 'create');
    writes.push({ prefix, request, route });
    if (current !== undefined && current !== priority) {
      this.#former.set(key, [...(this.#former.get(key) ?? []), current]);
    }
    this.#setOwn(key, prefix, priority);
    this.#planFormerRemovals(prefix, writes);
  }

  /** After the wanted one is there, so that nothing is lost in between. */
  #planFormerRemovals(prefix: Prefix, writes: Write[]): void {
    const key = keyOf(prefix);
    const former = this.#former.get(key);
    if (!former) return;
    this.#former.delete(key);
    const wanted = this.#own.has(key) ? this.#priorityOf(key, prefix) : undefined;
    for (const priority of former) if (priority !== wanted) writes.push(this.#removal(prefix, priority));
  }

  #removal(prefix: Prefix, priority: number): Write {
    const { table, protocol } = this.#settings;
    return { prefix, request: deleteRoute({ prefix, table, protocol, priority }), route: undefined };
  }

  #setOwn(key: PrefixKey, prefix: Prefix, priority: number): void {
    this.#own.add(key);
    if (priority === this.#normalPriority(prefix)) this.#ownPriority.delete(key);
    else this.#ownPriority.set(key, priority);
  }

  #forget(key: PrefixKey): void {
    this.#own.delete(key);
    this.#ownPriority.delete(key);
  }

  lookUp(address: Address): ForeignMatch | undefined {
    return isLinkLocal(address) ? this.#links.lookUp(address) : this.#nextHops.lookUp(address);
  }

  nameOf(interfaceIndex: number): string | undefined {
    return this.#links.nameOf(interfaceIndex);
  }

  isWaiting(prefix: Prefix): boolean {
    return this.#waiting.has(keyOf(prefix));
  }

  onChange(callback: (addresses: readonly Address[]) => void): void {
    this.#callbacks.push(callback);
  }

  onRenamed(callback: (interfaceIndex: number) => void): void {
    this.#renamedCallbacks.push(callback);
  }

  onLost(callback: (prefixes: readonly Prefix[]) => void): void {
    this.#lostCallbacks.push(callback);
  }

  onWorkloads(callback: (routes: readonly WorkloadRoute[]) => void): void {
    this.#workloadCallbacks.push(callback);
    callback(this.#workloads.routes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#verifyTimer);
    void this.#monitor.close();
    this.#rtnetlink.close();
  }

  #normalPriority(prefix: Prefix): number {
    const { priority, priority6 = priority } = this.#settings;
    return familyOfPrefix(prefix) === 4 ? priority : priority6;
  }

  #wantedPriority(route: FibRoute): number {
    return (route.kind === 'unicast' ? route.priority : undefined) ?? this.#normalPriority(route.prefix);
  }

  /** Of a route that is in the kernel. */
  #priorityOf(key: PrefixKey, prefix: Prefix): number {
    return this.#ownPriority.get(key) ?? this.#normalPriority(prefix);
  }

  #kernelRoute(route: FibRoute, priority: number): Route {
    const { table, protocol } = this.#settings;
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
    const changed = new Set<Address>();
    const lost: Prefix[] = [];
    for (const event of events) for (const address of this.#onEvent(event, lost)) changed.add(address);
    // What goes without a word may have stood in the way of any of ours.
    if (events.some(mayRemoveRoutes)) this.#retryWaiting();
    if (lost.length > 0) this.#tellLost(lost);
    if (changed.size > 0) this.#announce([...changed]);
    this.#tellWorkloads();
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
          const key = keyOf(route.prefix);
          if (this.#priorityOf(key, route.prefix) === (route.priority ?? 0)) missing.delete(key);
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
    for (const key of lost) this.#forget(key);
    this.#tellLost(lost.map(prefixOfKey));
  }

  /** Returns the addresses that are reached differently now, and notes which of our routes are to be written again. */
  #onEvent(event: MonitorEvent, lost: Prefix[]): readonly Address[] {
    switch (event.kind) {
      case 'link':
        return this.#onLink(event.link);
      case 'link-removed':
        return this.#onLinkRemoved(event.link);
      case 'address-removed':
        return this.#nextHops.removeSource(event.address.address);
      case 'route':
      case 'route-removed':
        if (event.route.table !== this.#settings.table) return [];
        if (event.route.protocol === this.#settings.protocol) {
          this.#onOwnRoute(event.route, event.kind === 'route-removed', lost);
          return [];
        }
        return this.#onForeignRoute(event.route, event, lost);
      case 'resync':
        void this.resync();
        return [];
      case 'address':
      case 'nftables':
      case 'trace':
        return [];
    }
  }

  /** Somebody else removed or changed a route with our mark. */
  #onOwnRoute(route: Route, removed: boolean, lost: Prefix[]): void {
    const { prefix } = route;
    const key = keyOf(prefix);
    if (!this.#own.has(key) || this.#priorityOf(key, prefix) !== (route.priority ?? 0)) return;
    // Of an IPv6 route with several next hops this may be one of them; then the others are still there to be replaced.
    if (removed && (familyOfPrefix(prefix) === 4 || this.#nextHops.has(prefix, route.priority ?? 0))) this.#forget(key);
    lost.push(prefix);
  }

  #onForeignRoute(route: Route, event: MonitorEvent, lost: Prefix[]): readonly Address[] {
    const { prefix } = route;
    const key = keyOf(prefix);
    if (event.kind === 'route') {
      this.#workloads.set(route);
      const isOurs = this.#own.has(key) && this.#priorityOf(key, prefix) === (route.priority ?? 0);
      if (event.replaced && isOurs) {
        // Theirs now; ours waits.
        this.#forget(key);
        lost.push(prefix);
      }
      return this.#nextHops.add(foreignRoute(route));
    }
    this.#workloads.remove(route);
    const changed = this.#nextHops.remove(foreignRoute(route));
    if (this.#isFree(this.#waiting.get(key))) lost.push(prefix);
    return changed;
  }

  #onLinkRemoved(link: Link): readonly Address[] {
    const changed = this.#onLink({ ...link, up: false });
    this.#links.forget(link.index);
    this.#wentDown.delete(link.index);
    return changed;
  }

  #onLink(link: Link): readonly Address[] {
    // The kernel tells about the routes that come with a link that goes up, not about those that go with it.
    this.#setLink(link);
    if (link.up) {
      if (this.#wentDown.delete(link.index)) void this.resync();
      return this.#links.changed();
    }
    const changed = this.#nextHops.removeInterface(link.index);
    if (changed.length > 0) this.#wentDown.add(link.index);
    this.#workloads.removeInterface(link.index);
    return [...changed, ...this.#links.changed()];
  }

  #setLink(link: Link): void {
    if (this.#links.set(link)) for (const callback of this.#renamedCallbacks) callback(link.index);
  }

  #tellWorkloads(): void {
    const routes = this.#workloads.takeChanged();
    if (routes) for (const callback of this.#workloadCallbacks) callback(routes);
  }

  #isFree(route: FibRoute | undefined): boolean {
    return route !== undefined && (this.#nextHops.bestPriority(route.prefix) ?? Infinity) > this.#wantedPriority(route);
  }

  #retryWaiting(): void {
    const free = [...this.#waiting.values()].filter((route) => this.#isFree(route));
    if (free.length > 0) this.#tellLost(free.map(({ prefix }) => prefix));
  }

  #tellLost(prefixes: readonly Prefix[]): void {
    for (const callback of this.#lostCallbacks) callback(prefixes);
  }

  #announce(addresses: readonly Address[]): void {
    for (const callback of this.#callbacks) callback(addresses);
  }
}

const sliceSize = 2048;

interface Write {
  readonly prefix: Prefix;
  readonly request: NetlinkRequest;
  /** What is written; undefined: a removal. */
  readonly route: FibRoute | undefined;
}

const mayRemoveRoutes = (event: MonitorEvent): boolean =>
  (event.kind === 'link' && !event.link.up) ||
  event.kind === 'link-removed' ||
  event.kind === 'address-removed' ||
  event.kind === 'resync';

function foreignRoute(route: Route): ForeignRoute {
  const ways = route.type === undefined || route.type === 'unicast' ? route.nextHops.flatMap(wayOf) : [];
  return { prefix: route.prefix, priority: route.priority ?? 0, ways, source: route.source };
}

const wayOf = ({ interfaceIndex, gateway }: RouteNextHop): Way[] =>
  interfaceIndex === undefined ? [] : [{ interfaceIndex, ...(gateway === undefined ? {} : { gateway }) }];
