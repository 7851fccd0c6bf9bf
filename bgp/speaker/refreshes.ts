// Enhanced route refreshes that a peer has begun (RFC 7313): between its BoRR and its EoRR the routes of that family which it
// has not said again are stale. §4 wants an upper bound for that time: a peer that never says EoRR would otherwise keep
// routes here that it has long forgotten.

import type { Millis } from '../edges.ts';
import type { AddressFamily } from '../settings.ts';

/** As long as others wait, FRR for one: a full table comes in a part of it. */
export const refreshLimitMs: Millis = 360_000;

export class Refreshes {
  readonly #until = new Map<AddressFamily, Millis>();

  get deadline(): Millis {
    return Math.min(Infinity, ...this.#until.values());
  }

  /** BoRR. A second one without an EoRR begins anew. */
  begin(family: AddressFamily, now: Millis): void {
    this.#until.set(family, now + refreshLimitMs);
  }

  /** EoRR; false for one that ends nothing, which must not sweep routes that are stale for another reason. */
  end(family: AddressFamily): boolean {
    return this.#until.delete(family);
  }

  /** Families whose time is over. */
  expire(now: Millis): AddressFamily[] {
    const expired = [...this.#until].flatMap(([family, until]) => (until <= now ? [family] : []));
    for (const family of expired) this.#until.delete(family);
    return expired;
  }

  clear(): void {
    this.#until.clear();
  }
}
