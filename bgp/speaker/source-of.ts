// What a session says about the routes that come from it.

import type { Connection } from '../edges.ts';
import type { Source } from '../rib/source.ts';
import type { Negotiated } from '../session-types.ts';
import type { PeerSettings } from '../settings.ts';

export const sourceOf = (
  settings: PeerSettings,
  negotiated: Negotiated,
  connection: Pick<Connection, 'remoteAddress'>,
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
  allowedOwnAsns: settings.allowedOwnAsns,
});

/** Routes of both mean the same, so that those of an earlier session may stay. */
export const isSameSource = (a: Source, b: Source): boolean =>
  a.external === b.external &&
  a.asn === b.asn &&
  a.localAsn === b.localAsn &&
  a.routerId === b.routerId &&
  a.client === b.client &&
  a.fourOctetAs === b.fourOctetAs &&
  a.allowedOwnAsns === b.allowedOwnAsns;

export const kindOf = (negotiated: Negotiated): 'ebgp' | 'ibgp' =>
  negotiated.peerAsn === negotiated.localAsn ? 'ibgp' : 'ebgp';
