// The session state machine of RFC 4271 §8, with collision detection (§6.8), send hold timer (RFC 9687) and what graceful
// restart makes of a loss (RFC 4724, 8538). Pure: an event and the time go in, a new session and effects come out.
//
// One Session per peer. It may have several TCP connections for a moment: one that we opened, one that the peer opened.
// Each is a Link in its own phase; the session's state is that of its most advanced link:
//
//     Idle ──start──► Connect ⇄ Active        no link: dialing, or waiting for the peer or for the retry timer
//      ▲                 │         │
//      │ error,          ▼ a link  ▼
//      │ idle hold    OpenSent ──OPEN──► OpenConfirm ──KEEPALIVE──► Established
//      └──────────────────┴───────────────────┴─────────────────────────┘
//
// Deviation: a dial that fails goes to Active and waits for the retry timer, where §8.2.2 passes through Idle; seen from
// outside it is the same. Timers are deadlines in the state: nextDeadline() tells the shell when to send `timer`.

import type { Millis } from './edges.ts';
import { isOld, winsCollision } from './fsm-collision.ts';
import { hardReset, isBadPeerAs, isCollision, isProtocolError } from './fsm-notifications.ts';
import {
  createSession,
  establishedLink,
  holdNeedsRestart,
  idleHoldFirstMs,
  keepsRoutes,
  type Link,
  nextDeadline,
  promisesRestart,
  rank,
  type Session,
  shownConfig,
  stateOf,
} from './fsm-state.ts';
import { checkOpen, negotiate, openFor } from './negotiate.ts';
import type { ConnectionId, DownReason, SessionConfig, SessionEffect, SessionEvent } from './session-types.ts';
import type { NotificationMessage, OpenMessage } from './wire/message.ts';
import { CeaseSubcode, carriesText, ErrorCode, FsmSubcode, notification, shutdownData } from './wire/notification.ts';

export { createSession, establishedLink, type Link, nextDeadline, type Session };

export interface FsmResult {
  readonly session: Session;
  readonly effects: readonly SessionEffect[];
}

/** §4.2: "a large value", before the hold time is agreed. */
export const openHoldMs = 240_000;
const idleHoldLimitMs = 30_000;
/** A session that lasted this long ends a row of errors. */
const stableMs = 60_000;
/** After the loss of a session: soon, but not all peers of a dead router in the same moment. */
const reconnectMs = 500;
const firstRetryMs = 500;

/** RFC 9687 §3.2: at least eight minutes, at least twice the hold time. */
export const sendHoldMs = (holdTimeSec: number): Millis => Math.max(480_000, 2000 * holdTimeSec);

/** `random` is at least 0 and less than 1; it spreads the timers (§10). Events of unknown connections do nothing. */
export function step(session: Session, event: SessionEvent, now: Millis, random: number): FsmResult {
  // The hot path: most messages change nothing but the hold timer, and that only now and then.
  if (event.kind === 'heard' || event.kind === 'keepalive') {
    const link = session.links.find(({ id }) => id === event.connection);
    if (link?.phase === 'Established' && !holdNeedsRestart(link, now)) return { session, effects: [] };
  }
  const machine = new Machine(session, now, random);
  machine.handle(event);
  return machine.result();
}

type LinkEvent = Extract<SessionEvent, { readonly connection: ConnectionId }>;

/** One step: a draft of the next session, and the effects so far. */
class Machine {
  readonly #before: Session;
  readonly #now: Millis;
  readonly #random: number;
  readonly #effects: SessionEffect[] = [];
  #reason: DownReason | undefined;
  #session: Session;

  constructor(session: Session, now: Millis, random: number) {
    this.#before = session;
    this.#session = session;
    this.#now = now;
    this.#random = random;
  }

