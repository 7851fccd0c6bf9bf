// What a session says about the routes that come from it.

import type { Connection } from '../edges.ts';
import { compileFilter, prepending } from '../filter.ts';
import type { RouteFilter } from '../rib/policy.ts';
import type { Source } from '../rib/source.ts';
import type { Negotiated } from '../session-types.ts';
import type { PeerSettings } from '../settings.ts';

export const sourceOf = (
  settings: PeerSettings,
  negotiated: Negotiated,
  connection: Pick<Connection, 'remoteAddress'>,
  ownAsn: number,
): Source => ({
  name: settings.name,
  local: false,
  external: negotiated.peerAsn !== negotiated.localAsn,
  client: settings.routeReflectorClient,
  asn: negotiated.peerAsn,
  routerId: negotiated.peerRouterId,
  address: connection.remoteAddress,
  fourOctetAs: negotiated.fourOctetAs,
  localAsn: negotiated.localAsn,
  ...(ownAsn === negotiated.localAsn ? {} : { ownAsn }),
  allowedOwnAsns: settings.allowedOwnAsns,
});

/** Routes of both mean the same, so that those of an earlier session may stay. */
export const isSameSource = (a: Source, b: Source): boolean =>
  a.external === b.external &&
  a.asn === b.asn &&
  a.localAsn === b.localAsn &&
  a.ownAsn === b.ownAsn &&
  a.routerId === b.routerId &&
  a.client === b.client &&
  a.fourOctetAs === b.fourOctetAs &&
  a.allowedOwnAsns === b.allowedOwnAsns;

/** What the peer's routes pass on their way in. Local-as without no-prepend is an operation on all of them. */
export function importFilterFor({ importFilter, localAs }: PeerSettings, negotiated: Negotiated): RouteFilter {
  const kind = negotiated.peerAsn === negotiated.localAsn ? 'ibgp' : 'ebgp';
  const filter = compileFilter(importFilter, kind);
  const shown = localAs !== undefined && localAs.asn === negotiated.localAsn;
  return kind === 'ebgp' && shown && !localAs.noPrepend ? prepending(filter, localAs.asn) : filter;
}
