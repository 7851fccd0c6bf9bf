// Network namespaces: entering one for the length of a synchronous function, and creating and deleting named ones.
//
// setns() moves one thread. insideNetns() moves the calling thread there, runs the function and moves it back, all in one
// turn of the event loop, so that nothing else ever runs in the wrong place. Sockets keep the namespace that they were
// opened in for ever: open them inside, use them outside.

import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hasCode } from './errors.ts';
import { CLONE_NEWNET, mount, setns, unmount, unshare } from './libc.ts';

/** A namespace by its path (`/run/netns/x`, `/proc/42/ns/net`) or by an open descriptor of one. */
export type NetnsRef = string | number;

/** Where iproute2 keeps named namespaces, and so do we. */
export const netnsFolder = '/run/netns';

export const netnsPath = (name: string): string => `${netnsFolder}/${name}`;

const ownNetns = '/proc/thread-self/ns/net';

const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;

/**
 * Runs the function inside the namespace and returns what it returned. The function must be synchronous, and must start
 * no asynchronous work: a thread that a library makes meanwhile would stay inside for ever.
 * Without a namespace it just runs.
 */
export function insideNetns<T>(netns: NetnsRef | undefined, run: () => T): T {
  if (netns === undefined) return run();
  const home = openSync(ownNetns, 'r');
  try {
    const target = typeof netns === 'number' ? netns : openSync(netns, 'r');
    try {
      setns(target, CLONE_NEWNET);
    } finally {
      if (typeof netns !== 'number') closeSync(target);
    }
    try {
      return run();
    } finally {
      setns(home, CLONE_NEWNET);
    }
  } finally {
    closeSync(home);
  }
}

/** Runs the function with an open descriptor of the namespace; the calling thread's own without a path. */
export function withNetnsFd<T>(netns: NetnsRef | undefined, run: (fd: number) => T): T {
  if (typeof netns === 'number') return run(netns);
  const fd = openSync(netns ?? ownNetns, 'r');
  try {
    return run(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names one namespace among all of this machine's, for as long as it lives: "<device>:<inode>". */
export function netnsIdentity(netns: NetnsRef | undefined): string {
  return withNetnsFd(netns, (fd) => {
    const { dev, ino } = statSync(`/proc/self/fd/${fd}`, { bigint: true });
    return `${dev}:${ino}`;
  });
}

/** Runs the synchronous function in a new, empty namespace that is gone afterwards: for probing what the kernel can do. */
export function insideScratchNetns<T>(run: () => T): T {
  const home = openSync(ownNetns, 'r');
  try {
    unshare(CLONE_NEWNET);
    try {
      return run();
    } finally {
      setns(home, CLONE_NEWNET);
    }
  } finally {
    closeSync(home);
  }
}

/** Creates a named namespace as `ip netns add` does; LinuxError or a system error of code EEXIST when it is there. */
export function createNetns(name: string): void {
  makeNetnsFolder();
  const path = netnsPath(name);
  writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
  const home = openSync(ownNetns, 'r');
  try {
    unshare(CLONE_NEWNET);
    try {
      mount(ownNetns, path, 'none', MS_BIND);
    } finally {
      setns(home, CLONE_NEWNET);
    }
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(home);
  }
}

/** Removes the name; the namespace itself ends with its last process or descriptor. False when there was none. */
export function deleteNetns(name: string): boolean {
  const path = netnsPath(name);
  try {
    unmount(path, MNT_DETACH);
  } catch (error) {
    // EINVAL: a file without a mount, left by someone who died between the two steps.
    if (hasCode(error, 'ENOENT')) return false;
    if (!hasCode(error, 'EINVAL')) throw error;
  }
  rmSync(path, { force: true });
  return true;
}

/** Names of all named namespaces, in alphabetical order. */
export function listNetns(): string[] {
  try {
    return readdirSync(netnsFolder).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The folder must be a shared mount point, so that a deleted namespace disappears from other mount namespaces too. */
function makeNetnsFolder(): void {
  mkdirSync(netnsFolder, { recursive: true, mode: 0o755 });
  try {
    mount('', netnsFolder, 'none', MS_SHARED | MS_REC);
  } catch (error) {
    if (!hasCode(error, 'EINVAL')) throw error;
    mount(netnsFolder, netnsFolder, 'none', MS_BIND | MS_REC);
    mount('', netnsFolder, 'none', MS_SHARED | MS_REC);
  }
}
