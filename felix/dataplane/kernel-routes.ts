// Routes to local endpoints: `10.0.0.5 dev cali… proto 80 scope link`, one for each address.
//
// Desired against kernel by prefix. A route whose interface is not there yet waits for it; one whose interface goes takes
// its route with it. Only routes of our protocol are ever deleted. A foreign route in the place of ours is replaced when it
// leads to an interface of a workload, else left alone and reported.

import { hasCode, type LinuxError } from '../../linux/errors.ts';
import type { MonitorEvent } from '../../linux/monitor.ts';
import type { Link } from '../../linux/netlink/link.ts';
import { addRoute, deleteRoute, type Route } from '../../linux/netlink/route.ts';
import type { Rtnetlink } from '../../linux/netlink/rtnetlink.ts';
import { familyOfPrefix, formatPrefix, type Prefix, parsePrefix } from '../../net/prefix.ts';

/** rtm_protocol of routes to local endpoints. */
export const endpointRouteProtocol = 80;
const mainTable = 254;

export interface RouteFailure {
  readonly prefix: string;
  readonly interfaceName: string;
  readonly error: LinuxError;
}

interface Wanted {
  readonly prefix: Prefix;
  readonly interfaceName: string;
}

export class KernelRoutes {
  private readonly netlink: Pick<Rtnetlink, 'execute' | 'routes'>;
  private readonly isWorkloadInterface: (name: string) => boolean;
  private readonly wanted = new Map<string, Wanted>();
  private readonly wantedByInterface = new Map<string, Set<string>>();
  /** Of our protocol: prefix to interface index. */
  private readonly kernel = new Map<string, number>();
  private readonly links = new Map<string, { index: number; up: boolean }>();
  private readonly names = new Map<number, string>();
  private readonly dirty = new Set<string>();
  /** Ours that somebody has overwritten: to be taken back. */
  private readonly overwritten = new Set<string>();

  constructor(netlink: Pick<Rtnetlink, 'execute' | 'routes'>, isWorkloadInterface: (name: string) => boolean) {
    this.netlink = netlink;
    this.isWorkloadInterface = isWorkloadInterface;
  }

  set(prefix: Prefix, interfaceName: string): void {
    const key = formatPrefix(prefix);
    const old = this.wanted.get(key);
    if (old?.interfaceName === interfaceName) return;
    if (old) this.unindex(key, old.interfaceName);
    this.wanted.set(key, { prefix, interfaceName });
    const keys = this.wantedByInterface.get(interfaceName);
    if (keys) keys.add(key);
    else this.wantedByInterface.set(interfaceName, new Set([key]));
    this.dirty.add(key);
  }

  /** Only if it still leads to this interface: another endpoint may have the address by now. */
  delete(prefix: Prefix, interfaceName: string): void {
    const key = formatPrefix(prefix);
    if (this.wanted.get(key)?.interfaceName !== interfaceName) return;
    this.wanted.delete(key);
    this.unindex(key, interfaceName);
    this.dirty.add(key);
  }

  /** Whether the kernel has the route. */
  isProgrammed(prefix: Prefix, interfaceName: string): boolean {
    const index = this.links.get(interfaceName)?.index;
    return index !== undefined && this.kernel.get(formatPrefix(prefix)) === index;
  }

  hasInterface(name: string): boolean {
    return this.links.get(name)?.up === true;
  }

  /** What we know this link by. */
  nameOf(index: number): string | undefined {
    return this.names.get(index);
  }

  get size(): number {
    return this.kernel.size;
  }

  get isPending(): boolean {
    return this.dirty.size > 0;
  }

