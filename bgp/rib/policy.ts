// How the RIB asks a filter about a route. filter.ts compiles FilterSettings into this.

import type { Prefix } from '../../net/prefix.ts';
import type { AddressFamily, FilterOperation } from '../settings.ts';
import type { LargeCommunity } from '../wire/attributes.ts';

/** A route as filters see it. */
export interface FilterRoute {
  readonly family: AddressFamily;
  readonly prefix: Prefix;
  /** Where the route came from: our own, or a peer and its kind. */
  readonly source: 'local' | 'ebgp' | 'ibgp';
  /** Interface that the next hop is reached by, where that is known. */
  readonly interface?: string;
  readonly communities: readonly number[];
  readonly largeCommunities: readonly LargeCommunity[];
  /** Numbers of the AS_PATH in order, sets included. */
  readonly asPath: readonly number[];
  /** Kernel route priority that an earlier operation set. */
  readonly priority?: number;
}

export interface FilterVerdict {
  readonly accept: boolean;
  /** The rule that decided, as FilterRule.origin; undefined: no rule matched. */
  readonly origin: string | undefined;
  readonly operations: readonly FilterOperation[];
}

export interface RouteFilter {
  /** Accepts everything unchanged: the RIB then does not ask. */
  readonly acceptsAll: boolean;
  /** False when verdicts depend on the attributes and the source alone: the RIB then asks once per attribute set. */
  readonly usesPrefix: boolean;
  /** Verdicts depend on the interface: they are asked for again when a route is reached by another one. */
  readonly usesInterface: boolean;
  evaluate(route: FilterRoute): FilterVerdict;
}

export const acceptEverything: RouteFilter = {
  acceptsAll: true,
  usesPrefix: false,
  usesInterface: false,
  evaluate: () => ({ accept: true, origin: undefined, operations: [] }),
};
