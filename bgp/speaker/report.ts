// What the speaker tells people: peers, routes, and why. Slow paths, so objects and text are fine here.

import { formatAddress, formatIpv4 } from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { FibFailure, Millis } from '../edges.ts';
import type { Session } from '../fsm.ts';
import { explain } from '../rib/decision.ts';
import { attributesOf, type DecodedAttributes } from '../rib/decoded.ts';
import type { FamilyRib } from '../rib/family-rib.ts';
import { findPrefix } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import { describeSource } from '../rib/source.ts';
import { withheld } from '../rib/treatment.ts';
import type { AddressFamily } from '../settings.ts';
import type {
  FibFailureReport,
  PeerReport,
  RouteAttributesReport,
  RouteReport,
  RoutesReport,
  RouteView,
  WhyReport,
} from '../status.ts';
import { peerType } from '../status.ts';
import { formatAsPath } from '../wire/as-path.ts';
import { describeDown } from './describe-down.ts';
import type { FibSync } from './fib-sync.ts';
import type { Peer } from './peer.ts';

export interface RoutesQuery {
  readonly view: RouteView;
  /** Name or address of a peer; needed for `received` and `advertised`. */
  readonly peer?: string;
  readonly prefix?: Prefix;
  readonly limit?: number;
}

const DEFAULT_LIMIT = 10_000;

export function peerReport(peer: Peer, rib: Rib | undefined, now: Millis): PeerReport {
  const { session, settings, negotiated } = peer;
  const { lastError } = session;
  const wallClock = (at: Millis): string => new Date(Date.now() - (now - at)).toISOString();
  let routesOut = 0;
  for (const group of peer.groups.values()) routesOut += group.countFor(peer.source ?? -1);
  return {
    name: settings.name,
    address: formatAddress(settings.address),
    port: settings.port,
    asn: negotiated?.peerAsn ?? settings.asn,
    type: peerType(settings.name),
    state: session.state,
    since: wallClock(session.stateSince),
    detail: detailOf(peer),
    ...(lastError ? { lastError: { at: wallClock(lastError.at), text: describeLast(session) } } : {}),
    ...(peer.bfd ? { bfd: peer.bfd } : {}),
    families: negotiated?.families ?? settings.families,
    routesIn: peer.routeCount,
    routesAccepted: rib ? acceptedCount(peer, rib) : 0,
    routesOut,
    ...(session.state === 'Established' ? { uptimeMs: now - session.stateSince } : {}),
    timesEstablished: session.timesEstablished,
    messagesIn: peer.messagesIn,
    messagesOut: peer.messagesOut,
    queuedBytes: peer.queuedBytes,
  };
}

/** Those that filters and loop checks let pass, reachable or not. */
function acceptedCount(peer: Peer, rib: Rib): number {
  const { source, settings } = peer;
  if (source === undefined) return 0;
  let count = 0;
  for (const family of settings.families) {
    const { paths, store } = rib.family(family);
    paths.forEachOf(source, (path) => {
      const attributes = paths.attributes[path] ?? 0;
      if (attributes !== 0 && store.refusal[attributes] === 0) count++;
    });
  }
  return count;
}

function detailOf({ session, negotiated, adjRibIn }: Peer): string {
  if (!negotiated) return describeLast(session);
  const parts = [`hold ${negotiated.holdTimeSec} s`];
  if (negotiated.gracefulRestart) parts.push('graceful restart');
  if (negotiated.addPathSend.length + negotiated.addPathReceive.length > 0) parts.push('add-path');
  if (negotiated.extendedNextHop) parts.push('extended next hop');
  const { treatedAsWithdraw = 0, attributesDiscarded = 0 } = adjRibIn?.counters ?? {};
  if (treatedAsWithdraw > 0) parts.push(`${treatedAsWithdraw} malformed UPDATEs treated as withdrawals`);
  if (attributesDiscarded > 0) parts.push(`${attributesDiscarded} UPDATEs with an attribute discarded`);
  return parts.join(', ');
}

