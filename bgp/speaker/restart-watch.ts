// The restarting side of graceful restart (RFC 4724 §4.1): for how long this speaker, fresh from its start, holds back its
// End-of-RIB markers and leaves its predecessor's routes in the kernel.
//
// It waits for the peers that will send something: those whose session is up and who promised End-of-RIB, and for a few
// seconds those that may yet connect, also when an attempt has failed. Peers that are dead, restart themselves, or never promised it, are not waited for:
// otherwise a few dead nodes keep everybody waiting for minutes.

import type { Millis } from '../edges.ts';
import type { Peer } from './peer.ts';

/** How long a peer that is not up may take. */
const CONNECT_GRACE_MS = 8000;

export class RestartWatch {
  readonly #graceUntil: Millis;
  readonly #end: Millis;
  readonly #onOver: () => void;
  #checkedAt: Millis;
  isOver = false;

  constructor(now: Millis, restartTimeSec: number, onOver: () => void) {
    this.#checkedAt = now;
    this.#end = now + restartTimeSec * 1000;
    this.#graceUntil = Math.min(this.#end, now + CONNECT_GRACE_MS);
    this.#onOver = onOver;
  }

  /** When check() has to be called at the latest. */
  get deadline(): Millis {
    if (this.isOver) return Infinity;
    return this.#checkedAt < this.#graceUntil ? this.#graceUntil : this.#end;
  }

  check(now: Millis, peers: Iterable<Peer>): void {
    if (this.isOver) return;
    this.#checkedAt = now;
    if (now < this.#end) for (const peer of peers) if (this.#isAwaited(peer, now)) return;
    this.isOver = true;
    this.#onOver();
  }

  #isAwaited(peer: Peer, now: Millis): boolean {
    const { negotiated, mode } = peer;
    if (mode === 'on-hold') return false;
    // A failed attempt says little: a peer that has just lost us may refuse for some seconds before it calls.
    if (!negotiated) return now < this.#graceUntil;
    const { gracefulRestart } = negotiated;
    return gracefulRestart !== undefined && !gracefulRestart.restarting && !peer.isComplete;
  }
}
