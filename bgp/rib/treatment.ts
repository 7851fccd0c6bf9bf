// How routes are treated on their way to a peer. Peers with equal treatment form an update group: what is sent to one is,
// byte for byte, what is sent to all.

import { isLinkLocal } from '../../net/address.ts';
import type { AddressFamily } from '../settings.ts';
import { type AttributeStore, Trait } from './attribute-store.ts';
import type { RouteFilter } from './policy.ts';
import type { Source, Sources } from './source.ts';

export interface Treatment {
  readonly family: AddressFamily;
  /** To another AS. */
  readonly external: boolean;
  /** RFC 4456: the peer is our client. */
  readonly client: boolean;
  /** AS that we show: what goes in front of the AS_PATH towards another AS. */
  readonly localAsn: number;
  /** AS behind it: our own, when localAsn is another one that does not replace it (RFC 7705 §3). */
  readonly asnBehind?: number | undefined;
  readonly clusterId: number;
  readonly nextHop: 'auto' | 'self' | 'keep';
  /** Our address on the session in network order: 4, 16 or 32 octets. */
  readonly ownNextHop: Uint8Array;
  /** RFC 8950: the peer takes IPv4 routes with IPv6 next hops. */
  readonly extendedNextHop: boolean;
  readonly fourOctetAs: boolean;
  /** RFC 7911: all paths, with identifiers. */
  readonly addPath: boolean;
  readonly maxMessageLength: number;
  /** RFC 9494: the peer knows what LLGR_STALE means. */
  readonly longLived: boolean;
  /** RFC 8326: all routes go out with GRACEFUL_SHUTDOWN, because this node is about to leave. */
  readonly draining: boolean;
  readonly filter: RouteFilter;
  /** RFC 4271 §9.2.1.1: changes go out at most once in this time; absent: at once. */
  readonly advertisementIntervalMs?: number;
  /** Equal for equal filters. */
  readonly filterKey: string;
}

/** Equal for peers that can share a group. */
export function treatmentKey(treatment: Treatment): string {
  const { filter: _filter, ownNextHop, ...rest } = treatment;
  return JSON.stringify({ ...rest, ownNextHop: [...ownNextHop] });
}

/** Why a route is not sent to peers of this treatment; undefined when it is (filters aside). */
export function withheld(
  attributes: number,
  store: AttributeStore,
  sources: Sources,
  treatment: Treatment,
): string | undefined {
  const traits = store.traits[attributes] ?? 0;
  if (traits !== 0) {
    const reason = withheldByCommunity(traits, treatment);
    if (reason !== undefined) return reason;
  }
  const source = sources.get(store.source[attributes] ?? 0);
  return withheldByOrigin(source, treatment) ?? withheldByNextHop(attributes, store, source, treatment);
}

/**
 * RFC 4271 §5.1.3: whether the next hop that goes out is this speaker. A link-local one means nothing beyond its link
 * (RFC 2545 §3), where internal peers are.
 */
export const setsOwnNextHop = (source: Source, { nextHop, external }: Treatment, isLinkLocal: boolean): boolean =>
  nextHop === 'self' || source.local || (nextHop === 'auto' && (external || isLinkLocal));

/** Whether routes may leave with the next hop that they came with. */
export const keepsNextHops = ({ nextHop, external }: Treatment): boolean =>
  nextHop === 'keep' || (nextHop === 'auto' && !external);

/** RFC 8950 §4: not to peers that did not say that they understand it. */
function withheldByNextHop(
  attributes: number,
  store: AttributeStore,
  source: Source,
  treatment: Treatment,
): string | undefined {
  if (treatment.extendedNextHop || treatment.family !== 'ipv4-unicast') return undefined;
  const { address } = store.nextHops.get(store.nextHop[attributes] ?? 0);
  const isIpv6 = setsOwnNextHop(source, treatment, isLinkLocal(address))
    ? treatment.ownNextHop.length !== 4
    : typeof address === 'bigint';
  return isIpv6 ? 'its next hop is an IPv6 address, and the peer does not take those for IPv4 routes' : undefined;
}

/** RFC 1997, RFC 9494 §4.3. */
function withheldByCommunity(traits: number, { external, longLived }: Treatment): string | undefined {
  if (traits & Trait.noAdvertise) return 'community NO_ADVERTISE';
  if (external && traits & Trait.noExport) return 'community NO_EXPORT';
  if (external && traits & Trait.noExportSubconfed) return 'community NO_EXPORT_SUBCONFED';
  if (traits & Trait.longLivedStale && !longLived) return 'long-lived stale, and the peer does not know of that';
  return undefined;
}

/** RFC 4271 §9.2 and RFC 4456 §6: between internal peers only from or to a client. */
function withheldByOrigin(source: Source, { external, client }: Treatment): string | undefined {
  if (external || source.external || source.local || source.client || client) return undefined;
  return 'learned by iBGP, and neither that peer nor this one is a route-reflector client';
}
