// The state of one peer's session, and what can be read from it: RFC 4271 §8. fsm.ts changes it.

import type { Millis } from './edges.ts';
import type { ConnectionId, DownReason, Negotiated, SessionConfig, SessionState } from './session-types.ts';
import type { NotificationMessage } from './wire/message.ts';
import { CeaseSubcode, ErrorCode } from './wire/notification.ts';

export interface Link {
  readonly id: ConnectionId;
  readonly incoming: boolean;
  /** DelayOpen: connected, our OPEN not sent yet (§8.1.1). */
  readonly phase: 'DelayOpen' | 'OpenSent' | 'OpenConfirm' | 'Established';
  readonly since: Millis;
  readonly openAt?: Millis;
  readonly holdUntil?: Millis;
  readonly keepaliveAt?: Millis;
  readonly sendHoldUntil?: Millis;
  readonly negotiated?: Negotiated;
  /** Connections that it won against (§6.8), and that end as soon as the peer's KEEPALIVE shows that it decided alike. */
  readonly wonAgainst?: readonly ConnectionId[];
}

export interface Session {
  readonly config: SessionConfig;
  readonly state: SessionState;
  readonly stateSince: Millis;
  /** Started by its owner; false is administratively down. */
  readonly running: boolean;
  readonly dialing: boolean;
  readonly links: readonly Link[];
  readonly connectRetryAt: Millis | undefined;
  /** §8.1.3 IdleHoldTimer: no attempts and no accepts before this, after an error. */
  readonly idleUntil: Millis | undefined;
  /** The next idle hold; doubles with each error, and starts again after a session that lasted. */
  readonly idleHoldMs: Millis;
  readonly connectRetryCounter: number;
  readonly timesEstablished: number;
  /** The peer refused localAsn, so that otherAsn is tried. */
  readonly showsOtherAsn: boolean;
  /** Why it is down, or why it was last: kept while the session is up again. */
  readonly lastError: SessionError | undefined;
  /** The last NOTIFICATION sent or received: it says more than the refused connections that follow it. */
  readonly lastNotification: SessionError | undefined;
}

export interface SessionError {
  readonly at: Millis;
  readonly state: SessionState;
  readonly reason: DownReason;
}

export const idleHoldFirstMs = 1000;

export function createSession(config: SessionConfig, now: Millis = 0): Session {
  return {
    config,
    state: 'Idle',
    stateSince: now,
    running: false,
    dialing: false,
    links: [],
    connectRetryAt: undefined,
    idleUntil: undefined,
    idleHoldMs: idleHoldFirstMs,
    connectRetryCounter: 0,
    timesEstablished: 0,
    showsOtherAsn: false,
    lastError: undefined,
    lastNotification: undefined,
  };
}

/** The settings with the AS that we show at present. */
export function shownConfig({ config, showsOtherAsn }: Session): SessionConfig {
  const { otherAsn: asn } = config;
  if (asn === undefined || !showsOtherAsn) return config;
  const capabilities = config.capabilities.map((one) => (one.kind === 'four-octet-as' ? { ...one, asn } : one));
  return { ...config, localAsn: asn, capabilities };
}

/** A link's phases in order. */
export const rank = { DelayOpen: 0, OpenSent: 1, OpenConfirm: 2, Established: 3 } as const;

export function stateOf(session: Session): SessionState {
  const leading = leadingLink(session.links);
  if (leading && leading.phase !== 'DelayOpen') return leading.phase;
  if (session.dialing || (leading && !leading.incoming)) return 'Connect';
  return session.running && session.idleUntil === undefined ? 'Active' : 'Idle';
}

const leadingLink = (links: readonly Link[]): Link | undefined =>
  links.reduce<Link | undefined>(
    (best, link) => (best && rank[best.phase] >= rank[link.phase] ? best : link),
    undefined,
  );

export const establishedLink = (session: Session): Link | undefined =>
  session.links.find((link) => link.phase === 'Established');

/** When the shell has to send `tick`; undefined: not before something else happens. */
export function nextDeadline(session: Session): Millis | undefined {
  let earliest = Math.min(session.connectRetryAt ?? Infinity, session.idleUntil ?? Infinity);
  for (const { openAt, holdUntil, keepaliveAt, sendHoldUntil } of session.links) {
    earliest = Math.min(
      earliest,
      openAt ?? Infinity,
      holdUntil ?? Infinity,
      keepaliveAt ?? Infinity,
      sendHoldUntil ?? Infinity,
    );
  }
  return earliest === Infinity ? undefined : earliest;
}

/** Restarting the timer by less than a part of the hold time is not worth a new object per message. */
export const holdNeedsRestart = ({ holdUntil, negotiated }: Link, now: Millis): boolean =>
  holdUntil !== undefined &&
  negotiated !== undefined &&
  now + negotiated.holdTimeSec * 1000 - holdUntil > negotiated.holdTimeSec * 30;

/** The peer promised to keep forwarding while it restarts, for at least one family. */
export const promisesRestart = (link: Link): boolean => (link.negotiated?.gracefulRestart?.families.size ?? 0) > 0;

/** RFC 4724 §4.2: a plain loss. RFC 8538 §3: with the N bit, any NOTIFICATION but a hard reset too. */
export function keepsRoutes(link: Link, reason: DownReason): boolean {
  if (!promisesRestart(link)) return false;
  const notificationIsRestart = link.negotiated?.gracefulRestart?.notification ?? false;
  switch (reason.kind) {
    case 'closed':
    case 'replaced':
    case 'connect-failed':
      return true;
    case 'notification-received':
      return notificationIsRestart && !isHardReset(reason.notification);
    case 'notification-sent':
    case 'hold-timer-expired':
    case 'send-hold-timer-expired':
      return notificationIsRestart;
    case 'stopped':
      return false;
  }
}

const isHardReset = ({ code, subcode }: NotificationMessage): boolean =>
  code === ErrorCode.cease && subcode === CeaseSubcode.hardReset;
