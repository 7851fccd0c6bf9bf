// A mirror of the kernel routes that are not ours, to answer how a BGP next hop is reached. Pure: routes and events go in,
// the addresses whose answer has changed come out.
//
// Every address that was asked for is remembered with its answer. A change of a route asks again for those inside its
// prefix only, so a pod's /32 that comes and goes costs nothing, however many next hops there are.

import { type Address, formatAddress } from '../net/address.ts';
import { PrefixMap } from '../net/lpm.ts';
import { hostPrefix, type Prefix } from '../net/prefix.ts';

/** One way of a foreign route: what next-hop resolution needs of it. */
export interface ForeignRoute {
  readonly prefix: Prefix;
  /** Metric; the lowest wins among routes of one prefix. */
  readonly priority: number;
  /** False for blackhole, unreachable and prohibit: addresses inside are not reachable. */
  readonly forwards: boolean;
  readonly interfaceIndex: number | undefined;
  readonly gateway: Address | undefined;
  readonly source: Address | undefined;
}

export interface ResolvedNextHop {
  readonly interfaceIndex: number;
  /** Undefined: on the link. */
  readonly gateway?: Address;
}

export class NextHopTable {
  readonly #routes = new PrefixMap<readonly ForeignRoute[]>();
  readonly #asked = new PrefixMap<ResolvedNextHop | undefined>();
  /** Routes by interface: most links that come and go have none. */
  readonly #perInterface = new Map<number, number>();

  /** How the kernel reaches the address by foreign routes; undefined: not at all. */
  resolve(address: Address): ResolvedNextHop | undefined {
    const known = hostPrefix(address);
    if (this.#asked.has(known)) return this.#asked.get(known);
    const answer = this.#lookUp(address);
    this.#asked.set(known, answer);
    return answer;
  }

  /** The least metric among the foreign routes of exactly this prefix; undefined when there are none. */
  bestPriority(prefix: Prefix): number | undefined {
    return this.#routes.get(prefix)?.[0]?.priority;
  }

  /** Adds a route, or replaces that of the same prefix and metric. True when some answer changed. */
  add(route: ForeignRoute): boolean {
    const others = this.#others(route);
    const at = others.findIndex((other) => other.priority > route.priority);
    this.#set(route.prefix, at < 0 ? [...others, route] : [...others.slice(0, at), route, ...others.slice(at)]);
    return this.#askAgain(route.prefix);
  }

  remove(route: Pick<ForeignRoute, 'prefix' | 'priority'>): boolean {
    this.#set(route.prefix, this.#others(route));
    return this.#askAgain(route.prefix);
  }

  /** The kernel drops the routes of a link that goes down without telling (IPv4). */
  removeInterface(interfaceIndex: number): boolean {
    if (!this.#perInterface.has(interfaceIndex)) return false;
    return this.#removeWhere((route) => route.interfaceIndex === interfaceIndex);
  }

  /** It does the same to routes that prefer a source address that is gone. */
  removeSource(address: Address): boolean {
    return this.#removeWhere((route) => route.source === address);
  }

  /** Takes a whole new picture. */
  replaceAll(routes: Iterable<ForeignRoute>): boolean {
    this.#routes.clear();
    this.#perInterface.clear();
    for (const route of routes) {
      const others = this.#others(route);
      this.#set(
        route.prefix,
        [...others, route].sort((a, b) => a.priority - b.priority),
      );
    }
    let changed = false;
    for (const { prefix } of [...this.#asked]) changed = this.#refresh(prefix.address) || changed;
    return changed;
  }

  /** Answers nobody needs any more are forgotten, so that the table does not grow with history. */
  retain(addresses: ReadonlySet<Address>): void {
    for (const { prefix } of [...this.#asked]) if (!addresses.has(prefix.address)) this.#asked.delete(prefix);
  }

  #removeWhere(goes: (route: ForeignRoute) => boolean): boolean {
    const touched: Prefix[] = [];
    for (const { prefix, value } of [...this.#routes]) {
      const kept = value.filter((route) => !goes(route));
      if (kept.length === value.length) continue;
      this.#set(prefix, kept);
      touched.push(prefix);
    }
    return touched.reduce((changed, prefix) => this.#askAgain(prefix) || changed, false);
  }

  #others(route: Pick<ForeignRoute, 'prefix' | 'priority'>): readonly ForeignRoute[] {
    return (this.#routes.get(route.prefix) ?? []).filter((other) => other.priority !== route.priority);
  }

  #set(prefix: Prefix, routes: readonly ForeignRoute[]): void {
    for (const { interfaceIndex } of this.#routes.get(prefix) ?? []) this.#count(interfaceIndex, -1);
    for (const { interfaceIndex } of routes) this.#count(interfaceIndex, 1);
    if (routes.length === 0) this.#routes.delete(prefix);
    else this.#routes.set(prefix, routes);
  }

  #count(interfaceIndex: number | undefined, change: number): void {
    if (interfaceIndex === undefined) return;
    const count = (this.#perInterface.get(interfaceIndex) ?? 0) + change;
    if (count > 0) this.#perInterface.set(interfaceIndex, count);
    else this.#perInterface.delete(interfaceIndex);
  }

  #askAgain(prefix: Prefix): boolean {
    let changed = false;
    for (const asked of [...this.#asked.covered(prefix)]) changed = this.#refresh(asked.prefix.address) || changed;
    return changed;
  }

  #refresh(address: Address): boolean {
    const before = this.#asked.get(hostPrefix(address));
    const answer = this.#lookUp(address);
    this.#asked.set(hostPrefix(address), answer);
    return answer?.interfaceIndex !== before?.interfaceIndex || answer?.gateway !== before?.gateway;
  }

  #lookUp(address: Address): ResolvedNextHop | undefined {
    const route = this.#routes.match(address)?.value[0];
    if (!route?.forwards || route.interfaceIndex === undefined) return undefined;
    const { interfaceIndex, gateway } = route;
    return gateway === undefined ? { interfaceIndex } : { interfaceIndex, gateway };
  }

  /** For logs and tests: "10.0.0.2 → dev 3 via 10.0.0.1". */
  describe(): string[] {
    return [...this.#asked].map(({ prefix, value }) => {
      const way = value ? `dev ${value.interfaceIndex}` : 'unreachable';
      const via = value?.gateway === undefined ? '' : ` via ${formatAddress(value.gateway)}`;
      return `${formatAddress(prefix.address)} → ${way}${via}`;
    });
  }
}
