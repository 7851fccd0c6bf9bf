// One request on its way through the allocator, as the common transaction sees it: what it compares and writes beside the
// blocks, and how it takes the outcome. Blocks are common to all the jobs of a transaction, so they are not in here.

import type { Compare, KvEntry, Operation, Revision } from '../datastore/kv.ts';
import type { Address } from '../net/address.ts';
import type { Plan } from './plan.ts';

/** What one job adds to the transaction. */
export interface Share {
  readonly compare: readonly Compare[];
  readonly then: readonly Operation[];
  /** Those that it assigns or frees. */
  readonly addresses: readonly Address[];
}

export interface Job {
  /** Jobs with the same handle run one after the other. */
  readonly handle: string;
  /** To be carried out by itself: with others it has failed through its own fault, or nobody knows whether it did. */
  alone: boolean;
  /** Reads what it needs before it can plan. Jobs of one transaction do so at the same time. */
  prepare(): Promise<void>;
  /** Adds to the plan; undefined when the job is answered instead, and the plan is to be thrown away. */
  plan(plan: Plan): Promise<Share | undefined>;
  /** The transaction went through. */
  succeed(share: Share, revision: Revision): void;
  /**
   * The transaction did not go through. `stored` has the entry of each key of its compares, in their order. True when the
   * job is answered by that, false when it has to be planned again.
   */
  lose(share: Share, stored: readonly (KvEntry | undefined)[]): boolean;
  /**
   * The transaction got no answer. `wasAlone`: no other job was in it. True when the job is answered (it may have rejected),
   * false when it has to run again.
   */
  doubt(share: Share, plan: Plan, wasAlone: boolean, error: Error): Promise<boolean>;
  reject(error: unknown): void;
}

/** Whether what is stored is what the compare wants. */
export const holds = (compare: Compare, entry: KvEntry | undefined): boolean =>
  compare.target === 'value' ? entry?.value === compare.is : (entry?.[compare.target] ?? 0) === compare.is;

/** Rounds after which a busy datastore counts as an answer: each one lost means that somebody else won one. */
export const maxRounds = 50;

/** The outside of a job: a promise, and the two functions that settle it. */
export function promised<T>(): {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
} {
  let settle: { resolve: (value: T) => void; reject: (error: unknown) => void } | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (!settle) throw new Error('a promise runs its executor at once');
  return { promise, ...settle };
}
