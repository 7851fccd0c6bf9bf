// Removes what the lab made – its processes, its namespaces, its directory – and nothing else.

import { existsSync } from 'node:fs';
import { nothingInTheMaking } from './fabric.ts';
import { closeJournal, labExists, recordedNamespaces, removeLabDirectory } from './journal.ts';
import { endAllProcesses } from './processes.ts';
import { run } from './shell.ts';

export interface Removed {
  readonly processes: number;
  readonly namespaces: number;
}

/** Undefined when there was nothing to remove. Works from what is on disk alone, so also after a `kill -9` of the lab. */
export async function removeLab(): Promise<Removed | undefined> {
  if (!labExists()) return undefined;
  closeJournal();
  await nothingInTheMaking();
  const processes = await endAllProcesses();
  const namespaces = recordedNamespaces().filter((name) => existsSync(`/run/netns/${name}`));
  await Promise.all(namespaces.map((name) => run(['ip', 'netns', 'delete', name])));
  removeLabDirectory();
  return { processes, namespaces: namespaces.length };
}
