// The store of twill-datastore: mvcc.ts made durable.
//
//     request ─► Mvcc (at once, in memory) ─► Journal (group commit) ─► answer
//
// Nobody learns of a write before it is on disk, neither its writer, nor a reader, nor a watch: an answer waits until
// everything that it could have seen is durable. So the store never takes back a revision that anybody has heard of.

import { rmSync } from 'node:fs';
import {
  type KeyRange,
  type Mvcc,
  MvccError,
  type MvccTransaction,
  type Outcome,
  type RangeOptions,
  type RangeResult,
} from '../mvcc.ts';
import { listFiles, logPath, snapshotPath, temporarySnapshotPath } from './files.ts';
import { newId } from './id.ts';
import { Journal } from './journal.ts';
import { recover } from './recovery.ts';
import { type HistoryLimits, Retention } from './retention.ts';
import { type Capture, capture, writeSnapshot } from './snapshot.ts';

export interface EngineSettings {
  readonly directory: string;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** The disk failed: end the process. */
  readonly onFailure: (error: Error) => void;
  /** A snapshot could not be written; it is tried again a minute later, and the logs grow meanwhile. */
  readonly onSnapshotFailure?: (error: Error) => void;
  readonly history: HistoryLimits;
  /** Bytes that the file system still has for us. Below RESERVED_BYTES only deletions and compactions are taken. */
  readonly freeBytes?: () => number;
  /** A snapshot is due when the logs have grown past this, and past the size of the data. */
  readonly snapshotBytes?: number;
}

const SNAPSHOT_BYTES = 64 * 1024 * 1024;
const SNAPSHOT_RETRY_MS = 60_000;
/** Left for deleting, compacting and the snapshot that makes room again; a full disk would end the process. */
export const RESERVED_BYTES = 64 * 1024 * 1024;

export class Engine {
  readonly mvcc: Mvcc;
  readonly clusterId: string;
  readonly tornBytes: number;
  readonly #settings: EngineSettings;
  readonly #journal: Journal;
  readonly #retention: Retention;
  /** Answers that wait for the disk, in order of what they wait for. */
  readonly #waiting: { readonly sequence: number; readonly resolve: () => void }[] = [];
  readonly #listeners = new Set<() => void>();
  /** Sequence and revision of the writes on their way to the disk, in order. */
  readonly #written: { readonly sequence: number; readonly revision: number }[] = [];
  #durableRevision: number;
  #snapshotting = false;
  #noSnapshotBeforeMs = Number.NEGATIVE_INFINITY;
  #full = false;
  #idle: (() => void)[] = [];

