// One BFD session: RFC 5880 §6.8, asynchronous mode without echo. Pure: an event and the time go in, a new session and
// effects come out. Times are milliseconds here, microseconds on the wire.
//
//     Down ──Down──► Init ──Init, Up──► Up          the event is the state in the peer's packet
//      ▲ └───Init──────────────────────► ▲
//      └── detection time expired, AdminDown, or (from Up) Down ──┘

import type { Millis } from '../edges.ts';
import { type BfdPacket, type BfdState, Diagnostic } from './packet.ts';

export interface BfdTiming {
  /** As fast as we want to send, and as fast as we can receive. */
  readonly minTxMs: Millis;
  readonly minRxMs: Millis;
  /** Packets in a row that may be lost. */
  readonly multiplier: number;
}

export interface BfdSession {
  readonly timing: BfdTiming;
  /** What the C bit says of us: BFD goes on when the routing process dies (§4.1). */
  readonly independent: boolean;
  readonly discriminator: number;
  readonly state: BfdState;
  readonly diagnostic: number;
  readonly remoteState: BfdState;
  readonly remoteDiscriminator: number;
  readonly remoteDiagnostic: number;
  readonly remoteMinTxMs: Millis;
  readonly remoteMinRxMs: Millis;
  readonly remoteMultiplier: number;
  readonly remoteDemand: boolean;
  /** The peer's C bit. */
  readonly remoteIndependent: boolean;
  /** A poll sequence is under way: P is set until F comes (§6.5). */
  readonly polling: boolean;
  /** What the peer has acknowledged; a slower pace takes effect only then (§6.8.3). */
  readonly agreedMinTxMs: Millis;
  readonly agreedMinRxMs: Millis;
  readonly sendAt: Millis;
  /** Down at this time unless a packet comes; undefined before the first one. */
  readonly detectAt: Millis | undefined;
}

export type BfdEvent =
  | { readonly kind: 'packet'; readonly packet: BfdPacket }
  | { readonly kind: 'timer' }
  | { readonly kind: 'admin'; readonly down: boolean }
  | { readonly kind: 'timing'; readonly timing: BfdTiming };

export type BfdEffect =
  | { readonly kind: 'send'; readonly packet: BfdPacket }
  | { readonly kind: 'state'; readonly from: BfdState; readonly to: BfdState; readonly diagnostic: number };

export interface BfdStep {
  readonly session: BfdSession;
  readonly effects: readonly BfdEffect[];
}

/** §6.8.3: no faster than one packet a second while the session is not up. */
const slowMs = 1000;

export const createBfdSession = (
  discriminator: number,
  timing: BfdTiming,
  now: Millis,
  independent = false,
): BfdSession => ({
  timing,
  independent,
  discriminator,
  state: 'Down',
  diagnostic: Diagnostic.none,
  remoteState: 'Down',
  remoteDiscriminator: 0,
  remoteDiagnostic: Diagnostic.none,
  remoteMinTxMs: slowMs,
  // §6.8.1: 1 microsecond at first.
  remoteMinRxMs: 0.001,
  remoteMultiplier: 1,
  remoteDemand: false,
  remoteIndependent: false,
  polling: false,
  agreedMinTxMs: slowMs,
  agreedMinRxMs: timing.minRxMs,
  sendAt: now,
  detectAt: undefined,
});

export const bfdDeadline = (session: BfdSession): Millis => Math.min(session.sendAt, session.detectAt ?? Infinity);

/** Whether the silence has lasted for too long. */
export const isOverdue = ({ detectAt }: BfdSession, now: Millis): boolean => detectAt !== undefined && detectAt <= now;

/** §6.8.4: how long silence may last. */
export const detectionMs = (session: BfdSession): Millis =>
  session.remoteMultiplier * Math.max(session.agreedMinRxMs, session.remoteMinTxMs);

export function stepBfd(session: BfdSession, event: BfdEvent, now: Millis, random: number): BfdStep {
  switch (event.kind) {
    case 'packet':
      return onPacket(session, event.packet, now, random);
    case 'timer':
      return onTimer(session, now, random);
    case 'admin':
      return onAdmin(session, event.down, now, random);
    case 'timing':
      return { session: withTiming({ ...session, timing: event.timing }), effects: [] };
  }
}

function onPacket(before: BfdSession, packet: BfdPacket, now: Millis, random: number): BfdStep {
  if (before.state === 'AdminDown') return { session: before, effects: [] };
  let session: BfdSession = {
    ...before,
    remoteState: packet.state,
    remoteDiscriminator: packet.myDiscriminator,
    remoteDiagnostic: packet.diagnostic,
    remoteMinTxMs: packet.desiredMinTxUs / 1000,
    remoteMinRxMs: packet.requiredMinRxUs / 1000,
    remoteMultiplier: packet.multiplier,
    remoteDemand: packet.demand,
    remoteIndependent: packet.controlPlaneIndependent,
  };
  if (packet.final && session.polling) {
    session = {
      ...session,
      polling: false,
      agreedMinTxMs: wantedMinTxMs(session),
      agreedMinRxMs: session.timing.minRxMs,
    };
  }
  session = { ...session, ...transition(session, packet.state) };
  if (session.state !== before.state) session = withTiming(session);
  const effects: BfdEffect[] = changeOf(before, session);
  session = { ...session, detectAt: now + detectionMs(session) };
  const sooner = now + transmitMs(session, random);
  // The peer may have asked for a quicker pace; a packet that is due earlier stays due.
  if (sooner < session.sendAt) session = { ...session, sendAt: sooner };
  if (packet.poll) effects.push({ kind: 'send', packet: { ...packetOf(session), poll: false, final: true } });
  // §6.8.7 lets us tell a new state at once, which brings the session up without waiting for two slow timers.
  if (session.state !== before.state) return sendNow(session, effects, now, random);
  return { session, effects };
}

