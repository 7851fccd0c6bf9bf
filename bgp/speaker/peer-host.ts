// What a peer asks of the speaker that it belongs to.

import type { Logger } from '../../runtime/log.ts';
import type { Clock, Millis, RouteMonitor, Transport } from '../edges.ts';
import type { Rib } from '../rib/rib.ts';
import type { AddressFamily, SpeakerSettings } from '../settings.ts';
import type { Peer } from './peer.ts';

/** What a peer needs of its speaker. */
export interface PeerHost {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rib: Rib;
  readonly settings: SpeakerSettings;
  /** RFC 4724: this speaker is back from a restart and has not heard everybody yet. */
  readonly restarting: boolean;
  readonly draining: boolean;
  readonly monitor: RouteMonitor | undefined;
  /** Something came: the RIBs are flushed at the end of this turn. */
  wantFlush(): void;
  /** A session's deadlines changed. */
  wantTimer(deadline: Millis): void;
  /** The peer sent all it has of a family, or never will. */
  onProgress(peer: Peer): void;
  /** A family that this session no longer carries will come by another one. */
  isCarriedElsewhere(peer: Peer, family: AddressFamily): boolean;
}
