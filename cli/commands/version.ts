// version: of this program, and of the cluster unless only the client's was asked for; with --poll again and again.

import { setTimeout as pause } from 'node:timers/promises';
import type { Resources } from '../../datastore/resources.ts';
import { version } from '../../runtime/version.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface VersionOptions extends GlobalOptions {
  readonly client?: boolean;
  readonly poll?: string;
}

export async function runVersion(options: VersionOptions, world: World): Promise<void> {
  const pollMs = options.poll === undefined ? 0 : await parsePoll(options.poll);
  world.out(`Client Version:    v${version}\n`);
  if (options.client) return;
  if (pollMs === 0) await show(options, world, new Map());
  else await poll(options, world, pollMs);
}

async function parsePoll(text: string): Promise<number> {
  const { parseDurationMs } = await import('../../datastore/model/index.ts');
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= 0) return ms;
  throw new CommandError(`Invalid poll duration specified: ${text}; write it as 1s, 10m or 2h`);
}

/** Until somebody interrupts. A datastore that does not answer is no reason to stop looking. */
async function poll(options: VersionOptions, world: World, pollMs: number): Promise<void> {
  const stop = new AbortController();
  void world.interrupted().then(() => stop.abort());
  const shown = new Map<string, string>();
  while (!stop.signal.aborted) {
    await show(options, world, shown).catch((error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
      shown.clear();
      world.err(`Unable to retrieve Cluster Version or Type: ${error.message}\n`);
    });
    await pause(pollMs, undefined, { signal: stop.signal }).catch(() => {});
  }
}

/** Prints what is not shown yet. */
async function show(options: VersionOptions, world: World, shown: Map<string, string>): Promise<void> {
  const facts = await withResources(options, world, readFacts);
  for (const [name, value] of facts) {
    if (shown.get(name) === value) continue;
    shown.set(name, value);
    world.out(`${name.padEnd(19)}${value}\n`);
  }
}

async function readFacts(resources: Resources): Promise<readonly (readonly [string, string])[]> {
  const information = await resources.find('ClusterInformation', 'default');
  return [
    ['Cluster Version:', information?.spec.calicoVersion ?? 'unknown'],
    ['Cluster Type:', information?.spec.clusterType || 'unknown'],
  ];
}