  constructor(settings: EngineSettings) {
    this.#settings = settings;
    this.#retention = new Retention(settings.history);
    const recovered = recover(settings.directory);
    this.mvcc = recovered.mvcc;
    this.mvcc.leases.renewAll(settings.now());
    this.clusterId = recovered.clusterId ?? newId();
    this.tornBytes = recovered.tornBytes;
    this.#durableRevision = this.mvcc.revision;
    this.#journal = new Journal(settings.directory, this.clusterId, recovered.log, {
      onDurable: (sequence) => this.#onDurable(sequence),
      onFailure: settings.onFailure,
    });
  }

  /** The last revision that is on disk: what watches may know. */
  get durableRevision(): number {
    return this.#durableRevision;
  }

  /** Bytes on disk since the last snapshot. */
  get logBytes(): number {
    return this.#journal.bytesSinceSnapshot;
  }

  /** Throws MvccError at once when refused; resolves when durable. */
  async execute(transaction: MvccTransaction): Promise<Outcome> {
    if (this.#full && adds(transaction)) {
      throw new MvccError('no-space', 'the file system is nearly full: delete keys, or make room');
    }
    const outcome = this.mvcc.execute(transaction);
    this.#record(outcome);
    await this.#durable();
    return outcome;
  }

  async range(range: KeyRange, options: RangeOptions): Promise<RangeResult & { readonly revision: number }> {
    const result = this.mvcc.range(range, options);
    const revision = this.mvcc.revision;
    await this.#durable();
    return { ...result, revision };
  }

  async compact(revision: number): Promise<void> {
    this.mvcc.compact(revision);
    this.#journal.append({ kind: 'compact', revision });
    await this.#durable();
    this.#snapshotIfDue();
  }

  async grantLease(wantedId: string, ttlSec: number): Promise<string> {
    if (this.mvcc.leases.has(wantedId)) throw new MvccError('lease-exists', `lease ${wantedId} already exists`);
    const id = wantedId === '0' ? newId() : wantedId;
    this.mvcc.leases.grant(id, ttlSec, this.#settings.now());
    this.#journal.append({ kind: 'grant', id, ttlSec });
    await this.#durable();
    return id;
  }

  async revokeLease(id: string): Promise<number> {
    const outcome = this.mvcc.revokeLease(id);
    this.#record(outcome);
    this.#journal.append({ kind: 'revoke', id });
    await this.#durable();
    return outcome.revision;
  }

  /** False when the lease is not there (any more). */
  renewLease(id: string): boolean {
    return this.mvcc.leases.renew(id, this.#settings.now());
  }

  remainingLeaseSec(id: string): number | undefined {
    return this.mvcc.leases.remainingSec(id, this.#settings.now());
  }

  /** To be called a few times a second: what time brings about by itself. */
  tick(): void {
    const now = this.#settings.now();
    for (const id of this.mvcc.leases.expired(now)) void this.revokeLease(id);
    const revision = this.#retention.compactTo(this.mvcc, now);
    if (revision !== undefined) void this.compact(revision);
    this.#full = (this.#settings.freeBytes?.() ?? Number.POSITIVE_INFINITY) < RESERVED_BYTES;
  }

  /** True while writes are refused because the file system is nearly full. */
  get full(): boolean {
    return this.#full;
  }

  /** Called after each batch that reached the disk; returns what ends that. */
  onDurable(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when everything applied so far is on disk. */
  async settled(): Promise<void> {
    await this.#durable();
  }

  /** The whole store as it is now. */
  capture(): Capture {
    return capture(this.mvcc, this.clusterId);
  }

  /** Resolves when everything is on disk and no snapshot is being written. */
  async close(): Promise<void> {
    await this.#durable();
    if (this.#snapshotting) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#journal.close();
  }

  #record(outcome: Outcome): void {
    let sequence = 0;
    for (const change of outcome.changes) sequence = this.#journal.append({ kind: 'change', change });
    if (sequence > 0) this.#written.push({ sequence, revision: outcome.revision });
  }

  #durable(): Promise<void> | undefined {
    const sequence = this.#journal.appended;
    if (sequence === this.#journal.durable) return undefined;
    return new Promise((resolve) => this.#waiting.push({ sequence, resolve }));
  }

  #onDurable(sequence: number): void {
    let done = 0;
    for (const written of this.#written) {
      if (written.sequence > sequence) break;
      this.#durableRevision = written.revision;
      done++;
    }
    this.#written.splice(0, done);
    let answered = 0;
    for (const waiting of this.#waiting) {
      if (waiting.sequence > sequence) break;
      waiting.resolve();
      answered++;
    }
    this.#waiting.splice(0, answered);
    for (const listener of this.#listeners) listener();
    this.#snapshotIfDue();
  }

  #snapshotIfDue(): void {
    const limit = Math.max(this.#settings.snapshotBytes ?? SNAPSHOT_BYTES, this.mvcc.size);
    if (this.#snapshotting || this.#journal.bytesSinceSnapshot < limit) return;
    if (this.#settings.now() < this.#noSnapshotBeforeMs) return;
    this.#snapshotting = true;
    let captured: Capture | undefined;
    this.#journal.rotate({
      capture: () => {
        captured = this.capture();
      },
      begun: (number) => {
        if (captured) void this.#snapshot(number, captured);
      },
    });
  }

  async #snapshot(number: number, captured: Capture): Promise<void> {
    const { directory, now, onSnapshotFailure } = this.#settings;
    try {
      await writeSnapshot(directory, number, captured);
      this.#journal.snapshotTaken(number);
      const { snapshots, logs } = listFiles(directory);
      for (const old of snapshots) if (old < number) rmSync(snapshotPath(directory, old));
      for (const old of logs) if (old < number) rmSync(logPath(directory, old));
    } catch (error) {
      // Nothing is lost: the previous snapshot and all logs since are there. Most likely there is no room.
      rmSync(temporarySnapshotPath(directory), { force: true, recursive: true });
      this.#noSnapshotBeforeMs = now() + SNAPSHOT_RETRY_MS;
      onSnapshotFailure?.(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#snapshotting = false;
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }
}

function adds({ success, failure }: MvccTransaction): boolean {
  return [...success, ...failure].some(
    (operation) => operation.kind === 'put' || (operation.kind === 'transaction' && adds(operation.transaction)),
  );
}
