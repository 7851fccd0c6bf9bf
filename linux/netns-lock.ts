// A lock that one process of a network namespace can have: a file in /run, named after the namespace's inode, under flock().
//
// The kernel gives it up with the process, be it by kill -9. Not an abstract socket, which would belong to the namespace by
// itself: any user of the machine could take its name.

import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { hasCode } from './errors.ts';
import { flock, LOCK_EX, LOCK_NB } from './libc.ts';

export type NetnsLock =
  | { readonly kind: 'locked'; readonly release: () => void }
  /** `by`: "process 4711 (twill-node)". */
  | { readonly kind: 'held'; readonly by: string };

/** Throws when the file cannot be made. */
export function lockNetns(purpose: string, folder = '/run/twill'): NetnsLock {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${purpose}-of-netns-${statSync('/proc/self/ns/net').ino}.lock`);
  for (;;) {
    const fd = openSync(path, 'a+', 0o600);
    if (!tryFlock(fd)) {
      closeSync(fd);
      return { kind: 'held', by: holderOf(path) };
    }
    // Whoever had it may have removed the file after we opened it.
    if (!isFileAt(path, fd)) {
      closeSync(fd);
      continue;
    }
    ftruncateSync(fd);
    writeSync(fd, `process ${process.pid} (${readFileSync('/proc/self/comm', 'utf8').trim()})\n`);
    const release = (): void => {
      unlinkSync(path);
      closeSync(fd);
    };
    return { kind: 'locked', release };
  }
}

/** It may be about to write its name, or to end. */
function holderOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim() || 'another process';
  } catch {
    return 'another process';
  }
}

function tryFlock(fd: number): boolean {
  try {
    flock(fd, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    // Two names of one number.
    if (hasCode(error, 'EWOULDBLOCK', 'EAGAIN')) return false;
    closeSync(fd);
    throw error;
  }
}

function isFileAt(path: string, fd: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  return there?.ino === fstatSync(fd).ino;
}
