// Start-up: the newest whole snapshot, the logs since, and what a crash left behind.

import { closeSync, fsyncSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { Mvcc, type Version } from '../mvcc.ts';
import { type FileEnd, listFiles, logPath, readFrames, snapshotPath, temporarySnapshotPath } from './files.ts';
import { FORMAT, type Item, readItems } from './record.ts';

export interface Recovered {
  readonly mvcc: Mvcc;
  /** Undefined for a new directory. */
  readonly clusterId: string | undefined;
  /** The log to continue and its length; 0 and 0 for a new directory. */
  readonly log: { readonly number: number; readonly bytes: number };
  /** Bytes of a frame that a crash cut short: never acknowledged, now removed. */
  readonly tornBytes: number;
}

/** The data directory can not be used as it is; the message says which file, and why. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError';
}

export function recover(directory: string): Recovered {
  const { snapshots, logs } = listFiles(directory);
  const replayer = new Replayer();
  const base = snapshots.at(-1) ?? 0;
  if (base > 0) readSnapshot(snapshotPath(directory, base), replayer);
  // Snapshot n holds all of the logs before n; the first store has no snapshot and begins with log 1.
  const wanted = logs.filter((number) => number >= Math.max(base, 1));
  const last = wanted.at(-1) ?? 0;
  if (base > 0 && wanted[0] !== base) throw new RecoveryError(`${logPath(directory, base)} is missing`);
  if (base === 0 && last > 0 && wanted[0] !== 1) throw new RecoveryError(`${logPath(directory, 1)} is missing`);
  let tornBytes = 0;
  let bytes = 0;
  for (const [i, number] of wanted.entries()) {
    if (i > 0 && number !== (wanted[i - 1] ?? 0) + 1) {
      throw new RecoveryError(`${logPath(directory, number - 1)} is missing`);
    }
    const path = logPath(directory, number);
    const end = readFrames(path, (payload) => replayer.payload(path, payload));
    bytes = end.bytes;
    if (end.kind === 'damaged') tornBytes += repair(path, end, number === last);
  }
  removeLeftovers(directory, base, snapshots, logs);
  return { mvcc: replayer.mvcc, clusterId: replayer.clusterId, log: { number: last, bytes }, tornBytes };
}

/** The store in a snapshot that lies outside of a data directory. */
export function readSnapshotFile(path: string): Mvcc {
  const replayer = new Replayer();
  readSnapshot(path, replayer);
  return replayer.mvcc;
}

/** Applies what files say to an empty store. */
class Replayer {
  readonly mvcc = new Mvcc();
  clusterId: string | undefined;
  ended = false;
  #inBase = false;
  /** The revision of the snapshot, when the items that come belong to one. */
  #baseRevision = 0;

  payload(path: string, payload: Buffer): void {
    try {
      for (const item of readItems(payload)) this.#item(item);
    } catch (error) {
      throw new RecoveryError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  beginSnapshot(): void {
    this.#inBase = true;
  }

  #item(item: Item): void {
    switch (item.kind) {
      case 'header':
        if (item.format !== FORMAT) throw new Error(`format ${item.format} is not known here, ${FORMAT} is`);
        if (this.clusterId !== undefined && this.clusterId !== item.clusterId) {
          throw new Error(`it belongs to another store (cluster ${item.clusterId} beside ${this.clusterId})`);
        }
        this.clusterId = item.clusterId;
        return;
      case 'change':
        this.#change(item.change);
        return;
      case 'grant':
        // Deadlines start anew after recovery: nobody could renew while the store was away.
        this.mvcc.leases.grant(item.id, item.ttlSec, 0);
        return;
      case 'revoke':
        this.mvcc.leases.delete(item.id);
        return;
      case 'compact':
        this.mvcc.compact(item.revision);
        return;
      case 'base':
        this.#inBase = false;
        this.#baseRevision = item.revision;
        this.mvcc.startFrom(item.revision);
        return;
      case 'end':
        if (this.mvcc.revision !== item.revision) {
          throw new Error(`it ends at revision ${this.mvcc.revision} instead of ${item.revision}`);
        }
        this.ended = true;
        return;
    }
  }

  #change(change: Omit<Version, 'older'>): void {
    if (this.#inBase) this.mvcc.load(change);
    else if (change.modRevision >= Math.max(this.mvcc.revision, this.#baseRevision)) this.mvcc.replay(change);
    else throw new Error(`revision ${change.modRevision} comes after ${this.mvcc.revision}`);
  }
}

function readSnapshot(path: string, replayer: Replayer): void {
  replayer.beginSnapshot();
  const end = readFrames(path, (payload) => replayer.payload(path, payload));
  // It was renamed into place after it was whole on disk, so this is no trace of a crash.
  if (end.kind === 'damaged' || !replayer.ended) throw new RecoveryError(`${path} is damaged at byte ${end.bytes}`);
}

function repair(path: string, end: FileEnd & { kind: 'damaged' }, isLast: boolean): number {
  if (!isLast || end.later) {
    throw new RecoveryError(
      `${path} is damaged at byte ${end.bytes} and goes on behind it: acknowledged data were lost by the disk. ` +
        'Restore a backup, or cut the file there to continue with what was before',
    );
  }
  const fd = openSync(path, 'r+');
  try {
    ftruncateSync(fd, end.bytes);
    fsyncSync(fd);
    return end.end - end.bytes;
  } finally {
    closeSync(fd);
  }
}

/** Files that a newer snapshot has made useless; only after everything was read well. */
function removeLeftovers(directory: string, base: number, snapshots: readonly number[], logs: readonly number[]): void {
  rmSync(temporarySnapshotPath(directory), { force: true });
  for (const number of snapshots) if (number < base) rmSync(snapshotPath(directory, number));
  for (const number of logs) if (number < base) rmSync(logPath(directory, number));
}
