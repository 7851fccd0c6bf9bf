// One process per data directory: a file that names the process which has it.
//
// The process is named by its id and its start time, so that a stale file after kill -9 is told from a living owner even
// when the id was given to somebody else since.

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface DirectoryLock {
  release(): void;
}

/** Makes the directory when needed. Throws an Error for the operator when another process has it. */
export function lockDirectory(directory: string): DirectoryLock {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'lock');
  const mine = join(directory, `lock.${process.pid}`);
  writeFileSync(mine, ownerOf(process.pid) ?? String(process.pid), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt++) {
      if (tryLink(mine, path)) return { release: () => rmSync(path, { force: true }) };
      const owner = readIfThere(path);
      if (owner === undefined) continue;
      const pid = Number(owner.split(' ')[0]);
      if (owner === ownerOf(pid)) {
        throw new Error(`${directory} is in use by process ${pid}; two servers on one directory would destroy it`);
      }
      removeStale(path, owner);
    }
    throw new Error(`${path} can not be taken: others take it at the same time`);
  } finally {
    rmSync(mine, { force: true });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Moves the file aside, and back when it turns out to be no longer the stale one: somebody was faster. */
function removeStale(path: string, owner: string): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  if (readFileSync(aside, 'utf8') !== owner) tryLink(aside, path);
  rmSync(aside, { force: true });
}

/** "pid start-time" of a living process; the start time is field 22 of /proc/<pid>/stat (proc(5)). */
function ownerOf(pid: number): string | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return `${pid} ${fields[19]}`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;