/** §6.8.6, the state table. */
function transition(session: BfdSession, remote: BfdState): Pick<BfdSession, 'state' | 'diagnostic'> {
  const { state, diagnostic } = session;
  const down = { state: 'Down', diagnostic: Diagnostic.neighborSignaledDown } as const;
  if (remote === 'AdminDown') return state === 'Down' ? { state, diagnostic } : down;
  switch (state) {
    case 'Down':
      if (remote === 'Down') return { state: 'Init', diagnostic: Diagnostic.none };
      return remote === 'Init' ? { state: 'Up', diagnostic: Diagnostic.none } : { state, diagnostic };
    case 'Init':
      return remote === 'Init' || remote === 'Up'
        ? { state: 'Up', diagnostic: Diagnostic.none }
        : { state, diagnostic };
    case 'Up':
      return remote === 'Down' ? down : { state, diagnostic };
    case 'AdminDown':
      return { state, diagnostic };
  }
}

function onTimer(before: BfdSession, now: Millis, random: number): BfdStep {
  let session = before;
  const effects: BfdEffect[] = [];
  if (isOverdue(session, now)) {
    const wasUnderWay = session.state === 'Init' || session.state === 'Up';
    session = {
      ...session,
      detectAt: undefined,
      // §6.8.1: the peer may be another one, or the same with another number, when it comes back.
      remoteDiscriminator: 0,
      remoteMinRxMs: 0.001,
      ...(wasUnderWay ? { state: 'Down', diagnostic: Diagnostic.detectionTimeExpired } : {}),
    };
    if (session.state !== before.state) {
      session = withTiming(session);
      effects.push(...changeOf(before, session));
      return sendNow(session, effects, now, random);
    }
  }
  if (session.sendAt > now) return { session, effects };
  return sendNow(session, effects, now, random);
}

function onAdmin(before: BfdSession, down: boolean, now: Millis, random: number): BfdStep {
  if (down === (before.state === 'AdminDown')) return { session: before, effects: [] };
  const session = withTiming({
    ...before,
    state: down ? 'AdminDown' : 'Down',
    diagnostic: down ? Diagnostic.administrativelyDown : Diagnostic.none,
    detectAt: undefined,
  });
  return sendNow(session, changeOf(before, session), now, random);
}

function changeOf(before: BfdSession, session: BfdSession): BfdEffect[] {
  if (before.state === session.state) return [];
  const { diagnostic } = session;
  return [{ kind: 'state', from: before.state, to: session.state, diagnostic }];
}

const wantedMinTxMs = ({ state, timing }: BfdSession): Millis =>
  state === 'Up' ? timing.minTxMs : Math.max(slowMs, timing.minTxMs);

/** §6.8.3: a change of pace is agreed by a poll while the session is up; what makes us stricter waits for the answer. */
function withTiming(session: BfdSession): BfdSession {
  const minTxMs = wantedMinTxMs(session);
  const { minRxMs } = session.timing;
  if (session.state !== 'Up') {
    return { ...session, polling: false, agreedMinTxMs: minTxMs, agreedMinRxMs: minRxMs };
  }
  return {
    ...session,
    polling: true,
    // Sending more often and waiting longer harm nobody, so they begin at once.
    agreedMinTxMs: Math.min(session.agreedMinTxMs, minTxMs),
    agreedMinRxMs: Math.max(session.agreedMinRxMs, minRxMs),
  };
}

/** §6.8.7: 75 to 100 % of the interval, at most 90 % when one lost packet ends the session. */
function transmitMs(session: BfdSession, random: number): Millis {
  const interval = Math.max(session.agreedMinTxMs, session.remoteMinRxMs);
  return interval * (0.75 + (session.timing.multiplier === 1 ? 0.15 : 0.25) * random);
}

function sendNow(session: BfdSession, effects: readonly BfdEffect[], now: Millis, random: number): BfdStep {
  const next = { ...session, sendAt: now + transmitMs(session, random) };
  // §6.8.7: a peer that wants no packets, or only on demand while all is up, gets none.
  const silent =
    (session.remoteMinRxMs === 0 && session.remoteDiscriminator !== 0) ||
    (session.remoteDemand && session.state === 'Up' && session.remoteState === 'Up' && !session.polling);
  return { session: next, effects: silent ? effects : [...effects, { kind: 'send', packet: packetOf(session) }] };
}

const packetOf = (session: BfdSession): BfdPacket => ({
  diagnostic: session.diagnostic,
  state: session.state,
  poll: session.polling,
  final: false,
  controlPlaneIndependent: session.independent,
  authenticated: false,
  demand: false,
  multiplier: session.timing.multiplier,
  myDiscriminator: session.discriminator,
  yourDiscriminator: session.remoteDiscriminator,
  desiredMinTxUs: Math.round(wantedMinTxMs(session) * 1000),
  requiredMinRxUs: Math.round(session.timing.minRxMs * 1000),
  requiredMinEchoRxUs: 0,
});
