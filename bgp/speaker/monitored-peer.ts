// An established session as monitoring stations see it.

import type { MonitoredPeer } from '../edges.ts';
import type { Source } from '../rib/source.ts';
import type { Negotiated } from '../session-types.ts';
import type { Line } from './line.ts';

export const monitoredPeer = (
  { connection, sentOpen, receivedOpen }: Line,
  negotiated: Negotiated,
  source: { readonly index: number; readonly about: Source },
  routeCount: () => number,
): MonitoredPeer => ({
  about: { address: source.about.address, asn: negotiated.peerAsn, routerId: negotiated.peerRouterId },
  localAddress: connection.localAddress,
  localPort: connection.localPort ?? 0,
  remotePort: connection.remotePort,
  sentOpen,
  receivedOpen,
  twoOctetAs: !negotiated.fourOctetAs,
  families: negotiated.families,
  addPath: negotiated.addPathReceive,
  source: source.index,
  routeCount,
});
