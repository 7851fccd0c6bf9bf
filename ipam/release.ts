// One release: everything that a handle has goes back, and the handle with it. Idempotent.

import { type KvEntry, KvError, type KvStore, type Operation, type Revision } from '../datastore/kv.ts';
import { handleKey, parseHandle } from '../datastore/model/ipam.ts';
import type { Address } from '../net/address.ts';
import { holds, type Job, maxRounds, promised, type Share } from './job.ts';
import type { Plan } from './plan.ts';
import type { Planner } from './planner.ts';

export interface ReleaseResult {
  readonly released: readonly Address[];
  readonly revision: Revision | undefined;
}

export class Release implements Job {
  alone = false;
  readonly handle: string;
  readonly #also: readonly Operation[];
  readonly #store: KvStore;
  readonly #planner: Planner;
  readonly #outcome = promised<ReleaseResult>();
  #stored: KvEntry | undefined;
  #rounds = 0;

  constructor(handle: string, also: readonly Operation[], store: KvStore, planner: Planner) {
    this.handle = handle;
    this.#also = also;
    this.#store = store;
    this.#planner = planner;
  }

  get result(): Promise<ReleaseResult> {
    return this.#outcome.promise;
  }

  async prepare(): Promise<void> {
    this.#stored = await this.#store.get(handleKey(this.handle));
  }

  async plan(plan: Plan): Promise<Share | undefined> {
    if (this.#rounds++ === maxRounds) {
      const message = `other nodes won all of ${maxRounds} attempts to release ${this.handle}; try again`;
      this.reject(new KvError('unavailable', message));
      return undefined;
    }
    const key = handleKey(this.handle);
    const stored = this.#stored;
    if (!stored && this.#also.length === 0) {
      this.#outcome.resolve({ released: [], revision: undefined });
      return undefined;
    }
    const counts = stored ? (parseHandle(stored.value)?.block ?? {}) : {};
    for (const name of Object.keys(counts)) await this.#planner.planRelease(plan, name, this.handle);
    return {
      compare: [{ key, target: 'modRevision', is: stored?.modRevision ?? 0 }],
      then: stored ? [...this.#also, { kind: 'delete', key }] : this.#also,
      addresses: plan.addresses,
    };
  }

  succeed({ addresses }: Share, revision: Revision): void {
    this.#outcome.resolve({ released: addresses, revision });
  }

  lose({ compare }: Share, stored: readonly (KvEntry | undefined)[]): boolean {
    if (compare.some((each, i) => !holds(each, stored[i]))) this.alone = true;
    return false;
  }

  /** It may be repeated; by itself it is the caller's to do so. */
  async doubt(_share: Share, _plan: Plan, wasAlone: boolean, error: Error): Promise<boolean> {
    this.alone = true;
    if (wasAlone) this.reject(error);
    return wasAlone;
  }

  reject(error: unknown): void {
    this.#outcome.reject(error);
  }
}
