// How much of the past is kept: a time, so that a watch that was away can go on where it was, and a size, so that memory
// and disk are bounded whatever is written. Pure.

import type { Mvcc } from '../mvcc.ts';

export interface HistoryLimits {
  /** 0: history does not grow old. */
  readonly ageMs: number;
  readonly bytes: number;
}

/** Revisions are remembered this many times per age: history is at most that fraction older than asked for. */
const MARKS_PER_AGE = 20;

export class Retention {
  readonly #limits: HistoryLimits;
  /** When the store was at which revision, oldest first. */
  readonly #marks: { readonly atMs: number; readonly revision: number }[] = [];

  constructor(limits: HistoryLimits) {
    this.#limits = limits;
  }

  /** The revision to compact to now, if any. */
  compactTo(mvcc: Mvcc, nowMs: number): number | undefined {
    const bySize = mvcc.historySize > this.#limits.bytes ? mvcc.revisionAt(mvcc.historyLength >>> 1) : 0;
    const revision = Math.max(bySize, this.#byAge(mvcc.revision, nowMs));
    return revision > mvcc.compactedRevision ? revision : undefined;
  }

  #byAge(revision: number, nowMs: number): number {
    const { ageMs } = this.#limits;
    if (ageMs === 0) return 0;
    const last = this.#marks.at(-1);
    if (!last || nowMs - last.atMs >= ageMs / MARKS_PER_AGE) this.#marks.push({ atMs: nowMs, revision });
    let due = 0;
    let expired = 0;
    for (const mark of this.#marks) {
      if (nowMs - mark.atMs < ageMs) break;
      due = mark.revision;
      expired++;
    }
    this.#marks.splice(0, expired);
    return due;
  }
}
