// One felix for each network namespace. Two would undo each other's work for ever, because each takes the other's pods for
// unknown; where the kernel keeps a table for its owner it would say so, older ones do not.

import { lockNetns, type NetnsLock } from '../linux/netns-lock.ts';
import type { Logger } from '../runtime/log.ts';

const patienceMs = 5000;
const everyMs = 50;

/** Resolves with what gives the place up again. An agent that is being replaced may take a moment to end. */
export async function becomeSoleFelix(log: Logger): Promise<() => void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const lock = tryLock(log);
    if (lock.kind === 'locked') return lock.release;
    if (performance.now() > deadline) {
      throw new Error(
        `this network namespace belongs to ${lock.by}: another agent runs in this network namespace; end one of the two`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** A node whose /run cannot be written needs policy all the same. */
function tryLock(log: Logger): NetnsLock {
  try {
    return lockNetns('felix');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.warn({ reason }, 'cannot make sure that no other agent runs in this network namespace');
    return { kind: 'locked', release: () => {} };
  }
}
