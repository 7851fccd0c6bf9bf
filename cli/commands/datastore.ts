// datastore: its state, backups, and moving it.

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { KvStore } from '../../datastore/kv.ts';
import { declarationOf, type Kind, kinds, resourcePrefix } from '../../datastore/model/index.ts';
import { pagesOf } from '../../datastore/pages.ts';
import type { Resources } from '../../datastore/resources.ts';
import { progressOf } from '../output/progress.ts';
import { formatBoxedTable } from '../output/table.ts';
import { copyStore, exportLines, importPairs, type Progress, readExport } from '../transfer.ts';
import { CommandError, type World } from '../world.ts';
import { changeResource } from './change.ts';
import { type GlobalOptions, withResources } from './context.ts';

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

export async function runBackup(file: string | undefined, options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async ({ store }) => {
    const lines = exportLines(store, new Date());
    if (file === undefined || file === '-') {
      for await (const line of lines) world.out(line);
      return;
    }
    const stream = createWriteStream(file, { mode: 0o600, flags: 'wx' });
    await once(stream, 'open').catch((error: unknown) => {
      throw new CommandError(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`);
    });
    let count = 0;
    for await (const line of lines) {
      count++;
      if (!stream.write(line)) await once(stream, 'drain');
    }
    stream.end();
    await once(stream, 'finish');
    world.out(`Backed up ${count - 2} keys to ${file}\n`);
  });
}

export interface ForceOptions extends GlobalOptions {
  readonly force?: boolean;
}

export async function runRestore(file: string, options: ForceOptions, world: World): Promise<void> {
  const text = file === '-' ? world.readStdin() : world.readFile(file);
  if (text === undefined) throw new CommandError(`open ${file}: no such file or directory`);
  const pairs = readExport(text, file === '-' ? 'standard input' : file);
  await withResources(options, world, async ({ store }) => {
    await importPairs(store, pairs, { replace: options.force === true, progress: shown(world, pairs.length) });
    world.out(`Restored ${pairs.length} keys\n`);
  });
}

/** Agents leave the kernel as it is, and the CNI plugin waits, while the datastore is locked. */
export async function runLock(locked: boolean, options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    await setReady(resources, !locked);
    world.out(`Datastore ${locked ? 'locked' : 'unlocked'}.\n`);
  });
}

async function setReady(resources: Resources, ready: boolean): Promise<void> {
  await changeResource(
    resources,
    { kind: 'ClusterInformation', name: 'default', namespace: undefined },
    (resource) => ({
      ...resource,
      spec: { ...resource.spec, datastoreReady: ready },
    }),
  );
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
      const copied = await copyStore(source.store, target.store, {
        replace: options.force === true,
        progress: shown(world, undefined),
      });
      await setReady(target, true);
      world.out(`Copied and compared ${copied} keys to ${options.to}, which is unlocked; the source stays locked.\n`);
    });
  });
}

/** Says how far it is. */
function shown(world: World, total: number | undefined): Progress {
  const show = progressOf(world);
  return (done) => show(`${done}${total === undefined ? '' : ` of ${total}`} keys`);
}