/** A refused connection is often only what follows from what the peer said before. */
function describeLast({ lastError, lastNotification }: Session): string {
  if (!lastError) return '';
  const text = describeDown(lastError.reason);
  const follows = lastError.reason.kind === 'connect-failed' || lastError.reason.kind === 'closed';
  return follows && lastNotification ? `${text}; before that, ${describeDown(lastNotification.reason)}` : text;
}

export const fibFailure = ({ prefix, error }: FibFailure): FibFailureReport => ({
  prefix: formatPrefix(prefix),
  error,
});

function findPeer(peers: ReadonlyMap<string, Peer>, name: string | undefined): Peer | undefined {
  if (name === undefined) return undefined;
  const named = peers.get(name);
  if (named) return named;
  for (const peer of peers.values()) if (formatAddress(peer.settings.address) === name) return peer;
  return undefined;
}

export function routesReport(query: RoutesQuery, rib: Rib, peers: ReadonlyMap<string, Peer>): RoutesReport {
  const { view, limit = DEFAULT_LIMIT } = query;
  const peer = findPeer(peers, query.peer);
  const routes: RouteReport[] = [];
  let more = false;
  const add = (route: RouteReport): boolean => {
    if (routes.length >= limit) {
      more = true;
      return false;
    }
    routes.push(route);
    return true;
  };
  if (!(query.peer !== undefined && !peer)) {
    for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
      for (const prefix of prefixesOf(rib.family(family), query.prefix)) {
        if (more) break;
        for (const route of routesAt(view, rib.family(family), prefix, peer)) if (!add(route)) break;
      }
    }
  }
  return { view, ...(query.peer === undefined ? {} : { peer: query.peer }), routes, more };
}

function* prefixesOf(rib: FamilyRib, only: Prefix | undefined): Iterable<number> {
  if (only === undefined) {
    for (let prefix = 1; prefix < rib.prefixes.end; prefix++) yield prefix;
    return;
  }
  if (familyOfPrefix(only) !== rib.prefixes.family) return;
  const prefix = findPrefix(rib.prefixes, only);
  if (prefix !== 0) yield prefix;
}

function routesAt(view: RouteView, rib: FamilyRib, prefix: number, peer: Peer | undefined): RouteReport[] {
  const text = formatPrefix(rib.prefixes.prefixOf(prefix));
  const best = rib.best[prefix] ?? 0;
  const route = (attributes: number, stale = false): RouteReport => {
    const source = rib.sources.get(rib.store.source[attributes] ?? 0);
    return {
      prefix: text,
      ...(source.local ? {} : { from: source.name }),
      best: attributes === best,
      stale,
      attributes: attributesReport(attributesOf(rib.store, attributes), source.local),
    };
  };
  if (view === 'best') return best === 0 ? [] : [route(best)];
  if (view === 'advertised') {
    const sent = peer?.groups.get(rib.family)?.announcedOf(prefix, peer.source ?? -1) ?? [];
    return sent.map((attributes) => route(attributes));
  }
  const list: RouteReport[] = [];
  const { paths } = rib;
  for (let path = paths.heads[prefix] ?? 0; path !== 0; path = paths.next[path] ?? 0) {
    if (peer && paths.sourceOf(path) !== peer.source) continue;
    list.push(route(paths.receivedOf(path), paths.stale?.[path] === 1));
  }
  return list;
}

function attributesReport(decoded: DecodedAttributes, local: boolean): RouteAttributesReport {
  const { origin = 2, asPath = [], localPref, med, communities = [], largeCommunities = [] } = decoded.attributes;
  const { originatorId, clusterList } = decoded.attributes;
  const origins = ['igp', 'egp', 'incomplete'] as const;
  return {
    origin: origins[origin] ?? 'incomplete',
    asPath: formatAsPath(asPath),
    ...(local || decoded.nextHops.length === 0 ? {} : { nextHop: decoded.nextHops.map(formatAddress).join(' ') }),
    ...(localPref === undefined ? {} : { localPref }),
    ...(med === undefined ? {} : { med }),
    communities: [
      ...communities.map((value) => `${value >>> 16}:${value & 0xffff}`),
      ...largeCommunities.map(({ global, local1, local2 }) => `${global}:${local1}:${local2}`),
    ],
    ...(originatorId === undefined ? {} : { originatorId: formatIpv4(originatorId) }),
    ...(clusterList === undefined ? {} : { clusterList: clusterList.map((id) => formatIpv4(id)) }),
  };
}

