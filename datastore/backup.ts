// Backup, restore and migration of a store: any KvStore into lines of JSON and back, or straight into another one.
//
//     {"format":"twill-backup","version":1,"clusterId":"…","revision":1234,"prefix":"/calico/"}
//     {"key":"/calico/…","value":"…"}
//     …
//     {"end":2,"sha256":"…"}         how many entries, and the checksum of their lines
//
// A backup is one moment: all pages are read at one revision. Keys that are bound to a lease are left out: they are about
// processes that live now. Revisions are not kept; a restored store counts its own.

import { createHash } from 'node:crypto';
import { type KvEntry, KvError, type KvStore, type Operation, type Revision } from './kv.ts';

export interface BackupHeader {
  readonly clusterId: string;
  readonly revision: Revision;
  readonly prefix: string;
}

export interface BackupOptions {
  /** Only keys below it; everything when absent. */
  readonly prefix?: string;
  readonly onProgress?: (keys: number) => void;
}

/** The file is no whole backup; the message says what is wrong with it, and nothing was written. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const PAGE_SIZE = 1000;
/** Operations in one transaction: below etcd's 128, and together below its 1.5 MB. */
const MAX_OPERATIONS = 100;
const MAX_TRANSACTION_BYTES = 1_000_000;

/** Lines of a backup, without their ends. */
export async function* backupLines(
  store: KvStore,
  options: BackupOptions = {},
): AsyncGenerator<string, void, undefined> {
  const { prefix = '', onProgress } = options;
  const hash = createHash('sha256');
  let count = 0;
  for await (const page of pages(store, prefix)) {
    if (count === 0 && page.first) {
      const { clusterId, revision } = page;
      yield JSON.stringify({ format: 'twill-backup', version: 1, clusterId, revision, prefix });
    }
    for (const { key, value } of page.entries) {
      const line = JSON.stringify({ key, value });
      hash.update(line).update('\n');
      count++;
      yield line;
    }
    onProgress?.(count);
  }
  yield JSON.stringify({ end: count, sha256: hash.digest('hex') });
}

export interface RestoreResult {
  readonly written: number;
  readonly deleted: number;
  /** Keys that were there already as they should be. */
  readonly unchanged: number;
}

export interface RestoreOptions {
  /** What to do when the store already holds keys below the backup's prefix: refuse, or make it equal to the backup. */
  readonly whenNotEmpty: 'refuse' | 'replace';
  readonly onProgress?: (keys: number) => void;
}

/**
 * Makes the store equal to the backup below the backup's prefix. The lines are checked as a whole before anything is
 * written; an interrupted restore is repeated with `replace`.
 */
export async function restoreLines(
  store: KvStore,
  lines: AsyncIterable<string>,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { header, entries } = await readBackup(lines);
  return makeEqual(store, header.prefix, entries, options);
}

/** Copies what is below the prefix from one store to another, as a backup and a restore would. */
export async function copyStore(
  from: KvStore,
  to: KvStore,
  options: RestoreOptions & { readonly prefix?: string },
): Promise<RestoreResult> {
  const { prefix = '' } = options;
  const entries = new Map<string, string>();
  for await (const page of pages(from, prefix)) for (const { key, value } of page.entries) entries.set(key, value);
  return makeEqual(to, prefix, entries, options);
}

interface Page {
  readonly first: boolean;
  readonly entries: readonly KvEntry[];
  readonly revision: Revision;
  readonly clusterId: string;
}

async function* pages(store: KvStore, prefix: string): AsyncGenerator<Page, void, undefined> {
  let page = await store.list(prefix, { limit: PAGE_SIZE });
  const { revision, clusterId = '' } = page;
  for (let first = true; ; first = false) {
    yield { first, entries: page.entries.filter((entry) => entry.lease === undefined), revision, clusterId };
    const last = page.entries.at(-1);
    if (!page.more || !last) return;
    page = await store.list(prefix, { limit: PAGE_SIZE, revision, after: last.key });
  }
}

