// Who gets the processor first. For the few packets a second that peers take for a sign of life: a machine that is short of
// everything must not look like a dead one.

import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { LinuxError } from './errors.ts';
import { setScheduler } from './libc.ts';

const SCHED_RR = 2;
/** Before all that is not real time, behind what else is. */
const LOWEST_REALTIME = 1;
/** Where real time is not permitted. It counts among the processes of one session only (sched(7), autogroups). */
const NICE = -10;

/** All threads of the process, and those that they start: garbage is collected by several, which wait for each other. */
export const threadsOfProcess = (): readonly number[] => readdirSync('/proc/self/task').map(Number);

/** The thread that calls, for runBeforeOthers(). */
export const callingThread: readonly number[] = [0];

/**
 * Gives threads the processor before those of all other programs. Whoever asks for it does little: the kernel takes a
 * twentieth of each second away from real time, but no more than that.
 * @returns what was permitted.
 */
export function runBeforeOthers(threads: readonly number[]): 'realtime' | 'nice' | 'nothing' {
  try {
    for (const thread of threads) setScheduler(thread, SCHED_RR, LOWEST_REALTIME);
    return 'realtime';
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
  }
  try {
    for (const thread of threads) setPriority(thread, NICE);
    return 'nice';
  } catch {
    return 'nothing';
  }
}

/** The last one that the kernel ends when memory is short; where that is not permitted, as likely as others. */
export function outliveOthers(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch {
    // Not a reason to do without BFD.
  }
}