/** Everything about one prefix. */
export function whyReport(
  asked: Prefix,
  rib: Rib,
  peers: ReadonlyMap<string, Peer>,
  fib: FibSync | undefined,
): WhyReport {
  const family: AddressFamily = familyOfPrefix(asked) === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
  const familyRib = rib.family(family);
  const prefix = findPrefix(familyRib.prefixes, asked);
  const canonical = formatPrefix(asked);
  if (prefix === 0) return { prefix: canonical, paths: [], fib: 'nobody announces it', advertised: [] };
  return {
    prefix: canonical,
    paths: explain(prefix, familyRib).map(({ path, reason }) =>
      pathReport(path, reason, familyRib, rib, prefix, peers),
    ),
    fib: fib ? fib.describe(family, prefix, canonical) : 'the kernel is not programmed',
    advertised: [...peers.values()].flatMap((peer) => advertisedReport(peer, familyRib, rib, prefix)),
  };
}

function pathReport(
  path: number,
  reason: string | undefined,
  familyRib: FamilyRib,
  rib: Rib,
  prefix: number,
  peers: ReadonlyMap<string, Peer>,
): WhyReport['paths'][number] {
  const source = rib.sources.get(familyRib.paths.sourceOf(path));
  const decoded = attributesOf(rib.store, familyRib.paths.receivedOf(path));
  const stale = familyRib.paths.stale?.[path] === 1 ? ' (stale: the peer restarts)' : '';
  let verdict = reason ?? 'best';
  if (familyRib.paths.attributes[path] === 0) verdict = importVerdict(path, familyRib, rib, prefix, peers);
  if (verdict === 'next hop is unreachable')
    verdict = `next hop ${decoded.nextHops.map(formatAddress).join(' ')} unreachable`;
  return {
    from: describeSource(source),
    verdict: `${verdict}${stale}`,
    best: reason === undefined,
    attributes: attributesReport(decoded, source.local),
  };
}

function importVerdict(
  path: number,
  familyRib: FamilyRib,
  rib: Rib,
  prefix: number,
  peers: ReadonlyMap<string, Peer>,
): string {
  const source = familyRib.paths.sourceOf(path);
  const peer = [...peers.values()].find((one) => one.source === source);
  const filter = peer?.adjRibIn?.filter;
  if (!filter) return 'rejected by the import filter';
  const { origin } = rib.filtering.verdict(filter, familyRib.paths.receivedOf(path), familyRib.prefixes, prefix);
  return origin === undefined ? 'rejected: no import rule matches' : `rejected by ${origin}`;
}

function advertisedReport(peer: Peer, familyRib: FamilyRib, rib: Rib, prefix: number): WhyReport['advertised'] {
  const group = peer.groups.get(familyRib.family);
  if (!group) return [];
  const sent = group.announcedOf(prefix, peer.source ?? -1).length > 0;
  return [{ to: peer.settings.name, sent, verdict: sent ? 'sent' : whyNotSent(peer, familyRib, rib, prefix) }];
}

function whyNotSent(peer: Peer, familyRib: FamilyRib, rib: Rib, prefix: number): string {
  const group = peer.groups.get(familyRib.family);
  const best = familyRib.best[prefix] ?? 0;
  if (!group || best === 0) return 'there is no best path';
  if (rib.store.source[best] === peer.source) return 'the best path came from this peer';
  const reason = withheld(best, rib.store, rib.sources, group.treatment);
  if (reason !== undefined) return reason;
  const { accept, origin } = rib.filtering.verdict(group.treatment.filter, best, familyRib.prefixes, prefix);
  if (!accept) return origin === undefined ? 'rejected: no export rule matches' : `rejected by ${origin}`;
  return 'not sent yet';
}