  /** Reads our routes from the kernel, whose links are these; what differs from what is wanted becomes dirty. */
  resync(links: readonly Link[]): void {
    this.links.clear();
    this.names.clear();
    for (const { name, index, up } of links) {
      this.links.set(name, { index, up });
      this.names.set(index, name);
    }
    this.kernel.clear();
    for (const family of [4, 6] as const) {
      for (const route of this.netlink.routes({ family, table: mainTable, protocol: endpointRouteProtocol })) {
        this.kernel.set(formatPrefix(route.prefix), route.nextHops[0]?.interfaceIndex ?? 0);
      }
    }
    for (const key of new Set([...this.wanted.keys(), ...this.kernel.keys()])) {
      if (this.kernel.get(key) !== this.wantedIndex(key)) this.dirty.add(key);
    }
  }

  /** Notes what happened in the kernel; true when something is to be repaired or can be done now. */
  onEvent(event: MonitorEvent): boolean {
    switch (event.kind) {
      case 'link':
        return this.onLink(event.link.name, event.link.index, event.link.up);
      case 'link-removed':
        return this.onLinkRemoved(event.link.name, event.link.index);
      case 'route':
      case 'route-removed':
        return this.onRoute(event.route, event.kind === 'route-removed');
      default:
        return false;
    }
  }

  /** What is no longer wanted, or leads elsewhere. Done before rules change: first unreachable, then without policy. */
  removeStale(): RouteFailure[] {
    const stale = [...this.dirty].filter((key) => {
      const index = this.kernel.get(key);
      return index !== undefined && index !== this.wantedIndex(key);
    });
    return this.execute(
      stale,
      (key) => {
        const index = this.kernel.get(key);
        this.kernel.delete(key);
        const prefix = prefixOfKey(key);
        return deleteRoute({
          prefix,
          table: mainTable,
          protocol: endpointRouteProtocol,
          ...(index !== undefined && { nextHops: [{ interfaceIndex: index }] }),
        });
      },
      ['ESRCH', 'ENODEV'],
    );
  }

  /** Adds what is missing and whose interface is there. Done after rules have changed. */
  addMissing(): RouteFailure[] {
    const missing: string[] = [];
    for (const key of this.dirty) {
      const index = this.wantedIndex(key);
      if (index === undefined || this.kernel.get(key) === index) this.dirty.delete(key);
      else missing.push(key);
    }
    const failures = this.execute(
      missing,
      (key) => this.creation(key, this.overwritten.delete(key) ? 'replace' : 'create'),
      [],
    );
    const failed = new Set(failures.map((failure) => failure.prefix));
    for (const key of missing) if (!failed.has(key)) this.noteAdded(key);
    return failures.filter((failure) => !this.resolve(failure));
  }

  private creation(key: string, how: 'create' | 'replace') {
    const interfaceIndex = this.wantedIndex(key) ?? 0;
    const prefix = prefixOfKey(key);
    return addRoute({ prefix, protocol: endpointRouteProtocol, table: mainTable, nextHops: [{ interfaceIndex }] }, how);
  }

  /** Somebody else's route is in the way: take it over when it leads to a workload. */
  private resolve({ prefix: key, error }: RouteFailure): boolean {
    const wanted = this.wanted.get(key);
    if (!wanted) return true;
    // The interface went down or away in this moment: its event will bring us back here.
    if (hasCode(error, 'ENODEV', 'ENETDOWN')) {
      this.dirty.delete(key);
      return true;
    }
    if (!hasCode(error, 'EEXIST')) return false;
    const family = familyOfPrefix(wanted.prefix);
    const occupant = this.netlink
      .routes({ family, table: mainTable })
      .find((route) => formatPrefix(route.prefix) === key);
    const index = occupant?.nextHops[0]?.interfaceIndex;
    const name = index === undefined ? undefined : this.names.get(index);
    if (name === undefined || !this.isWorkloadInterface(name)) return false;
    const failures = this.netlink.execute([this.creation(key, 'replace')]);
    if (failures.length > 0) return false;
    this.noteAdded(key);
    return true;
  }

  private noteAdded(key: string): void {
    const index = this.wantedIndex(key);
    if (index !== undefined) this.kernel.set(key, index);
    this.dirty.delete(key);
  }

