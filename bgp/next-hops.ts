// A mirror of the kernel routes that are not ours, to answer how an address is reached without us. Pure: routes and
// events go in, the addresses whose answer has changed come out.
//
// Every address that was asked for is remembered with its answer. A change of a route asks again for those inside its
// prefix only, so a pod's /32 that comes and goes costs nothing, however many next hops there are.

import type { Address } from '../net/address.ts';
import { PrefixMap } from '../net/lpm.ts';
import { hostPrefix, type Prefix } from '../net/prefix.ts';
import type { ForeignMatch, Way } from './edges.ts';

/** A foreign route: what next-hop resolution needs of it. */
export interface ForeignRoute {
  readonly prefix: Prefix;
  /** Metric; the lowest wins among routes of one prefix. */
  readonly priority: number;
  /** None for blackhole, unreachable and prohibit: addresses inside are not reachable. */
  readonly ways: readonly Way[];
  readonly source: Address | undefined;
}

export class NextHopTable {
  readonly #routes = new PrefixMap<readonly ForeignRoute[]>();
  readonly #asked = new PrefixMap<ForeignMatch | undefined>();
  /** Ways by interface: most links that come and go have none. */
  readonly #perInterface = new Map<number, number>();

  /** The longest foreign route that holds the address; undefined: none does. */
  lookUp(address: Address): ForeignMatch | undefined {
    const known = hostPrefix(address);
    if (this.#asked.has(known)) return this.#asked.get(known);
    const answer = this.#match(address);
    this.#asked.set(known, answer);
    return answer;
  }

  /** The least metric among the foreign routes of exactly this prefix; undefined when there are none. */
  bestPriority(prefix: Prefix): number | undefined {
    return this.#routes.get(prefix)?.[0]?.priority;
  }

  /** Whether there is a foreign route of exactly this prefix and metric. */
  has(prefix: Prefix, priority: number): boolean {
    return this.#routes.get(prefix)?.some((route) => route.priority === priority) ?? false;
  }

  /** Adds a route, or replaces that of the same prefix and metric. Returns the addresses that have another answer now. */
  add(route: ForeignRoute): Address[] {
    const others = this.#others(route);
    const at = others.findIndex((other) => other.priority > route.priority);
    this.#set(route.prefix, at < 0 ? [...others, route] : [...others.slice(0, at), route, ...others.slice(at)]);
    return this.#askAgain([route.prefix]);
  }

  remove(route: Pick<ForeignRoute, 'prefix' | 'priority'>): Address[] {
    this.#set(route.prefix, this.#others(route));
    return this.#askAgain([route.prefix]);
  }

  /** The kernel stops to use the ways by a link that goes down without telling (IPv4). */
  removeInterface(interfaceIndex: number): Address[] {
    if (!this.#perInterface.has(interfaceIndex)) return [];
    return this.#change((route) => {
      const ways = route.ways.filter((way) => way.interfaceIndex !== interfaceIndex);
      if (ways.length === route.ways.length) return route;
      return ways.length === 0 ? undefined : { ...route, ways };
    });
  }

  /** It forgets routes that prefer a source address that is gone. */
  removeSource(address: Address): Address[] {
    return this.#change((route) => (route.source === address ? undefined : route));
  }

  /** Takes a whole new picture. */
  replaceAll(routes: Iterable<ForeignRoute>): Address[] {
    this.#routes.clear();
    this.#perInterface.clear();
    for (const route of routes) {
      const others = this.#others(route);
      this.#set(
        route.prefix,
        [...others, route].sort((a, b) => a.priority - b.priority),
      );
    }
    return [...this.#asked].flatMap(({ prefix }) => this.#refresh(prefix.address));
  }

  #change(to: (route: ForeignRoute) => ForeignRoute | undefined): Address[] {
    const touched: Prefix[] = [];
    for (const { prefix, value } of [...this.#routes]) {
      const next = value.map(to);
      if (next.every((route, i) => route === value[i])) continue;
      this.#set(
        prefix,
        next.filter((route) => route !== undefined),
      );
      touched.push(prefix);
    }
    return this.#askAgain(touched);
  }

  #others(route: Pick<ForeignRoute, 'prefix' | 'priority'>): readonly ForeignRoute[] {
    return (this.#routes.get(route.prefix) ?? []).filter((other) => other.priority !== route.priority);
  }

  #set(prefix: Prefix, routes: readonly ForeignRoute[]): void {
    for (const route of this.#routes.get(prefix) ?? []) this.#count(route, -1);
    for (const route of routes) this.#count(route, 1);
    if (routes.length === 0) this.#routes.delete(prefix);
    else this.#routes.set(prefix, routes);
  }

  #count({ ways }: ForeignRoute, change: number): void {
    for (const { interfaceIndex } of ways) {
      const count = (this.#perInterface.get(interfaceIndex) ?? 0) + change;
      if (count > 0) this.#perInterface.set(interfaceIndex, count);
      else this.#perInterface.delete(interfaceIndex);
    }
  }

  #askAgain(prefixes: readonly Prefix[]): Address[] {
    return prefixes.flatMap((prefix) =>
      [...this.#asked.covered(prefix)].flatMap((asked) => this.#refresh(asked.prefix.address)),
    );
  }

  #refresh(address: Address): Address[] {
    const before = this.#asked.get(hostPrefix(address));
    const answer = this.#match(address);
    this.#asked.set(hostPrefix(address), answer);
    return isSameMatch(before, answer) ? [] : [address];
  }

  #match(address: Address): ForeignMatch | undefined {
    const found = this.#routes.match(address);
    const [route] = found?.value ?? [];
    if (!found || !route) return undefined;
    return { length: found.prefix.length, priority: route.priority, ways: route.ways };
  }
}

function isSameMatch(a: ForeignMatch | undefined, b: ForeignMatch | undefined): boolean {
  if (!a || !b) return a === b;
  if (a.length !== b.length || a.priority !== b.priority || a.ways.length !== b.ways.length) return false;
  return a.ways.every((way, i) => {
    const other = b.ways[i];
    return way.interfaceIndex === other?.interfaceIndex && way.gateway === other.gateway;
  });
}
