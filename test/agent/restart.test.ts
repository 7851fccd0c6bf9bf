// When a dead child is started again.

import assert from 'node:assert/strict';
import { afterDeath } from '../../agent/restart.ts';

describe('restart', () => {
  it('is immediate once, then backs off up to ten seconds', () => {
    let state = { quickDeaths: 0 };
    const delays: number[] = [];
    for (let i = 0; i < 10; i++) {
      const next = afterDeath(state, 50);
      state = next.state;
      delays.push(next.delayMs);
    }
    assert.deepEqual(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
  });

  it('starts afresh after a long life', () => {
    assert.equal(afterDeath({ quickDeaths: 9 }, 30_000).delayMs, 0);
  });
});
