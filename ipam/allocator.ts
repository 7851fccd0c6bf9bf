// Gives addresses to owners and takes them back.
//
//   assign ── choose pools ── plan: own blocks → a new block → borrowed ── one transaction: blocks, affinities, handle,
//      ▲                                                                   and whatever the caller wants beside them
//      └────────── the transaction failed: somebody was quicker; forget what we believed and plan again ──┘
//
// The node's own blocks are kept in memory with their revisions, so that the usual assignment costs one transaction and no
// reading. What is kept may be out of date: the transaction compares revisions, so a stale belief costs a round, never an
// address given twice. Requests of one process are served one after the other; between processes and nodes, etcd decides.

import { type Compare, KvError, type Operation, type Revision } from '../datastore/kv.ts';
import { handleKey, parseHandle } from '../datastore/model/ipam.ts';
import type { Address } from '../net/address.ts';
import { assignmentWrites, comparesBlock, emptyPlan, handleWrite, type Plan, releaseWrite } from './plan.ts';
import { Planner, type PlannerSettings } from './planner.ts';
import type { AssignRequest, AssignResult } from './request.ts';

export type { AssignRefusal, AssignRequest, AssignResult, IpamView } from './request.ts';

export interface ReleaseResult {
  readonly released: readonly Address[];
  readonly revision: Revision | undefined;
}

/** Rounds after which a busy datastore counts as an answer: each one lost means that somebody else won one. */
const maxRounds = 50;

export type AllocatorSettings = PlannerSettings;

export class Allocator {
  readonly #settings: AllocatorSettings;
  readonly #planner: Planner;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(settings: AllocatorSettings) {
    this.#settings = settings;
    this.#planner = new Planner(settings);
  }

  /**
   * Assigns all that the request wants, or nothing. One transaction in the usual case.
   * Rejects with KvError when the datastore does not answer; then nothing is assigned, or releaseByHandle() frees it.
   */
  assign(request: AssignRequest): Promise<AssignResult> {
    return this.#inTurn(() => this.#assign(request));
  }

  /** Why assign() would refuse now; undefined when it would not. Writes nothing. */
  refusal(request: AssignRequest): Promise<string | undefined> {
    return this.#inTurn(async () => {
      const step = await this.#planner.planAssignment(emptyPlan(), request);
      return step.kind === 'refused' ? step.message : undefined;
    });
  }

  /** Frees everything the handle has, with the operations of `also` in the same transaction. Idempotent. */
  releaseByHandle(handle: string, also: readonly Operation[] = []): Promise<ReleaseResult> {
    return this.#inTurn(() => this.#release(handle, also));
  }

  /** Forgets what it believes about the node's blocks: the next request reads them. */
  forget(): void {
    this.#planner.forget();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #assign(request: AssignRequest): Promise<AssignResult> {
    let handleEntry: { readonly value: string; readonly modRevision: Revision } | undefined;
    for (let round = 0; round < maxRounds; round++) {
      const plan = emptyPlan();
      const step = await this.#planner.planAssignment(plan, request);
      if (step.kind === 'refused') return step;
      const extra = request.also?.(plan.addresses) ?? { compare: [], then: [] };
      const handleRevision = handleEntry?.modRevision ?? 0;
      const compare: Compare[] = [
        ...extra.compare,
        { key: handleKey(request.handle), target: 'modRevision', is: handleRevision },
        ...[...plan.changes.values()].map(comparesBlock),
      ];
      const then = [
        ...assignmentWrites(plan, this.#settings.node),
        handleWrite(request.handle, handleEntry?.value, plan),
        ...extra.then,
      ];
      try {
        const result = await this.#settings.store.transact({
          compare,
          then,
          otherwise: [
            { kind: 'get', key: handleKey(request.handle) },
            ...extra.compare.map(({ key }): Operation => ({ kind: 'get', key })),
          ],
        });
        if (result.succeeded) {
          this.#planner.remember(plan, result.revision);
          return { kind: 'assigned', addresses: plan.addresses, revision: result.revision };
        }
        handleEntry = result.entries[0];
        const lost = failedCompare(extra.compare, result.entries.slice(1));
        if (lost)
          return { kind: 'refused', reason: 'conflict', message: `${lost} was changed by somebody else meanwhile` };
      } catch (error) {
        this.forget();
        if (!(error instanceof KvError) || error.code !== 'unknown-outcome') throw error;
        const revision = await this.#confirm(request.handle, plan);
        if (revision !== undefined) return { kind: 'assigned', addresses: plan.addresses, revision };
        handleEntry = await this.#settings.store.get(handleKey(request.handle));
      }
      this.forget();
    }
    return {
      kind: 'refused',
      reason: 'conflict',
      message: `other nodes won all of ${maxRounds} attempts to write; the datastore is very busy, try again`,
    };
  }

  /** After a write of unknown outcome: its revision when it did happen. */
  async #confirm(handle: string, plan: Plan): Promise<Revision | undefined> {
    const entry = await this.#settings.store.get(handleKey(handle));
    if (!entry) return undefined;
    for (const { prefix } of plan.changes.values()) {
      const known = await this.#planner.read(prefix);
      if (!known || known.revision !== entry.modRevision) return undefined;
    }
    return entry.modRevision;
  }

  async #release(handle: string, also: readonly Operation[]): Promise<ReleaseResult> {
    const { store } = this.#settings;
    for (let round = 0; round < maxRounds; round++) {
      const entry = await store.get(handleKey(handle));
      const plan = emptyPlan();
      const compare: Compare[] = [{ key: handleKey(handle), target: 'modRevision', is: entry?.modRevision ?? 0 }];
      const then: Operation[] = [...also];
      if (entry) then.push({ kind: 'delete', key: handleKey(handle) });
      for (const name of Object.keys(entry ? (parseHandle(entry.value)?.block ?? {}) : {})) {
        await this.#planner.planRelease(plan, name, handle);
      }
      for (const change of plan.changes.values()) {
        compare.push(comparesBlock(change));
        then.push(releaseWrite(change));
      }
      if (then.length === 0) return { released: [], revision: undefined };
      const result = await store.transact({ compare, then });
      if (result.succeeded) {
        this.#planner.remember(plan, result.revision);
        return { released: plan.addresses, revision: result.revision };
      }
      this.forget();
    }
    throw new KvError('unavailable', `other nodes won all of ${maxRounds} attempts to release ${handle}; try again`);
  }
}

/** The key of the caller's first compare that does not hold, going by the entries read in the same transaction. */
function failedCompare(
  compares: readonly Compare[],
  entries: readonly (
    | {
        readonly modRevision: Revision;
        readonly createRevision: Revision;
        readonly version: number;
        readonly value: string;
      }
    | undefined
  )[],
): string | undefined {
  return compares.find((compare, i) => {
    const entry = entries[i];
    return compare.target === 'value' ? entry?.value !== compare.is : (entry?.[compare.target] ?? 0) !== compare.is;
  })?.key;
}
