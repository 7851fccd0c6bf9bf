// Which routes the kernel is to have: the Loc-RIB's best paths with their next hops resolved, static routes before them, and
// blackholes for our own blocks. Asks nothing but the RIB and the resolver, and changes neither.

import { type Address, formatAddress } from '../../net/address.ts';
import { type Prefix, prefixCovers } from '../../net/prefix.ts';
import type { FibNextHop, FibRoute } from '../edges.ts';
import { chooseSeveral } from '../rib/decision.ts';
import type { FamilyRib } from '../rib/family-rib.ts';
import { findPrefix } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import type { AddressFamily, FibSettings, StaticRoute } from '../settings.ts';
import type { NextHopResolver, OwnRoute } from './next-hop-resolver.ts';

/** The routes of a family. */
export interface FamilyRoutes {
  readonly rib: FamilyRib;
  /** By prefix; they come before what peers announce. */
  readonly statics: ReadonlyMap<number, StaticRoute>;
}

export interface WantedRoutesOptions {
  readonly rib: Rib;
  readonly settings: FibSettings;
  readonly maxPaths: number;
  readonly resolver: NextHopResolver;
}

export class WantedRoutes {
  readonly #rib: Rib;
  readonly #settings: FibSettings;
  readonly #maxPaths: number;
  readonly #resolver: NextHopResolver;

  constructor({ rib, settings, maxPaths, resolver }: WantedRoutesOptions) {
    this.#rib = rib;
    this.#settings = settings;
    this.#maxPaths = maxPaths;
    this.#resolver = resolver;
  }

  /** The route of a prefix; undefined: none. */
  route({ rib, statics }: FamilyRoutes, id: number): FibRoute | undefined {
    const pinned = statics.get(id);
    if (pinned) return this.#staticRoute(pinned);
    const best = rib.best[id] ?? 0;
    if (best === 0) return undefined;
    const prefix = rib.prefixes.prefixOf(id);
    const paths = chooseSeveral(id, rib, this.#maxPaths);
    const [first] = paths;
    if (first === undefined) return undefined;
    if (rib.sources.get(rib.paths.sourceOf(first)).local) {
      // Whoever programs the routes to other nodes: our own blocks must not lead away.
      const own = this.#rib.originatedRoute(rib.family, id);
      return own?.blackhole ? { kind: 'blackhole', prefix } : undefined;
    }
    if (!this.#isProgrammed(prefix)) return undefined;
    const nextHops = distinct(paths.flatMap((path) => this.#nextHopsOf(rib, path)));
    if (nextHops.length === 0) return undefined;
    const priority = this.#priorityOf(rib, rib.paths.attributes[first] ?? 0);
    return { kind: 'unicast', prefix, nextHops, ...(priority === undefined ? {} : { priority }) };
  }

  #isProgrammed(prefix: Prefix): boolean {
    const { only, except = [] } = this.#settings;
    if (except.some((outer) => prefixCovers(outer, prefix))) return false;
    return only.length === 0 || only.some((outer) => prefixCovers(outer, prefix));
  }

  /** Undefined: the metric of the settings. */
  #priorityOf({ family, store }: FamilyRib, attributes: number): number | undefined {
    const priority = store.priorityOf(attributes);
    return priority === this.#normalPriority(family) ? undefined : priority;
  }

  #normalPriority(family: AddressFamily): number {
    const { priority, priority6 = priority } = this.#settings;
    return family === 'ipv4-unicast' ? priority : priority6;
  }

  #staticRoute({ prefix, gateway }: StaticRoute): FibRoute | undefined {
    const resolution = this.#resolver.resolve(gateway);
    if (resolution.kind === 'unreachable') return undefined;
    const nextHops = resolution.hops.map((hop) => ({ ...hop, gateway: hop.gateway ?? gateway }));
    return { kind: 'unicast', prefix, nextHops: distinct(nextHops) };
  }

  /** What next hops inside our own routes are resolved by. */
  own({ rib, statics }: FamilyRoutes, prefix: Prefix, foreignPriority: number | undefined): OwnRoute | undefined {
    const id = findPrefix(rib.prefixes, prefix);
    if (id === 0) return undefined;
    const pinned = statics.get(id);
    const best = rib.best[id] ?? 0;
    const priority = (pinned ? undefined : this.#priorityOf(rib, best)) ?? this.#normalPriority(rib.family);
    if (foreignPriority !== undefined && foreignPriority <= priority) return undefined;
    if (pinned) return { kind: 'via', nextHops: [pinned.gateway], all: [pinned.gateway] };
    if (best === 0) return undefined;
    if (rib.sources.get(rib.store.source[best] ?? 0).local) {
      return this.#rib.originatedRoute(rib.family, id)?.blackhole ? { kind: 'blackhole' } : undefined;
    }
    if (!this.#isProgrammed(prefix)) return undefined;
    const all: Address[] = [];
    for (let path = rib.paths.heads[id] ?? 0; path !== 0; path = rib.paths.next[path] ?? 0) {
      const address = nextHopAt(rib, path);
      if (address !== undefined) all.push(address);
    }
    const used = chooseSeveral(id, rib, this.#maxPaths).map((path) => nextHopAt(rib, path));
    return { kind: 'via', nextHops: used.filter((address) => address !== undefined), all };
  }

  #nextHopsOf({ store, paths }: FamilyRib, path: number): FibNextHop[] {
    const { address, linkLocal } = store.nextHops.get(store.nextHop[paths.attributes[path] ?? 0] ?? 0);
    const resolution = this.#resolver.resolve(address);
    if (resolution.kind === 'unreachable') return [];
    return resolution.hops.map((hop) => ({ ...hop, gateway: hop.gateway ?? linkLocal ?? address }));
  }
}

/** The next hop of a path; undefined for our own. */
export function nextHopAt({ store, paths }: FamilyRib, path: number): Address | undefined {
  const index = store.nextHop[paths.attributes[path] ?? 0] ?? 0;
  return index === 0 ? undefined : store.nextHops.get(index).address;
}

const hopText = ({ gateway, interfaceIndex }: FibNextHop): string =>
  `via ${gateway === undefined ? 'link' : formatAddress(gateway)}${interfaceIndex === undefined ? '' : ` dev ${interfaceIndex}`}`;

/** Equal for routes that the kernel has in the same way. */
export const formOf = (route: FibRoute): string =>
  route.kind === 'blackhole'
    ? 'blackhole'
    : `${route.nextHops.map(hopText).sort().join(', ')}${route.priority === undefined ? '' : ` metric ${route.priority}`}`;

function distinct(nextHops: readonly FibNextHop[]): FibNextHop[] {
  return [...new Map(nextHops.map((hop) => [hopText(hop), hop])).values()];
}