  result(): FsmResult {
    const [from, to] = [this.#before.state, stateOf(this.#session)];
    if (from !== to) {
      this.#set({ state: to, stateSince: this.#now });
      this.#effects.push({ kind: 'state', from, to, ...(this.#reason ? { reason: this.#reason } : {}) });
    }
    return { session: this.#session, effects: this.#effects };
  }

  handle(event: SessionEvent): void {
    switch (event.kind) {
      case 'start':
        this.#start();
        break;
      case 'stop':
        this.#stop(event);
        break;
      case 'abandon':
        this.#abandon();
        break;
      case 'configure':
        this.#configure(event.config);
        break;
      case 'timer':
        this.#timer();
        break;
      case 'connect-failed':
        this.#connectFailed(event.error);
        break;
      case 'connected':
        if (event.incoming) this.#accepted(event.connection);
        else this.#connected(event.connection);
        break;
      default: {
        const link = this.#session.links.find(({ id }) => id === event.connection);
        if (link) this.#onLink(link, event);
      }
    }
  }

  #onLink(link: Link, event: Exclude<LinkEvent, { readonly kind: 'connected' }>): void {
    switch (event.kind) {
      case 'closed':
        this.#lose(link, { kind: 'closed', error: event.error });
        break;
      case 'open':
        this.#open(link, event.open);
        break;
      case 'keepalive':
      case 'heard':
        this.#heard(link, event.kind);
        break;
      case 'notification':
        this.#close(link);
        this.#lose(link, { kind: 'notification-received', notification: event.notification });
        break;
      case 'refused':
        this.#fail(link, event.notification, event.problem);
        break;
      case 'send-queue': {
        const { sendHoldUntil: _, ...rest } = link;
        const sendHoldUntil = this.#now + sendHoldMs(link.negotiated?.holdTimeSec ?? 0);
        this.#replace(link, event.blocked ? { ...rest, sendHoldUntil } : rest);
        break;
      }
    }
  }

  // Events of the whole session.

  #start(): void {
    if (this.#session.running) return;
    this.#set({ running: true, connectRetryCounter: 0, idleHoldMs: idleHoldFirstMs });
    this.#leaveIdle();
  }

  #configure(config: SessionConfig): void {
    const wasPassive = this.#session.config.peer.passive;
    this.#set({ config });
    const { running, idleUntil, links, dialing } = this.#session;
    const isWaiting = running && idleUntil === undefined && links.length === 0 && !dialing;
    if (wasPassive && !config.peer.passive && isWaiting) this.#dial();
    if (!wasPassive && config.peer.passive) this.#cancelDial();
  }

  #leaveIdle(): void {
    this.#set({ idleUntil: undefined });
    if (!this.#session.config.peer.passive) this.#dial();
  }

