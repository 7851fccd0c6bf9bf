// The helper's side of graceful restart: routes of a peer that is away, and until when they are kept. RFC 4724 §4.2, and
// RFC 9494 §4.2 for what comes after.
//
//   session lost ─► stale, for the restart time ─► long-lived stale (marked, least preferred) ─► gone
//                     └──────────── the peer is back: kept until End-of-RIB ─┴──► swept

import type { Logger } from '../../runtime/log.ts';
import type { Clock, Millis } from '../edges.ts';
import type { Rib } from '../rib/rib.ts';
import type { Negotiated } from '../session-types.ts';
import type { AddressFamily, PeerSettings } from '../settings.ts';

interface StaleFamily {
  readonly until: Millis;
  /** For how long they live on after that, RFC 9494; 0: not at all. */
  readonly longLivedSec: number;
}

export interface StaleHost {
  readonly rib: Rib;
  readonly clock: Clock;
  wantFlush(): void;
  wantTimer(deadline: Millis): void;
}

export class StaleRoutes {
  readonly #host: StaleHost;
  readonly #log: Logger;
  readonly #families = new Map<AddressFamily, StaleFamily>();

  constructor(host: StaleHost, log: Logger) {
    this.#host = host;
    this.#log = log;
  }

  get isEmpty(): boolean {
    return this.#families.size === 0;
  }

  get deadline(): Millis {
    return Math.min(Infinity, ...[...this.#families.values()].map(({ until }) => until));
  }

  /** The session is lost: the source's routes of this family stay for a while. */
  keep(source: number, family: AddressFamily, negotiated: Negotiated, settings: PeerSettings): void {
    const { rib, clock } = this.#host;
    // What is stale from before goes: a peer that restarts twice has only once promised it.
    if (this.#families.has(family)) rib.dropStale(source, family);
    rib.markStale(source, family);
    const asked = negotiated.gracefulRestart?.restartTimeSec ?? 0;
    const seconds = Math.min(asked, settings.maxRestartTimeSec ?? asked);
    const longLivedSec = Math.min(negotiated.longLivedStaleSec.get(family) ?? 0, settings.longLivedStaleSec ?? 0);
    this.#set(family, { until: clock.now() + seconds * 1000, longLivedSec });
  }

  /**
   * The peer is back: families for which it kept nothing are swept now, others when it has sent all. `elsewhere`: families
   * that another session of the peer will bring.
   */
  settle(source: number, negotiated: Negotiated, elsewhere: (family: AddressFamily) => boolean): void {
    for (const family of [...this.#families.keys()]) {
      if (!negotiated.families.includes(family) && elsewhere(family)) continue;
      const forwarding = negotiated.gracefulRestart?.families.get(family) ?? false;
      if (forwarding && negotiated.families.includes(family)) continue;
      this.#drop(source, family, 'the peer kept no forwarding state');
    }
  }

  replaced(source: number, family: AddressFamily): void {
    if (this.#families.has(family)) this.#drop(source, family, 'another session has brought them');
  }

  endOfRib(source: number, family: AddressFamily): void {
    if (this.#families.has(family)) this.#drop(source, family, 'End-of-RIB');
  }

  onTimer(source: number, now: Millis): void {
    for (const [family, { until, longLivedSec }] of [...this.#families]) {
      if (until > now) continue;
      if (longLivedSec === 0) {
        this.#drop(source, family, 'restart time is over');
        continue;
      }
      this.#log.info({ family, seconds: longLivedSec }, 'stale routes live on, least preferred');
      this.#host.rib.markLongLivedStale(source, family);
      this.#set(family, { until: now + longLivedSec * 1000, longLivedSec: 0 });
      this.#host.wantFlush();
    }
  }

  clear(): void {
    this.#families.clear();
  }

  #set(family: AddressFamily, stale: StaleFamily): void {
    this.#families.set(family, stale);
    this.#host.wantTimer(stale.until);
  }

  #drop(source: number, family: AddressFamily, reason: string): void {
    this.#families.delete(family);
    this.#log.info({ family, reason }, 'stale routes removed');
    this.#host.rib.dropStale(source, family);
    this.#host.wantFlush();
  }
}
