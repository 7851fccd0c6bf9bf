// Gives addresses to owners and takes them back.
//
//   assign, release ──► jobs that wait ── each plans upon the plan of those before ──► one transaction: blocks, affinities,
//                            ▲                                                          handles, and what the callers
//                            └── it failed: somebody was quicker; forget what we ◄──────┘ want beside them
//                                believed, and plan again
//
// The node's own blocks are kept in memory with their revisions, so that the usual assignment costs one transaction and no
// reading. What is kept may be out of date: the transaction compares revisions, so a stale belief costs a round, never an
// address given twice. Between processes and nodes, etcd decides.
//
// While a transaction is under way, requests wait; then all of them go into the next one, so that fifty pods at once cost
// a few writes to the disk and not fifty. Each is answered by itself. A refusal leaves the others as they are; whoever
// makes the transaction fail runs alone from then on; and when nobody knows whether it happened, each finds out for itself.

import { KvError, type KvStore, type Operation, type TransactionResult } from '../datastore/kv.ts';
import { Assignment } from './assignment.ts';
import type { Job, Share } from './job.ts';
import { blockWrites, comparesBlock, emptyPlan, type Plan, planUpon, writesOf } from './plan.ts';
import { Planner, type PlannerSettings } from './planner.ts';
import { Release, type ReleaseResult } from './release.ts';
import type { AssignRequest, AssignResult } from './request.ts';

export type { ReleaseResult } from './release.ts';
export type { AssignRefusal, AssignRequest, AssignResult, IpamView } from './request.ts';

export type AllocatorSettings = PlannerSettings;

/** etcd's limit to the comparisons, and to the operations of each branch, of one transaction. */
const maxOperations = 128;

/** What one transaction carries out. */
interface Batch {
  readonly plan: Plan;
  readonly shares: ReadonlyMap<Job, Share>;
}

export class Allocator {
  readonly #store: KvStore;
  readonly #node: string;
  readonly #planner: Planner;
  #waiting: Job[] = [];
  #running = false;

  constructor(settings: AllocatorSettings) {
    this.#store = settings.store;
    this.#node = settings.node;
    this.#planner = new Planner(settings);
  }

  /**
   * Assigns all that the request wants, or nothing. One transaction in the usual case.
   * Rejects with KvError when the datastore does not answer; then nothing is assigned, or releaseByHandle() frees it.
   */
  assign(request: AssignRequest): Promise<AssignResult> {
    const job = new Assignment(request, this.#store, this.#planner);
    this.#enqueue(job);
    return job.result;
  }

  /** Why assign() would refuse now; undefined when it would not. Writes nothing. */
  async refusal(request: AssignRequest): Promise<string | undefined> {
    const step = await this.#planner.planAssignment(emptyPlan(), request);
    return step.kind === 'refused' ? step.message : undefined;
  }

  /** Frees everything the handle has, with the operations of `also` in the same transaction. Idempotent. */
  releaseByHandle(handle: string, also: readonly Operation[] = []): Promise<ReleaseResult> {
    const job = new Release(handle, also, this.#store, this.#planner);
    this.#enqueue(job);
    return job.result;
  }

  /** Forgets what it believes about the node's blocks: the next request reads them. */
  forget(): void {
    this.#planner.forget();
  }

  #enqueue(job: Job): void {
    this.#waiting.push(job);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Those that are enqueued in the same turn of the event loop go together.
    await undefined;
    while (this.#waiting.length > 0) {
      const jobs = this.#takeWaiting();
      try {
        await this.#carryOut(await this.#planBatch(jobs));
      } catch (error) {
        this.forget();
        // Those that are answered take no notice.
        for (const job of jobs) if (!this.#waiting.includes(job)) job.reject(error);
      }
    }
    this.#running = false;
  }

  /** The jobs to try together: one that has to be alone, or all up to the next such one, or the next of the same handle. */
  #takeWaiting(): Job[] {
    const handles = new Set<string>();
    let end = 0;
    for (const job of this.#waiting) {
      if (job.alone || handles.has(job.handle) || end === maxOperations) break;
      handles.add(job.handle);
      end++;
    }
    return this.#waiting.splice(0, Math.max(end, 1));
  }

  /** Plans one job upon the other. What does not fit any more goes back to the head of the queue. */
  async #planBatch(jobs: readonly Job[]): Promise<Batch> {
    await Promise.all(jobs.map((job) => job.prepare()));
    const shares = new Map<Job, Share>();
    let plan = emptyPlan();
    for (const [i, job] of jobs.entries()) {
      const next = planUpon(plan);
      const share = await job.plan(next);
      if (!share) continue;
      if (shares.size > 0 && !fits(next, [...shares.values()], share)) {
        this.#waiting.unshift(...jobs.slice(i));
        return { plan, shares };
      }
      shares.set(job, share);
      plan = next;
    }
    return { plan, shares };
  }

  async #carryOut({ plan, shares }: Batch): Promise<void> {
    if (shares.size === 0) return;
    const all = [...shares.values()];
    const compare = all.flatMap((share) => share.compare);
    let result: TransactionResult;
    try {
      result = await this.#store.transact({
        compare: [...compare, ...[...plan.changes.values()].map(comparesBlock)],
        then: [...blockWrites(plan, this.#node), ...all.flatMap((share) => share.then)],
        otherwise: compare.map(({ key }): Operation => ({ kind: 'get', key })),
      });
    } catch (error) {
      this.forget();
      if (!(error instanceof KvError) || error.code !== 'unknown-outcome') throw error;
      return this.#settleDoubts({ plan, shares }, error);
    }
    if (result.succeeded) {
      this.#planner.remember(plan, result.revision);
      for (const [job, share] of shares) job.succeed(share, result.revision);
      return;
    }
    this.forget();
    const again: Job[] = [];
    let start = 0;
    for (const [job, share] of shares) {
      const stored = result.entries.slice(start, start + share.compare.length);
      start += share.compare.length;
      if (!job.lose(share, stored)) again.push(job);
    }
    this.#waiting.unshift(...again);
  }

  /** The connection broke between the request and the answer: each job looks at what is stored. */
  async #settleDoubts({ plan, shares }: Batch, error: KvError): Promise<void> {
    const again: Job[] = [];
    for (const [job, share] of shares) {
      try {
        if (!(await job.doubt(share, plan, shares.size === 1, error))) again.push(job);
      } catch (problem) {
        job.reject(problem);
      }
    }
    this.#waiting.unshift(...again);
  }
}

/** Whether one more share keeps the transaction within etcd's limits, and each key is written but once. */
function fits(plan: Plan, shares: readonly Share[], added: Share): boolean {
  const all = [...shares, added];
  const compares = all.reduce((sum, { compare }) => sum + compare.length, plan.changes.size);
  const blocks = [...plan.changes.values()].reduce((sum, change) => sum + writesOf(change), 0);
  const writes = all.reduce((sum, { then }) => sum + then.length, blocks);
  if (compares > maxOperations || writes > maxOperations) return false;
  const written = new Set(shares.flatMap(({ then }) => then.flatMap(keyWritten)));
  return !added.then.flatMap(keyWritten).some((key) => written.has(key));
}

function keyWritten(operation: Operation): string[] {
  if (operation.kind === 'get') return [];
  return [operation.kind === 'delete-prefix' ? operation.prefix : operation.key];
}
