// What the speaker tells people: peers, routes, and why. Slow paths, so objects and text are fine here.

import { type Address, formatAddress } from '../../net/address.ts';
import { comparePrefixes, familyOfPrefix, formatPrefix, type Prefix } from '../../net/prefix.ts';
import { ControlError } from '../../runtime/control.ts';
import type { FibFailure, Millis } from '../edges.ts';
import type { Session } from '../fsm.ts';
import { explain } from '../rib/decision.ts';
import type { FamilyRib } from '../rib/family-rib.ts';
import { findPrefix } from '../rib/prefixes.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { FibFailureReport, PeerReport, RouteReport, RoutesReport, RouteView } from '../status.ts';
import { peerType } from '../status.ts';
import { describeFindings } from '../wire/attribute-scan.ts';
import { reportSent, reportStored } from './describe-attributes.ts';
import { describeDown } from './describe-down.ts';
import type { Peer } from './peer.ts';
import { pathVerdict, prefixForAddress } from './why.ts';

export interface RoutesQuery {
  readonly view: RouteView;
  /** Name or address of a peer; needed for `received` and `advertised`. */
  readonly peer?: string;
  readonly prefix?: Prefix;
  /** Of the prefix that this address is routed by. */
  readonly address?: Address;
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
    ...(session.state === 'Established' ? { uptimeMs: Math.round(now - session.stateSince) } : {}),
    timesEstablished: session.timesEstablished,
    malformedUpdates: malformedOf(peer),
    messagesIn: peer.messagesIn,
    messagesOut: peer.messagesOut,
    queuedBytes: peer.queuedBytes,
  };
}