/** Reads and checks a whole backup. Throws BackupError. */
export async function readBackup(
  lines: AsyncIterable<string>,
): Promise<{ readonly header: BackupHeader; readonly entries: ReadonlyMap<string, string> }> {
  const hash = createHash('sha256');
  const entries = new Map<string, string>();
  let header: BackupHeader | undefined;
  let ended = false;
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line === '' && ended) continue;
    if (ended) throw new BackupError(`line ${number}: there is more after the end`);
    const parsed = parseLine(line, number);
    if (!header) header = toHeader(parsed);
    else if ('end' in parsed) {
      const sum = hash.digest('hex');
      if (parsed['end'] !== entries.size || parsed['sha256'] !== sum) {
        throw new BackupError(`the backup was changed or is damaged: ${entries.size} entries, checksum ${sum}`);
      }
      ended = true;
    } else {
      const { key, value } = parsed;
      if (typeof key !== 'string' || typeof value !== 'string') {
        throw new BackupError(`line ${number}: {"key": text, "value": text} is needed`);
      }
      hash.update(line).update('\n');
      entries.set(key, value);
    }
  }
  if (!header || !ended) throw new BackupError(`the backup ends early, after ${entries.size} entries`);
  return { header, entries };
}

function parseLine(line: string, number: number): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed };
  } catch {
    // Said below.
  }
  throw new BackupError(`line ${number} is not an object in JSON`);
}

function toHeader(parsed: Readonly<Record<string, unknown>>): BackupHeader {
  const { format, version, clusterId, revision, prefix } = parsed;
  if (format !== 'twill-backup') throw new BackupError('this is no backup made by twillctl datastore backup');
  if (version !== 1) throw new BackupError(`backups of version ${String(version)} are not known here, version 1 is`);
  if (typeof clusterId !== 'string' || typeof revision !== 'number' || typeof prefix !== 'string') {
    throw new BackupError('line 1: clusterId, revision and prefix are needed');
  }
  return { clusterId, revision, prefix };
}

async function makeEqual(
  store: KvStore,
  prefix: string,
  wanted: ReadonlyMap<string, string>,
  { whenNotEmpty, onProgress }: RestoreOptions,
): Promise<RestoreResult> {
  const writer = new Writer(store, onProgress);
  const present = new Map<string, string>();
  for await (const page of pages(store, prefix)) for (const { key, value } of page.entries) present.set(key, value);
  if (present.size > 0 && whenNotEmpty === 'refuse') {
    throw new BackupError(
      `the store already holds ${present.size} keys below "${prefix}"; replace them, or use an empty one`,
    );
  }
  let [written, deleted] = [0, 0];
  for (const [key, value] of wanted) {
    if (present.get(key) === value) continue;
    await writer.add({ kind: 'put', key, value });
    written++;
  }
  for (const key of present.keys()) {
    if (wanted.has(key)) continue;
    await writer.add({ kind: 'delete', key });
    deleted++;
  }
  await writer.flush();
  return { written, deleted, unchanged: wanted.size - written };
}

/** Collects operations into transactions. */
class Writer {
  readonly #store: KvStore;
  readonly #onProgress: ((keys: number) => void) | undefined;
  #operations: Operation[] = [];
  #bytes = 0;
  #done = 0;

  constructor(store: KvStore, onProgress: ((keys: number) => void) | undefined) {
    this.#store = store;
    this.#onProgress = onProgress;
  }

  async add(operation: Extract<Operation, { kind: 'put' | 'delete' }>): Promise<void> {
    const bytes = operation.key.length * 3 + (operation.kind === 'put' ? operation.value.length * 3 : 0);
    if (this.#bytes + bytes > MAX_TRANSACTION_BYTES) await this.flush();
    this.#operations.push(operation);
    this.#bytes += bytes;
    if (this.#operations.length >= MAX_OPERATIONS) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#operations.length === 0) return;
    const then = this.#operations;
    this.#operations = [];
    this.#bytes = 0;
    await this.#transact(then);
    this.#done += then.length;
    this.#onProgress?.(this.#done);
  }

  /** These writes say what should be there: doing them twice does no harm, so an unknown outcome is simply repeated. */
  async #transact(then: readonly Operation[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#store.transact({ compare: [], then });
        return;
      } catch (error) {
        if (!(error instanceof KvError) || error.code !== 'unknown-outcome' || attempt === 5) throw error;
      }
    }
  }
}
