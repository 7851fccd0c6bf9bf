// A new data directory from a snapshot: ours or etcd's, as Maintenance.Snapshot gives it (`etcdctl snapshot save`), the db
// file of an etcd that is stopped, or one of our own snapshot-N files. Revisions and history stay what they were.
//
// The new store has another cluster id: whoever has followed the old one must notice that revisions may have gone back.

import { closeSync, existsSync, mkdirSync, openSync, readSync } from 'node:fs';
import type { Mvcc } from '../mvcc.ts';
import { readEtcdSnapshot } from './etcd-snapshot.ts';
import { listFiles } from './files.ts';
import { newId } from './id.ts';
import { Journal } from './journal.ts';
import { MAGIC } from './record.ts';
import { readSnapshotFile } from './recovery.ts';
import { capture, writeSnapshot } from './snapshot.ts';

/** Throws an Error for the operator when the file is no whole snapshot or the directory is not empty. */
export async function restoreSnapshot(file: string, directory: string): Promise<void> {
  if (!existsSync(file)) throw new Error(`${file} does not exist`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { snapshots, logs } = listFiles(directory);
  if (snapshots.length + logs.length > 0) {
    throw new Error(`${directory} already holds a store; restore into an empty directory`);
  }
  const mvcc = readStore(file);
  const clusterId = newId();
  await writeSnapshot(directory, 1, capture(mvcc, clusterId));
  const failed = (error: Error): never => {
    throw error;
  };
  new Journal(directory, clusterId, { number: 1, bytes: 0 }, { onDurable: () => {}, onFailure: failed }).close();
}

function readStore(file: string): Mvcc {
  try {
    return startsWith(file, MAGIC) ? readSnapshotFile(file) : readEtcdSnapshot(file);
  } catch (error) {
    throw new Error(`${file} can not be restored: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function startsWith(file: string, magic: Buffer): boolean {
  const fd = openSync(file, 'r');
  try {
    const start = Buffer.alloc(magic.length);
    readSync(fd, start, 0, start.length, 0);
    return start.equals(magic);
  } finally {
    closeSync(fd);
  }
}
