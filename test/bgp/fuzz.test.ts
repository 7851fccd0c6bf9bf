// A short run of the fuzzer with a seed of its own each time; a failure prints seed and message.

import assert from 'node:assert/strict';
import { fuzz } from './fuzz.ts';

describe('mutated messages', () => {
  it('never make anything throw, and are not all refused', () => {
    const { refused, treatedAsWithdraw } = fuzz(30_000, Date.now() % 2 ** 31);
    assert.ok(refused > 0 && refused < 30_000);
    assert.ok(treatedAsWithdraw > 0);
  }).timeout(60_000);
});
