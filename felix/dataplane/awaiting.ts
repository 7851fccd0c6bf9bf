// Who waits for an endpoint to be programmed, and which are.

import type { WorkloadId } from '../calc/output.ts';

export type AwaitResult =
  | { readonly kind: 'programmed'; readonly revision: number }
  /** `reason` says what was missing when time was up. */
  | { readonly kind: 'timeout'; readonly reason: string };

interface Waiter {
  readonly revision: number;
  readonly resolve: (result: AwaitResult) => void;
  readonly timer: NodeJS.Timeout;
}

export class Awaiting {
  /** The revision that the kernel's rules show. */
  private readonly rules = new Map<WorkloadId, number>();
  /** Rules, interface and routes. */
  private readonly programmed = new Map<WorkloadId, number>();
  private readonly unfinished = new Set<WorkloadId>();
  private readonly waiters = new Map<WorkloadId, Set<Waiter>>();

  get size(): number {
    return this.programmed.size;
  }

  isProgrammed(id: WorkloadId, revision: number): boolean {
    return (this.programmed.get(id) ?? -1) >= revision;
  }

  wait(id: WorkloadId, revision: number, timeoutMs: number, explain: () => string | undefined): Promise<AwaitResult> {
    const programmed = this.programmed.get(id);
    if (programmed !== undefined && programmed >= revision) {
      return Promise.resolve({ kind: 'programmed', revision: programmed });
    }
    return new Promise((resolve) => {
      const waiters = this.waiters.get(id) ?? new Set();
      this.waiters.set(id, waiters);
      const waiter: Waiter = {
        revision,
        resolve,
        timer: setTimeout(() => {
          waiters.delete(waiter);
          if (waiters.size === 0) this.waiters.delete(id);
          resolve({ kind: 'timeout', reason: explain() ?? 'it is being programmed' });
        }, timeoutMs),
      };
      waiters.add(waiter);
    });
  }

  /** The rules of the endpoint are in the kernel. */
  applied(id: WorkloadId, revision: number): void {
    this.rules.set(id, revision);
    this.unfinished.add(id);
  }

  /** Its interface came or went: the next check looks at it again. */
  reopen(id: WorkloadId): void {
    if (!this.rules.has(id)) return;
    this.programmed.delete(id);
    this.unfinished.add(id);
  }

  /** Endpoints with rules that still lack something. */
  incomplete(): Iterable<WorkloadId> {
    return this.unfinished;
  }

  forget(id: WorkloadId): void {
    this.rules.delete(id);
    this.programmed.delete(id);
    this.unfinished.delete(id);
  }

  /** Tells the waiters of those endpoints that are complete. */
  check(isComplete: (id: WorkloadId) => boolean): void {
    for (const id of this.unfinished) {
      const revision = this.rules.get(id);
      if (revision === undefined || !isComplete(id)) continue;
      this.unfinished.delete(id);
      this.programmed.set(id, revision);
      for (const waiter of this.waiters.get(id) ?? []) {
        if (waiter.revision > revision) continue;
        clearTimeout(waiter.timer);
        this.waiters.get(id)?.delete(waiter);
        waiter.resolve({ kind: 'programmed', revision });
      }
      if (this.waiters.get(id)?.size === 0) this.waiters.delete(id);
    }
  }

  close(): void {
    for (const waiters of this.waiters.values()) {
      for (const { timer, resolve } of waiters) {
        clearTimeout(timer);
        resolve({ kind: 'timeout', reason: 'felix is stopping' });
      }
    }
    this.waiters.clear();
  }
}
