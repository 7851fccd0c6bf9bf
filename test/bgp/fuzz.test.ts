// A short run of the fuzzers with seeds of their own each time; a failure prints seed and message.

import assert from 'node:assert/strict';
import { fuzz } from './fuzz.ts';
import { fuzzSessions } from './fuzz-sessions.ts';

describe('random and mutated messages', () => {
  it('never make anything throw, and lead to what a slow reading of RFC 7606 says', () => {
    const { good, refused, treatedAsWithdraw } = fuzz(15_000, Date.now() % 2 ** 31);
    assert.ok(good > 0 && refused > 0 && treatedAsWithdraw > 0);
  }).timeout(60_000);

  it('end no session that behaves, whatever was negotiated, and leave all peers with what they were sent', () => {
    const first = Date.now() % 2 ** 31;
    for (let seed = first; seed < first + 8; seed++) {
      try {
        fuzzSessions(seed);
      } catch (error) {
        throw new Error(`world of seed ${seed}: npm run fuzz:sessions -- 1 ${seed}`, { cause: error });
      }
    }
  }).timeout(60_000);
});
