// One assignment: addresses into blocks, the handle's count, and what the caller wants in the same transaction.

import type { Compare, KvEntry, KvStore, Revision } from '../datastore/kv.ts';
import { handleKey } from '../datastore/model/ipam.ts';
import { type Prefix, prefixContains } from '../net/prefix.ts';
import { holds, type Job, maxRounds, promised, type Share } from './job.ts';
import { handleWrite, type Plan } from './plan.ts';
import type { Planner } from './planner.ts';
import type { AssignRequest, AssignResult } from './request.ts';

export class Assignment implements Job {
  alone = false;
  readonly #request: AssignRequest;
  readonly #store: KvStore;
  readonly #planner: Planner;
  readonly #outcome = promised<AssignResult>();
  /** The stored handle, as far as we know: usually there is none. */
  #handle: Pick<KvEntry, 'value' | 'modRevision'> | undefined;
  #rounds = 0;

  constructor(request: AssignRequest, store: KvStore, planner: Planner) {
    this.#request = request;
    this.#store = store;
    this.#planner = planner;
  }

  get handle(): string {
    return this.#request.handle;
  }

  get result(): Promise<AssignResult> {
    return this.#outcome.promise;
  }

  /** It is tried as if there were no handle; when there is one, the transaction says so. */
  async prepare(): Promise<void> {}

  async plan(plan: Plan): Promise<Share | undefined> {
    if (this.#rounds++ === maxRounds) {
      const message = `other nodes won all of ${maxRounds} attempts to write; the datastore is very busy, try again`;
      this.#outcome.resolve({ kind: 'refused', reason: 'conflict', message });
      return undefined;
    }
    const request = this.#request;
    const step = await this.#planner.planAssignment(plan, request);
    if (step.kind === 'refused') {
      this.#outcome.resolve(step);
      return undefined;
    }
    const extra = request.also?.(plan.addresses) ?? { compare: [], then: [] };
    const handle: Compare = {
      key: handleKey(request.handle),
      target: 'modRevision',
      is: this.#handle?.modRevision ?? 0,
    };
    return {
      compare: [handle, ...extra.compare],
      then: [handleWrite(request.handle, this.#handle?.value, plan), ...extra.then],
      addresses: plan.addresses,
    };
  }

  succeed({ addresses }: Share, revision: Revision): void {
    this.#outcome.resolve({ kind: 'assigned', addresses, revision });
  }

  lose({ compare }: Share, stored: readonly (KvEntry | undefined)[]): boolean {
    this.#handle = stored[0];
    const failed = compare.findIndex((each, i) => !holds(each, stored[i]));
    // Its blocks were changed, or another job of the transaction is to blame.
    if (failed < 0) return false;
    this.alone = true;
    if (failed === 0) return false;
    const message = `${compare[failed]?.key} was changed by somebody else meanwhile`;
    this.#outcome.resolve({ kind: 'refused', reason: 'conflict', message });
    return true;
  }

  async doubt(share: Share, plan: Plan): Promise<boolean> {
    this.alone = true;
    this.#handle = await this.#store.get(handleKey(this.#request.handle));
    const revision = this.#handle && (await this.#confirmed(share, plan, this.#handle.modRevision));
    if (revision === undefined) return false;
    this.succeed(share, revision);
    return true;
  }

  reject(error: unknown): void {
    this.#outcome.reject(error);
  }

  /** After a write of unknown outcome: its revision when it did happen. */
  async #confirmed({ addresses }: Share, plan: Plan, revision: Revision): Promise<Revision | undefined> {
    const isOurs = (prefix: Prefix): boolean => addresses.some((address) => prefixContains(prefix, address));
    for (const { prefix } of plan.changes.values()) {
      if (isOurs(prefix) && (await this.#planner.read(prefix))?.revision !== revision) return undefined;
    }
    return revision;
  }
}