  private execute(
    keys: readonly string[],
    request: (key: string) => Parameters<Rtnetlink['execute']>[0][number],
    harmless: readonly string[],
  ): RouteFailure[] {
    if (keys.length === 0) return [];
    return this.netlink
      .execute(keys.map(request))
      .filter(({ error }) => !hasCode(error, ...harmless))
      .map(({ index, error }) => {
        const prefix = keys[index] ?? '';
        return { prefix, interfaceName: this.wanted.get(prefix)?.interfaceName ?? '', error };
      });
  }

  /** Index of the interface the route should lead to; undefined when it should not, or can not yet, exist. */
  private wantedIndex(key: string): number | undefined {
    const wanted = this.wanted.get(key);
    // No rule looks at interfaces without a workload's prefix: a route to one would reach the endpoint past its policy.
    if (!wanted || !this.isWorkloadInterface(wanted.interfaceName)) return undefined;
    const link = this.links.get(wanted.interfaceName);
    return link?.up ? link.index : undefined;
  }

  private onLink(name: string, index: number, up: boolean): boolean {
    const old = this.links.get(name);
    const former = this.names.get(index);
    this.links.set(name, { index, up });
    this.names.set(index, name);
    const renamed = former !== undefined && former !== name && this.abandon(former, index);
    if (old?.index === index && old.up === up) return renamed;
    return this.touchInterface(name, old?.index) || renamed;
  }

  /** The link has another name now; the kernel tells the new one only. Its routes stay, unless somebody deletes them. */
  private abandon(name: string, index: number): boolean {
    if (this.links.get(name)?.index !== index) return false;
    this.links.delete(name);
    const keys = this.wantedByInterface.get(name) ?? [];
    for (const key of keys) this.dirty.add(key);
    return true;
  }

  private onLinkRemoved(name: string, index: number): boolean {
    if (this.links.get(name)?.index === index) this.links.delete(name);
    if (this.names.get(index) === name) this.names.delete(index);
    return this.touchInterface(name, index);
  }

  /** The kernel drops the routes of an interface that goes down or away, and says so for IPv6 only. */
  private touchInterface(name: string, goneIndex: number | undefined): boolean {
    const up = this.hasInterface(name);
    for (const key of this.wantedByInterface.get(name) ?? []) {
      if (this.kernel.get(key) === goneIndex && (!up || this.links.get(name)?.index !== goneIndex)) {
        this.kernel.delete(key);
      }
      if (up) this.dirty.add(key);
    }
    return up;
  }

  private onRoute(route: Route, removed: boolean): boolean {
    if ((route.table ?? mainTable) !== mainTable) return false;
    const key = formatPrefix(route.prefix);
    if (route.protocol !== endpointRouteProtocol) return !removed && this.noteOverwritten(key, route);
    const index = route.nextHops[0]?.interfaceIndex;
    const believed = this.kernel.get(key);
    if (removed) {
      if (believed === undefined || believed !== index) return false;
      this.kernel.delete(key);
    } else {
      if (believed === index || index === undefined) return false;
      this.kernel.set(key, index);
    }
    if (this.kernel.get(key) === this.wantedIndex(key)) return false;
    this.dirty.add(key);
    return true;
  }

  /** Somebody's route with the prefix of ours: in its place, unless its metric differs (IPv4's default is 0). */
  private noteOverwritten(key: string, route: Route): boolean {
    if (!this.kernel.has(key) || !this.wanted.has(key)) return false;
    if (familyOfPrefix(route.prefix) === 4 && (route.priority ?? 0) !== 0) return false;
    this.kernel.delete(key);
    this.overwritten.add(key);
    this.dirty.add(key);
    return true;
  }

  private unindex(key: string, interfaceName: string): void {
    const keys = this.wantedByInterface.get(interfaceName);
    keys?.delete(key);
    if (keys?.size === 0) this.wantedByInterface.delete(interfaceName);
  }
}

/** Keys are texts that formatPrefix made. */
function prefixOfKey(key: string): Prefix {
  const prefix = parsePrefix(key);
  if (!prefix) throw new Error(`not a prefix: ${key}`);
  return prefix;
}
