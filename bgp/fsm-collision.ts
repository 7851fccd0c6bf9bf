// Which of two connections to one peer stays: RFC 4271 §6.8, RFC 6286 §2.3, RFC 4724 §4.2. Pure; fsm.ts acts on it.

import type { Millis } from './edges.ts';
import { type Link, promisesRestart } from './fsm-state.ts';
import type { SessionConfig } from './session-types.ts';
import type { OpenMessage } from './wire/message.ts';

/** A second connection during this first while is a race between the two ends, not a restarted peer. */
const raceMs = 3000;

export interface Collision {
  readonly ours: SessionConfig;
  /** The OPEN that has come on `link`. */
  readonly theirs: OpenMessage;
  readonly now: Millis;
}

/** Seen when the OPEN of `link` has come. */
export function winsCollision(link: Link, rival: Link, { ours, theirs, now }: Collision): boolean {
  // RFC 4724 §4.2: a peer that restarted without our noticing opens anew; the old connection is dead.
  if (isOld(rival, now)) return link.incoming && promisesRestart(rival);
  // Young sessions are compared too (§8.1.1 CollisionDetectEstablishedState): one end may be in Established while the
  // other is not, and by one rule for all states both close the same connection.
  if (link.incoming === rival.incoming) return true;
  const { routerId, localAsn } = ours;
  // RFC 6286 §2.3: with equal identifiers the higher AS number.
  const weAreHigher = routerId === theirs.routerId ? localAsn > theirs.asn : routerId > theirs.routerId;
  return link.incoming !== weAreHigher;
}

export const isOld = (link: Link, now: Millis): boolean => link.phase === 'Established' && now - link.since > raceMs;
