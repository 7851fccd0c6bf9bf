// What a peer has while its session is established.

import type { MonitoredPeer } from '../edges.ts';
import type { AdjRibIn } from '../rib/adj-rib-in.ts';
import type { Negotiated } from '../session-types.ts';
import type { AddressFamily } from '../settings.ts';
import type { Line } from './line.ts';
import type { Outbound } from './outbound.ts';

export interface Attachment {
  readonly line: Line;
  readonly negotiated: Negotiated;
  readonly adjRibIn: AdjRibIn;
  readonly outbound: Outbound;
  readonly endOfRibReceived: Set<AddressFamily>;
  readonly monitored: MonitoredPeer;
}
