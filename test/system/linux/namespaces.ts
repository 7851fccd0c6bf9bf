// Network namespaces for tests: made before, removed after, with names that begin with `tw-linux-`.

import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';

/** Registers hooks of the describe block around it; returns a function from short name to path. */
export function useNetns(...names: readonly string[]): (name: string) => string {
  const full = (name: string): string => `tw-linux-${process.pid}-${name}`;
  before(() => names.forEach((name) => void createNetns(full(name))));
  after(() => names.forEach((name) => void deleteNetns(full(name))));
  return (name) => netnsPath(full(name));
}

/** Waits until the condition holds; rejects after the deadline. */
export async function until(what: string, condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
