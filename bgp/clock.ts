// The real clock: monotonic milliseconds and Node's timers.

import type { Clock } from './edges.ts';

/** setTimeout takes at most this. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delay, callback) => {
    const timer = setTimeout(callback, Math.min(delay, MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};
