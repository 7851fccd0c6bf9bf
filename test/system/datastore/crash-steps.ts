// What the steps of the crash test write, and the state after so many of them.

import type { MvccOperation, MvccTransaction } from '../../../datastore/mvcc.ts';

/** Every step is one revision; an empty store is at revision 1 and its first step is 0. */
export const stepOf = (revision: number): number => revision - 1;

const put = (key: string, value: string): MvccOperation => ({ kind: 'put', key, value, lease: '0' });

/** A key of many, a pair that must always be equal, and now and then a deletion. */
export function transactionOf(step: number): MvccTransaction {
  const value = `${step} ${'x'.repeat((step * 37) % 400)}`;
  const success = [put(`/key/${step % 40}`, value), put('/pair/left', value), put('/pair/right', value)];
  if (step % 7 === 6)
    success.push({ kind: 'delete', range: { from: `/key/${(step + 3) % 40}`, to: `/key/${(step + 3) % 40}\0` } });
  return { compare: [], success, failure: [] };
}

/** The state after the steps before `step`, as lines. */
export function stateAfter(step: number): string {
  const state = new Map<string, string>();
  // Each key was written or deleted within the last 280 steps: the least common multiple of 7 and 40.
  for (let i = Math.max(0, step - 600); i < step; i++) {
    for (const operation of transactionOf(i).success) {
      if (operation.kind === 'put') state.set(operation.key, operation.value ?? '');
      else if (operation.kind === 'delete') state.delete(operation.range.from);
    }
  }
  return [...state]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join('\n');
}
