// A new data directory from a snapshot, as Maintenance.Snapshot gives it.
//
// The new store has another cluster id: whoever has followed the old one must notice that revisions may have gone back.

import { existsSync, mkdirSync } from 'node:fs';
import { listFiles } from './files.ts';
import { newId } from './id.ts';
import { Journal } from './journal.ts';
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
  const mvcc = readSnapshotFile(file);
  const clusterId = newId();
  await writeSnapshot(directory, 1, capture(mvcc, clusterId));
  const failed = (error: Error): never => {
    throw error;
  };
  new Journal(directory, clusterId, { number: 1, bytes: 0 }, { onDurable: () => {}, onFailure: failed }).close();
}
