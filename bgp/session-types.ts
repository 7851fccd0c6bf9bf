// What passes between a session's state machine (fsm.ts) and whoever drives it (speaker.ts).
//
// The machine is pure: step(session, event, now) gives the next session and the effects to carry out, in order. It owns
// the OPEN exchange, hold, keepalive and connect-retry timers, and connection collision (RFC 4271 §6.8, §8). Bytes are
// decoded before they come here, and UPDATEs do not come here at all: the speaker hands them to the RIB and only says
// `heard`, once per read, so that the hold timer starts anew.

import type { Ipv4 } from '../net/address.ts';
import type { Millis } from './edges.ts';
import type { AddressFamily, PeerSettings } from './settings.ts';
import type { Capability, NotificationMessage, OpenMessage } from './wire/message.ts';

export type SessionState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

/** The driver's number for a TCP connection; never used twice within a process. */
export type ConnectionId = number;

/** What the machine must know of both ends. The driver makes it from SpeakerSettings and PeerSettings. */
export interface SessionConfig {
  /** AS that we show in OPEN: that of the peer's localAs, else the speaker's. */
  readonly localAsn: number;
  /** AS to show instead when the peer refuses that one: local-as with dual-as. */
  readonly otherAsn?: number;
  readonly routerId: Ipv4;
  /** Undefined: any AS, for dynamic peers. */
  readonly peerAsn: number | undefined;
  readonly peer: PeerSettings;
  /** Offered in OPEN, in this order. The driver changes them as restarts demand (RFC 4724 R and F bits). */
  readonly capabilities: readonly Capability[];
}

export type SessionEvent =
  | { readonly kind: 'start' }
  /**
   * Administrative stop: NOTIFICATION Cease with this subcode and RFC 9003 text, then Idle until `start`; or until
   * `restartAfterMs` have passed (0: at once), for resets. `keepsRoutes`: of each other, until then (RFC 8538).
   */
  | {
      readonly kind: 'stop';
      readonly subcode: number;
      readonly text?: string;
      readonly restartAfterMs?: Millis;
      readonly keepsRoutes?: boolean;
    }
  /** Our process ends and will be back: connections close without a NOTIFICATION, so that peers keep our routes. */
  | { readonly kind: 'abandon' }
  /**
   * New settings for the next OPEN; the driver adds `stop` and `start` when the session must begin anew. One that is no
   * longer passive dials, and the other way round.
   */
  | { readonly kind: 'configure'; readonly config: SessionConfig }
  /** An outgoing connection succeeded, or the peer connected to us. */
  | { readonly kind: 'connected'; readonly connection: ConnectionId; readonly incoming: boolean }
  | { readonly kind: 'connect-failed'; readonly error: string }
  | { readonly kind: 'closed'; readonly connection: ConnectionId; readonly error: string | undefined }
  | { readonly kind: 'open'; readonly connection: ConnectionId; readonly open: OpenMessage }
  | { readonly kind: 'keepalive'; readonly connection: ConnectionId }
  | { readonly kind: 'notification'; readonly connection: ConnectionId; readonly notification: NotificationMessage }
  /** UPDATE or ROUTE-REFRESH arrived: an FSM error (RFC 6608) unless Established. */
  | { readonly kind: 'heard'; readonly connection: ConnectionId }
  /** What came could not be accepted: this NOTIFICATION must be sent and the connection closed. `problem`: in words. */
  | {
      readonly kind: 'refused';
      readonly connection: ConnectionId;
      readonly notification: NotificationMessage;
      readonly problem?: string;
    }
  /** RFC 9687: the send queue is stuck (send it again after each bit of progress), or empty again. */
  | { readonly kind: 'send-queue'; readonly connection: ConnectionId; readonly blocked: boolean }
  /** A deadline given by nextDeadline() has passed. */
  | { readonly kind: 'timer' };

export type SessionEffect =
  | { readonly kind: 'connect' }
  | { readonly kind: 'cancel-connect' }
  | {
      readonly kind: 'send';
      readonly connection: ConnectionId;
      readonly message: OpenMessage | NotificationMessage | { readonly kind: 'keepalive' };
    }
  /** After what was sent before has left; with `abort`, at once. */
  | { readonly kind: 'close'; readonly connection: ConnectionId; readonly abort?: boolean }
  | { readonly kind: 'established'; readonly connection: ConnectionId; readonly negotiated: Negotiated }
  /** Only after `established`: the session has ended. `keepRoutes`: graceful restart, the routes stay as stale ones. */
  | { readonly kind: 'down'; readonly reason: DownReason; readonly keepRoutes: boolean }
  /** State changes for logs and status, in order. */
  | { readonly kind: 'state'; readonly from: SessionState; readonly to: SessionState; readonly reason?: DownReason };

export type DownReason =
  | { readonly kind: 'stopped'; readonly subcode: number }
  | { readonly kind: 'closed'; readonly error: string | undefined }
  | { readonly kind: 'connect-failed'; readonly error: string }
  | { readonly kind: 'hold-timer-expired' }
  /** RFC 9687: the peer took nothing for this long. */
  | { readonly kind: 'send-hold-timer-expired'; readonly afterMs: Millis }
  | { readonly kind: 'notification-sent'; readonly notification: NotificationMessage; readonly problem?: string }
  | { readonly kind: 'notification-received'; readonly notification: NotificationMessage }
  /** A newer connection from the same peer took over (RFC 4271 §6.8, RFC 4724 §4.2: not a loss of the peer). */
  | { readonly kind: 'replaced' };

/** What both OPENs together allow. */
export interface Negotiated {
  readonly localAsn: number;
  readonly peerAsn: number;
  readonly peerRouterId: Ipv4;
  /** 0: neither keepalives nor a hold timer. */
  readonly holdTimeSec: number;
  readonly keepaliveTimeSec: number;
  readonly families: readonly AddressFamily[];
  readonly fourOctetAs: boolean;
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessage: boolean;
  /** Families in which we may send several paths, and in which we must expect path identifiers. */
  readonly addPathSend: readonly AddressFamily[];
  readonly addPathReceive: readonly AddressFamily[];
  /** RFC 8950 for IPv4 routes. */
  readonly extendedNextHop: boolean;
  /** The peer's graceful-restart capability; undefined when either side left it out. */
  readonly gracefulRestart:
    | {
        readonly restarting: boolean;
        /** RFC 8538: both sides set the N bit. */
        readonly notification: boolean;
        readonly restartTimeSec: number;
        /** Families the peer keeps forwarding state for, among those negotiated; the value is its F bit. */
        readonly families: ReadonlyMap<AddressFamily, boolean>;
      }
    | undefined;
  /** RFC 9494: stale seconds per negotiated family; empty when either side left it out. */
  readonly longLivedStaleSec: ReadonlyMap<AddressFamily, number>;
  readonly peerCapabilities: readonly Capability[];
}

/** The interface of fsm.ts: createSession(config), step, nextDeadline. Session itself is fsm.ts's. */
export interface StepResult<Session> {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

export type Step<Session> = (session: Session, event: SessionEvent, now: Millis, random: number) => StepResult<Session>;
