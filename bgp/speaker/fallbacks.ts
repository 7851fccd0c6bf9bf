// Between two nodes of both families one session carries both (RFC 4760). Whether it does is known only when it is up: a BIRD
// of Calico's, or an older node of ours, has a session for each family. So the session over IPv6 is wanted as well, as the
// fallback of the one over IPv4, and used only while that one does not carry its family:
//
//     the other session …        the fallback …
//     carries the family         is on hold: connections are refused, and nobody is told of it
//     is up without it           is a session as any other
//     is down                    listens; after the head start it calls too, for IPv4 alone may be broken
//
// Nothing is lost on the way from two sessions to one and back. The fallback goes on hold when the other session has brought
// all routes of its family (End-of-RIB); its end is no hard reset, so that a peer which is not as far keeps its routes (RFC
// 8538). And what the other session knew of the family stays, stale, until the fallback has brought it (RFC 4724).

import type { Millis } from '../edges.ts';
import type { AddressFamily } from '../settings.ts';
import { CeaseSubcode } from '../wire/notification.ts';
import type { Peer, PeerMode } from './peer.ts';

/** Two nodes that start together have their first session within this time. */
export const headStartMs: Millis = 5000;
/** A peer that does not say End-of-RIB has said everything by then. */
const completeAfterMs: Millis = 30_000;

export interface FallbackHost {
  now(): Millis;
  wantTimer(deadline: Millis): void;
  /** A fallback went on hold, or is on hold no more. */
  onHoldChanged(): void;
}

interface Pair {
  readonly fallback: Peer;
  readonly other: Peer;
  /** Until when the fallback only listens. */
  callsAt: Millis;
  reviewAt: Millis;
}

export class Fallbacks {
  readonly #host: FallbackHost;
  /** By the names of both. */
  readonly #pairs = new Map<string, Pair>();

  constructor(host: FallbackHost) {
    this.#host = host;
  }

  configure(peers: ReadonlyMap<string, Peer>): void {
    const before = new Map(this.#pairs);
    this.#pairs.clear();
    for (const fallback of peers.values()) {
      const { name, fallbackFor } = fallback.settings;
      const other = fallbackFor === undefined ? undefined : peers.get(fallbackFor);
      if (!other) {
        this.#turn(fallback, 'calls');
        continue;
      }
      const known = before.get(name);
      const isSame = known?.fallback === fallback && known.other === other;
      const pair = isSame ? known : { fallback, other, callsAt: this.#host.now() + headStartMs, reviewAt: Infinity };
      this.#pairs.set(name, pair);
      this.#pairs.set(other.settings.name, pair);
    }
    for (const pair of new Set(this.#pairs.values())) this.#review(pair);
  }

  /** Whether a family that the peer's session no longer carries will come by another one. */
  carries(peer: Peer, family: AddressFamily): boolean {
    const pair = this.#pairs.get(peer.settings.name);
    return pair !== undefined && pair.fallback !== peer && pair.fallback.settings.families.includes(family);
  }

  /** The peer's session went up or down, or brought all routes of a family. */
  onProgress(peer: Peer): void {
    const pair = this.#pairs.get(peer.settings.name);
    if (!pair) return;
    if (peer === pair.other && !peer.negotiated && pair.fallback.mode === 'on-hold') {
      pair.callsAt = this.#host.now() + headStartMs;
    }
    this.#review(pair);
  }

  get deadline(): Millis {
    let earliest = Infinity;
    for (const { reviewAt } of this.#pairs.values()) earliest = Math.min(earliest, reviewAt);
    return earliest;
  }

  onTimer(now: Millis): void {
    for (const pair of new Set(this.#pairs.values())) if (pair.reviewAt <= now) this.#review(pair);
  }

  #review(pair: Pair): void {
    const { fallback, other } = pair;
    pair.reviewAt = Infinity;
    const { families } = fallback.settings;
    if (fallback.isComplete) for (const family of families) other.replaceStale(family);
    const { negotiated } = other;
    if (!negotiated) {
      const isEarly = this.#host.now() < pair.callsAt;
      this.#turn(fallback, isEarly && !fallback.negotiated ? 'listens' : 'calls');
      if (isEarly) this.#reviewAt(pair, pair.callsAt);
      return;
    }
    if (!families.every((family) => negotiated.families.includes(family))) {
      this.#turn(fallback, 'calls');
      return;
    }
    const completeAt = other.session.stateSince + completeAfterMs;
    if (
      !fallback.hasRoutes ||
      families.every((family) => other.hasEndOfRib(family)) ||
      completeAt <= this.#host.now()
    ) {
      this.#turn(fallback, 'on-hold');
      return;
    }
    this.#turn(fallback, 'listens');
    this.#reviewAt(pair, completeAt);
  }

  #reviewAt(pair: Pair, at: Millis): void {
    pair.reviewAt = at;
    this.#host.wantTimer(at);
  }

  #turn(peer: Peer, mode: PeerMode): void {
    if (peer.mode === mode) return;
    const holdChanges = mode === 'on-hold' || peer.mode === 'on-hold';
    peer.turn(mode, CeaseSubcode.connectionRejected);
    if (holdChanges) this.#host.onHoldChanged();
  }
}
