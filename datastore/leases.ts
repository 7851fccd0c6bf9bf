// Leases as deadlines: which keys each holds, and when it ends unless it is renewed. Time is passed in.

import type { Bytes } from './mvcc-types.ts';

interface LeaseState {
  readonly ttlSec: number;
  deadlineMs: number;
  readonly keys: Set<Bytes>;
}

export class LeaseTable {
  readonly #leases = new Map<string, LeaseState>();

  get size(): number {
    return this.#leases.size;
  }

  has(id: string): boolean {
    return this.#leases.has(id);
  }

  ids(): IterableIterator<string> {
    return this.#leases.keys();
  }

  grant(id: string, ttlSec: number, nowMs: number): void {
    this.#leases.set(id, { ttlSec, deadlineMs: nowMs + ttlSec * 1000, keys: new Set() });
  }

  /** False when there is no such lease. */
  renew(id: string, nowMs: number): boolean {
    const lease = this.#leases.get(id);
    if (lease) lease.deadlineMs = nowMs + lease.ttlSec * 1000;
    return lease !== undefined;
  }

  /** After a restart or a pause of the whole store nobody could renew: everybody gets a whole term again. */
  renewAll(nowMs: number): void {
    for (const id of this.#leases.keys()) this.renew(id, nowMs);
  }

  delete(id: string): void {
    this.#leases.delete(id);
  }

  attach(id: string, key: Bytes): void {
    this.#leases.get(id)?.keys.add(key);
  }

  detach(id: string, key: Bytes): void {
    this.#leases.get(id)?.keys.delete(key);
  }

  keysOf(id: string): ReadonlySet<Bytes> | undefined {
    return this.#leases.get(id)?.keys;
  }

  ttlSec(id: string): number | undefined {
    return this.#leases.get(id)?.ttlSec;
  }

  remainingSec(id: string, nowMs: number): number | undefined {
    const lease = this.#leases.get(id);
    return lease && Math.max(0, (lease.deadlineMs - nowMs) / 1000);
  }

  expired(nowMs: number): string[] {
    const ids: string[] = [];
    for (const [id, lease] of this.#leases) if (lease.deadlineMs <= nowMs) ids.push(id);
    return ids;
  }
}