  #dial(): void {
    this.#set({ dialing: true, connectRetryAt: this.#now + this.#spread(this.#connectRetryMs()) });
    this.#effects.push({ kind: 'connect' });
  }

  #cancelDial(): void {
    if (this.#session.dialing) this.#effects.push({ kind: 'cancel-connect' });
    this.#set({ dialing: false, connectRetryAt: undefined });
  }

  #stop({
    subcode,
    text,
    restartAfterMs,
    keepsRoutes = false,
  }: Extract<SessionEvent, { readonly kind: 'stop' }>): void {
    this.#cancelDial();
    const reason: DownReason = { kind: 'stopped', subcode };
    const ceased = notification(
      ErrorCode.cease,
      subcode,
      text && carriesText(subcode) ? shutdownData(text) : undefined,
    );
    for (const link of this.#session.links) {
      // RFC 8538 §3: to a peer that takes a NOTIFICATION for a restart, say that this time it is meant.
      const sent = link.negotiated?.gracefulRestart?.notification && !keepsRoutes ? hardReset(ceased) : ceased;
      if (link.phase !== 'DelayOpen') this.#send(link, sent);
      this.#close(link);
      if (link.phase === 'Established') {
        this.#effects.push({ kind: 'down', reason, keepRoutes: keepsRoutes && promisesRestart(link) });
      }
    }
    const again = this.#session.running && restartAfterMs !== undefined;
    if (this.#session.running) this.#remember(reason);
    this.#set({
      links: [],
      running: again,
      idleUntil: again ? this.#now + restartAfterMs : undefined,
      connectRetryCounter: 0,
    });
  }

  #abandon(): void {
    this.#cancelDial();
    for (const link of this.#session.links) this.#close(link);
    if (establishedLink(this.#session)) {
      this.#effects.push({ kind: 'down', reason: { kind: 'closed', error: undefined }, keepRoutes: true });
    }
    this.#set({ links: [], running: false, idleUntil: undefined });
  }

  #timer(): void {
    const due = (at: Millis | undefined): boolean => at !== undefined && at <= this.#now;
    if (due(this.#session.idleUntil)) this.#leaveIdle();
    if (due(this.#session.connectRetryAt)) this.#retry();
    for (const link of this.#session.links) {
      if (due(link.openAt)) this.#sendOpen(link);
      else if (due(link.holdUntil)) this.#holdExpired(link);
      else if (due(link.sendHoldUntil)) this.#sendHoldExpired(link);
      else if (due(link.keepaliveAt)) this.#sendKeepalive(link);
    }
  }

  #retry(): void {
    if (this.#session.dialing) {
      this.#effects.push({ kind: 'cancel-connect' });
      this.#remember({ kind: 'connect-failed', error: 'ETIMEDOUT' });
      this.#set({ connectRetryCounter: this.#session.connectRetryCounter + 1 });
    }
    this.#dial();
  }

  #connectFailed(error: string): void {
    if (!this.#session.dialing) return;
    this.#remember({ kind: 'connect-failed', error });
    this.#set({
      dialing: false,
      connectRetryAt: this.#session.links.length === 0 ? this.#retryAt() : undefined,
      connectRetryCounter: this.#session.connectRetryCounter + 1,
    });
  }

  #connected(id: ConnectionId): void {
    if (!this.#session.dialing) {
      this.#effects.push({ kind: 'close', connection: id, abort: true });
      return;
    }
    this.#set({ dialing: false, connectRetryAt: undefined });
    this.#addLink(id, false);
  }

  #accepted(id: ConnectionId): void {
    const { running, idleUntil, links } = this.#session;
    if (!running || idleUntil !== undefined) {
      const message = notification(ErrorCode.cease, CeaseSubcode.connectionRejected);
      this.#effects.push({ kind: 'send', connection: id, message });
      this.#effects.push({ kind: 'close', connection: id });
      return;
    }
    // The peer gave up on its earlier attempt, whether or not we have heard of it.
    const older = links.find((link) => link.incoming && link.phase !== 'Established');
    if (older) this.#dropRival(older);
    // A dial under way goes on: if both ends stopped theirs now, none would be left (§6.8 decides after OPEN).
    if (!this.#session.dialing) this.#set({ connectRetryAt: undefined });
    this.#addLink(id, true);
  }

  #addLink(id: ConnectionId, incoming: boolean): void {
    const link: Link = { id, incoming, phase: 'DelayOpen', since: this.#now };
    this.#set({ links: [...this.#session.links, link] });
    const { delayOpenSec = 0 } = this.#session.config.peer;
    if (delayOpenSec === 0) this.#sendOpen(link);
    else this.#replace(link, { ...link, openAt: this.#now + delayOpenSec * 1000 });
  }

  #sendOpen(link: Link): Link {
    const { openAt: _, ...rest } = link;
    const next: Link = { ...rest, phase: 'OpenSent', since: this.#now, holdUntil: this.#now + openHoldMs };
    this.#replace(link, next);
    this.#send(link, openFor(shownConfig(this.#session)));
    return next;
  }

  // Events of one link.

  #open(link: Link, open: OpenMessage): void {
    if (link.phase === 'OpenConfirm' || link.phase === 'Established') {
      this.#unexpected(link, 'a second OPEN');
      return;
    }
    const config = shownConfig(this.#session);
    const current = link.phase === 'DelayOpen' ? this.#sendOpen(link) : link;
    const refused = checkOpen(config, open);
    if (refused) {
      this.#fail(current, refused.notification, refused.problem);
      return;
    }
    const rivals = this.#session.links.filter(({ id, phase }) => id !== link.id && rank[phase] >= rank.OpenConfirm);
    if (!rivals.every((rival) => winsCollision(current, rival, { ours: config, theirs: open, now: this.#now }))) {
      this.#dropRival(current);
      return;
    }
    // The losers stay for now. The peer may be in Established on one of them already, and then most speakers close this
    // connection without comparing (§6.8): if we closed the other one, none would be left.
    const wonAgainst = rivals.map(({ id }) => id);
    const negotiated = negotiate(config, open);
    const { holdUntil: _, ...rest } = current;
    const next: Link = { ...rest, phase: 'OpenConfirm', since: this.#now, negotiated, wonAgainst };
    this.#replace(current, this.#withHold(next));
    this.#sendKeepalive(next);
  }

  #dropRival(link: Link): void {
    if (isOld(link, this.#now)) {
      // No NOTIFICATION (RFC 4724 §4.2): it would end the graceful restart.
      this.#effects.push({ kind: 'close', connection: link.id, abort: true });
    } else {
      if (link.phase !== 'DelayOpen') {
        this.#send(link, notification(ErrorCode.cease, CeaseSubcode.connectionCollision));
      }
      this.#close(link);
    }
    if (link.phase === 'Established') {
      this.#effects.push({ kind: 'down', reason: { kind: 'replaced' }, keepRoutes: promisesRestart(link) });
    }
    this.#set({ links: this.#session.links.filter(({ id }) => id !== link.id) });
  }

  #heard(link: Link, what: 'keepalive' | 'heard'): void {
    if (link.phase === 'Established') this.#replace(link, this.#withHold(link));
    else if (link.phase === 'OpenConfirm' && what === 'keepalive') this.#establish(link);
    else this.#unexpected(link, what === 'keepalive' ? 'KEEPALIVE before OPEN' : 'a routing message too early');
  }

  /** RFC 6608: the subcode tells the peer which state we were in. */
  #unexpected(link: Link, problem: string): void {
    if (link.phase === 'DelayOpen') {
      // §8.2.2: we have not introduced ourselves, so there is nothing to answer with.
      this.#close(link);
      this.#lose(link, { kind: 'closed', error: 'EPROTO' });
      return;
    }
    const subcodes = {
      OpenSent: FsmSubcode.openSent,
      OpenConfirm: FsmSubcode.openConfirm,
      Established: FsmSubcode.established,
    } as const;
    this.#fail(link, notification(ErrorCode.finiteStateMachine, subcodes[link.phase]), problem);
  }

  #establish(link: Link): void {
    const { negotiated } = link;
    if (!negotiated) return;
    this.#cancelDial();
    // A rival in OpenSent stays until its OPEN has come, one that won against this until its KEEPALIVE has: the peer may
    // have seen that one first, and decided for it.
    for (const rival of this.#session.links) {
      if (rival.phase === 'DelayOpen' || link.wonAgainst?.includes(rival.id)) this.#dropRival(rival);
    }
    const { wonAgainst: _, ...rest } = link;
    this.#replace(link, this.#withHold({ ...rest, phase: 'Established', since: this.#now }));
    this.#set({ timesEstablished: this.#session.timesEstablished + 1 });
    this.#effects.push({ kind: 'established', connection: link.id, negotiated });
  }

  /** Ends a link because of an error that we tell the peer. */
  #fail(link: Link, sent: NotificationMessage, problem?: string): void {
    if (link.phase !== 'DelayOpen') this.#send(link, sent);
    this.#close(link);
    this.#lose(link, { kind: 'notification-sent', notification: sent, ...(problem ? { problem } : {}) });
  }

  #holdExpired(link: Link): void {
    this.#send(link, notification(ErrorCode.holdTimerExpired, 0));
    this.#close(link);
    this.#lose(link, { kind: 'hold-timer-expired' });
  }

  #sendHoldExpired(link: Link): void {
    // A NOTIFICATION could not get through either (RFC 9687 §3.3).
    this.#effects.push({ kind: 'close', connection: link.id, abort: true });
    this.#lose(link, { kind: 'send-hold-timer-expired', afterMs: sendHoldMs(link.negotiated?.holdTimeSec ?? 0) });
  }

  /** The link is gone, its connection closed or closing: what becomes of the session. */
  #lose(link: Link, reason: DownReason): void {
    const wasEstablished = link.phase === 'Established';
    const lasted = wasEstablished && this.#now - link.since >= stableMs;
    const collided = reason.kind === 'notification-received' && isCollision(reason.notification);
    if (!collided) this.#remember(reason);
    this.#set({ links: this.#session.links.filter(({ id }) => id !== link.id) });
    if (wasEstablished) {
      this.#effects.push({ kind: 'down', reason, keepRoutes: keepsRoutes(link, reason) });
    }
    if (lasted) this.#set({ idleHoldMs: idleHoldFirstMs, connectRetryCounter: 0 });
    if (this.#session.links.length > 0 || this.#session.dialing) return;
    const triesOtherAsn = this.#turnToOtherAsn(reason);
    const retryAt = lasted || collided || triesOtherAsn ? this.#soon() : this.#retryAt();
    this.#set({ connectRetryCounter: this.#session.connectRetryCounter + 1 });
    if (isProtocolError(reason) && !triesOtherAsn) this.#holdIdle();
    else if (!this.#session.config.peer.passive) this.#set({ connectRetryAt: retryAt });
  }

  /** Dual-as: a peer that refuses one AS may expect the other. True when that one has not been refused just before. */
  #turnToOtherAsn(reason: DownReason): boolean {
    const { config, showsOtherAsn } = this.#session;
    if (config.otherAsn === undefined || !isBadPeerAs(reason)) return false;
    this.#set({ showsOtherAsn: !showsOtherAsn });
    return !showsOtherAsn;
  }

  #holdIdle(): void {
    const { idleHoldMs } = this.#session;
    this.#set({
      connectRetryAt: undefined,
      idleUntil: this.#now + this.#spread(idleHoldMs),
      idleHoldMs: Math.min(idleHoldMs * 2, idleHoldLimitMs),
    });
  }

  // Small parts.

  #set(change: Partial<Session>): void {
    this.#session = { ...this.#session, ...change };
  }

  #replace(link: Link, next: Link): void {
    this.#set({ links: this.#session.links.map((one) => (one.id === link.id ? next : one)) });
  }

  #withHold(link: Link): Link {
    const holdMs = (link.negotiated?.holdTimeSec ?? 0) * 1000;
    return holdMs === 0 ? link : { ...link, holdUntil: this.#now + holdMs };
  }

  #sendKeepalive(link: Link): void {
    this.#send(link, { kind: 'keepalive' });
    const keepaliveMs = (link.negotiated?.keepaliveTimeSec ?? 0) * 1000;
    const current = this.#session.links.find(({ id }) => id === link.id);
    if (current && keepaliveMs > 0) {
      this.#replace(current, { ...current, keepaliveAt: this.#now + this.#spread(keepaliveMs) });
    }
  }

  #send(link: Link, message: OpenMessage | NotificationMessage | { readonly kind: 'keepalive' }): void {
    this.#effects.push({ kind: 'send', connection: link.id, message });
  }

  #close(link: Link): void {
    this.#effects.push({ kind: 'close', connection: link.id });
  }

  #remember(reason: DownReason): void {
    this.#reason = reason;
    const lastError = { reason, at: this.#now, state: this.#before.state };
    const notified = reason.kind === 'notification-received' || reason.kind === 'notification-sent';
    this.#set(notified ? { lastError, lastNotification: lastError } : { lastError });
  }

  /** §10: between three quarters and the whole of the time. */
  #spread(time: Millis): Millis {
    return time * (0.75 + 0.25 * this.#random);
  }

  #connectRetryMs = (): Millis => this.#session.config.peer.connectRetrySec * 1000;

  /** The first tries follow each other faster: a peer that restarts is not ready at once, but soon. */
  #retryAt(): Millis {
    const base = Math.min(this.#connectRetryMs(), firstRetryMs * 2 ** this.#session.connectRetryCounter);
    return this.#now + this.#spread(base);
  }

  #soon = (): Millis => this.#now + reconnectMs * this.#random;
}