function malformedOf({ adjRibIn }: Peer): PeerReport['malformedUpdates'] {
  const { treatedAsWithdraw = 0, attributesDiscarded = 0 } = adjRibIn?.counters ?? {};
  return { treatedAsWithdraw, attributesDiscarded };
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

function detailOf({ session, negotiated, adjRibIn, mode, settings }: Peer): string {
  if (!negotiated && mode === 'listens')
    return `waits whether ${settings.fallbackFor} carries ${settings.families.join(' ')}`;
  if (!negotiated) return describeLast(session);
  const parts = [`hold ${negotiated.holdTimeSec} s`];
  if (negotiated.families.length > 1) parts.push('IPv4 and IPv6');
  if (negotiated.gracefulRestart) parts.push('graceful restart');
  if (negotiated.addPathSend.length + negotiated.addPathReceive.length > 0) parts.push('add-path');
  if (negotiated.extendedNextHop) parts.push('extended next hop');
  const { treatedAsWithdraw = 0, attributesDiscarded = 0 } = adjRibIn?.counters ?? {};
  if (treatedAsWithdraw > 0) parts.push(`${treatedAsWithdraw} malformed UPDATEs treated as withdrawals`);
  if (attributesDiscarded > 0) parts.push(`${attributesDiscarded} UPDATEs with an attribute discarded`);
  const findings = adjRibIn?.lastFindings ?? [];
  if (findings.length > 0) parts.push(`the last one: ${describeFindings(findings)}`);
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

function findPeer(peers: ReadonlyMap<string, Peer>, name: string): Peer | undefined {
  const named = peers.get(name);
  if (named) return named;
  for (const peer of peers.values()) if (formatAddress(peer.settings.address) === name) return peer;
  return undefined;
}

export function routesReport(query: RoutesQuery, rib: Rib, peers: ReadonlyMap<string, Peer>): RoutesReport {
  const { view, limit = DEFAULT_LIMIT } = query;
  const peer = query.peer === undefined ? undefined : namedPeer(peers, query.peer);
  const routes: RouteReport[] = [];
  let more = false;
  for (const family of families) {
    const familyRib = rib.family(family);
    const entries: { readonly prefix: Prefix; readonly found: readonly RouteReport[] }[] = [];
    let count = 0;
    for (const prefix of prefixesOf(familyRib, query, rib)) {
      const found = routesAt(view, prefix, { rib, familyRib, peers, peer });
      if (found.length === 0) continue;
      const room = limit - routes.length - count;
      more = found.length > room;
      entries.push({ prefix: familyRib.prefixes.prefixOf(prefix), found: found.slice(0, room) });
      count += found.length;
      if (more) break;
    }
    // Only what is shown is sorted: a table of a million must not hold the sessions up.
    entries.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
    for (const { found } of entries) routes.push(...found);
    if (more) break;
  }
  const note = peer && routes.length === 0 && !peer.negotiated ? `not established (${peer.session.state})` : undefined;
  return { view, ...(peer ? { peer: peer.settings.name } : {}), routes, more, ...(note ? { note } : {}) };
}

function namedPeer(peers: ReadonlyMap<string, Peer>, name: string): Peer {
  const peer = findPeer(peers, name);
  if (peer) return peer;
  const known = [...peers.keys()];
  const list = known.length === 0 ? 'there are no peers' : `there are ${known.slice(0, 20).join(', ')}`;
  throw new ControlError(404, `no peer "${name}"; ${list}${known.length > 20 ? ', …' : ''}`);
}

function* prefixesOf({ prefixes }: FamilyRib, { prefix: only, address }: RoutesQuery, rib: Rib): Iterable<number> {
  const wanted = address === undefined ? only : prefixForAddress(rib, address);
  if (wanted === undefined) {
    for (let prefix = 1; prefix < prefixes.end; prefix++) yield prefix;
    return;
  }
  if (familyOfPrefix(wanted) !== prefixes.family) return;
  const prefix = findPrefix(prefixes, wanted);
  if (prefix !== 0) yield prefix;
}

interface RoutesContext {
  readonly rib: Rib;
  readonly familyRib: FamilyRib;
  readonly peers: ReadonlyMap<string, Peer>;
  /** Whose routes, or whom they are sent to. */
  readonly peer: Peer | undefined;
}

function routesAt(view: RouteView, prefix: number, context: RoutesContext): RouteReport[] {
  switch (view) {
    case 'best':
      return bestAt(prefix, context);
    case 'received':
      return receivedAt(prefix, context);
    case 'advertised':
      return advertisedAt(prefix, context);
  }
}

function routeReport(prefix: number, set: number, { rib, familyRib }: RoutesContext) {
  const { name, local } = rib.sources.get(rib.store.source[set] ?? 0);
  return {
    prefix: formatPrefix(familyRib.prefixes.prefixOf(prefix)),
    ...(local ? {} : { from: name }),
    best: false,
    stale: false,
    attributes: reportStored(rib.store, set, local),
  };
}

function bestAt(prefix: number, context: RoutesContext): RouteReport[] {
  const set = context.familyRib.best[prefix] ?? 0;
  return set === 0 ? [] : [{ ...routeReport(prefix, set, context), best: true }];
}

/** As it was received, with what import made of it. */
function receivedAt(prefix: number, context: RoutesContext): RouteReport[] {
  const { familyRib, peer } = context;
  const { paths } = familyRib;
  if ((paths.heads[prefix] ?? 0) === 0) return [];
  return explain(prefix, familyRib)
    .filter(({ path }) => !peer || paths.sourceOf(path) === peer.source)
    .map(({ path, reason }) => ({
      ...routeReport(prefix, paths.receivedOf(path), context),
      ...(paths.identifiers?.[path] ? { pathId: paths.identifiers[path] } : {}),
      best: reason === undefined,
      stale: paths.stale?.[path] === 1,
      ...(reason === undefined ? {} : { why: pathVerdict(path, reason, prefix, context) }),
    }));
}

/** As it was sent. */
function advertisedAt(prefix: number, context: RoutesContext): RouteReport[] {
  const { familyRib, peer, rib } = context;
  const group = peer?.groups.get(familyRib.family);
  if (!group) return [];
  return group.announcedOf(prefix, peer?.source ?? -1).map((set) => ({
    ...routeReport(prefix, set, context),
    // An export filter makes another set of the best one; without several paths, what is sent is the best one.
    best: !group.treatment.addPath || set === familyRib.best[prefix],
    attributes: reportSent(rib, set, group.treatment),
  }));
}
