// An established session as monitoring stations see it.

import type { MonitoredPeer } from '../edges.ts';
import type { Source } from '../rib/source.ts';
import type { UpdateGroup } from '../rib/update-group.ts';
import type { Negotiated } from '../session-types.ts';
import type { Line } from './line.ts';

export const monitoredPeer = (
  line: Line,
  negotiated: Negotiated,
  source: { readonly index: number; readonly about: Source },
  { routeCount, groups }: { readonly routeCount: () => number; readonly groups: () => Iterable<UpdateGroup> },
): MonitoredPeer => ({
  about: { address: source.about.address, asn: negotiated.peerAsn, routerId: negotiated.peerRouterId },
  localAddress: line.connection.localAddress,
  localPort: line.connection.localPort ?? 0,
  remotePort: line.connection.remotePort,
  sentOpen: line.sentOpen,
  receivedOpen: line.receivedOpen,
  twoOctetAs: !negotiated.fourOctetAs,
  families: negotiated.families,
  addPath: negotiated.addPathReceive,
  source: source.index,
  routeCount,
  out: {
    groups,
    tap: (listener) => {
      line.tap = listener;
    },
  },
});
