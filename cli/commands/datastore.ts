// datastore: its state, backups, and moving it.

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { BackupError, backupLines, copyStore, restoreLines } from '../../datastore/backup.ts';
import type { KvStore } from '../../datastore/kv.ts';
import { declarationOf, type Kind, kinds, resourcePrefix, rootPrefix } from '../../datastore/model/index.ts';
import { pagesOf } from '../../datastore/pages.ts';
import { progressOf } from '../output/progress.ts';
import { formatBoxedTable } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { setReady } from './datastore-lock.ts';

export async function runDatastoreStatus(options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    const { store } = resources;
    const status = await store.status();
    const information = await resources.find('ClusterInformation', 'default');
    const ready = information?.spec.datastoreReady;
    const rows = [
      ['Server', status.version],
      ['Cluster id', status.clusterId],
      ['Member, leader', `${status.member ?? '-'}, ${status.leader ?? '-'}`],
      ['Revision', String(status.revision)],
      ['Size', `${(status.sizeBytes / 1048576).toFixed(1)} MiB`],
      ['State', ready === undefined ? 'not initialised' : ready ? 'ready' : 'locked'],
      ['Cluster GUID', information?.spec.clusterGUID ?? '-'],
    ];
    world.out(formatBoxedTable(['PROPERTY', 'VALUE'], rows));
    const counts: string[][] = [];
    for (const kind of Object.keys(kinds) as Kind[]) {
      const number = await countKeys(store, resourcePrefix(kind));
      if (number > 0) counts.push([declarationOf(kind).kind, String(number)]);
    }
    if (counts.length > 0) world.out(formatBoxedTable(['KIND', 'NUMBER'], counts));
  });
}

async function countKeys(store: KvStore, prefix: string): Promise<number> {
  let number = 0;
  for await (const page of pagesOf(store, prefix, { keysOnly: true })) number += page.entries.length;
  return number;
}

const scope = { prefix: rootPrefix } as const;

export async function runBackup(file: string | undefined, options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async ({ store }) => {
    const lines = backupLines(store, { ...scope, onProgress: shown(world) });
    if (file === undefined || file === '-') {
      for await (const line of lines) world.out(`${line}\n`);
      return;
    }
    const stream = createWriteStream(file, { mode: 0o600, flags: 'wx' });
    await once(stream, 'open').catch((error: unknown) => {
      throw new CommandError(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
    });
    let count = 0;
    for await (const line of lines) {
      count++;
      if (!stream.write(`${line}\n`)) await once(stream, 'drain');
    }
    stream.end();
    await once(stream, 'finish');
    // The first line and the last are about the others.
    world.out(`Backed up ${count - 2} keys to ${file}\n`);
  });
}

export interface ForceOptions extends GlobalOptions {
  readonly force?: boolean;
}

export async function runRestore(file: string, options: ForceOptions, world: World): Promise<void> {
  const text = file === '-' ? await world.readStdin() : world.readFile(file);
  if (text === undefined) throw new CommandError(`open ${file}: no such file or directory`);
  await withResources(options, world, async ({ store }) => {
    const { written, deleted, unchanged } = await asCommand(() =>
      restoreLines(store, linesOf(text), { ...whenNotEmpty(options), onProgress: shown(world) }),
    );
    world.out(`Restored ${written + unchanged} keys (${written} written, ${deleted} removed)\n`);
  });
}

async function* linesOf(text: string): AsyncGenerator<string> {
  yield* text.replace(/\n$/, '').split('\n');
}

const whenNotEmpty = ({ force }: ForceOptions) => ({ whenNotEmpty: force ? 'replace' : 'refuse' }) as const;

async function asCommand<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BackupError)
      throw new CommandError(error.message.replace('replace them', 'replace them with --force'));
    throw error;
  }
}

export interface CopyOptions extends ForceOptions {
  readonly to: string;
}

/** Between etcd and twill-datastore, in either direction. The source stays locked: it is the old one now. */
export async function runCopy(options: CopyOptions, world: World): Promise<void> {
  await withResources(options, world, async (source) => {
    await setReady(source, false);
    const { config: _, ...elsewhere } = options;
    await withResources({ ...elsewhere, etcdEndpoints: options.to }, world, async (target) => {
      const [from, to] = [await source.store.status(), await target.store.status()];
      if (from.clusterId === to.clusterId) throw new CommandError('--to is the same datastore');
      const { written, unchanged } = await asCommand(() =>
        copyStore(source.store, target.store, { ...scope, ...whenNotEmpty(options), onProgress: shown(world) }),
      );
      // Once more: what is equal by then needs no writing.
      const again = await copyStore(source.store, target.store, { ...scope, whenNotEmpty: 'replace' });
      if (again.written + again.deleted > 0)
        throw new CommandError('one of the datastores was changed meanwhile; copy again with --force');
      await setReady(target, true);
      world.out(
        `Copied and compared ${written + unchanged} keys to ${options.to}, which is unlocked; the source stays locked.\n`,
      );
    });
  });
}

/** Says how far it is. */
function shown(world: World): (keys: number) => void {
  const show = progressOf(world);
  return (keys) => show(`${keys} keys`);
}
