// Shows that a process gets the processor before others where that is permitted, with all its threads and those to come, and
// goes on without where it is not.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

/** What was permitted, and the scheduling policies of all threads. */
const script = `
import { readdirSync, readFileSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { runBeforeOthers, threadsOfProcess } from './linux/scheduling.ts';
const permitted = runBeforeOthers(threadsOfProcess());
// Starts threads of libuv's pool.
await Promise.all([1, 2, 3, 4].map(() => lookup('127.0.0.1')));
const policies = readdirSync('/proc/self/task').map((thread) => {
  const stat = readFileSync('/proc/self/task/' + thread + '/stat', 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
});
console.log(JSON.stringify({ permitted, policies: [...new Set(policies)] }));
`;

const run = (...before: string[]): unknown => {
  const [program = '', ...words] = [
    ...before,
    process.execPath,
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    script,
  ];
  return JSON.parse(execFileSync(program, words, { encoding: 'utf8' }));
};

const SCHED_OTHER = 0;
const SCHED_RR = 2;

describe('a process that must not wait', () => {
  it('runs in real time, all of it', () => {
    assert.deepEqual(run(), { permitted: 'realtime', policies: [SCHED_RR] });
  });

  it('goes on as it is where nothing is permitted', () => {
    assert.deepEqual(run('setpriv', '--bounding-set=-sys_nice'), { permitted: 'nothing', policies: [SCHED_OTHER] });
  });
});
