// Everything below /calico as a file, and back: for backups, and for moving between etcd and twill-datastore.
//
// One JSON object a line: a head, an entry for each key, a tail with their number and a hash over them, so that a file that
// was cut short is recognised before anything is written. Keys bound to a lease are somebody's heartbeat and stay out.

import { createHash } from 'node:crypto';
import type { KvEntry, KvStore, Operation } from '../datastore/kv.ts';
import { rootPrefix } from '../datastore/model/index.ts';
import { isObject } from '../datastore/model/schema/check.ts';
import { pagesOf } from '../datastore/pages.ts';
import { CommandError } from './world.ts';

const format = 'twill-datastore-export/1';
/** etcd takes 128 operations in one transaction. */
const batchSize = 100;

export type Progress = (done: number) => void;

/** The entries of one revision, page by page. */
async function* entriesOf(store: KvStore): AsyncGenerator<readonly KvEntry[]> {
  for await (const { entries } of pagesOf(store, rootPrefix)) {
    yield entries.filter(({ lease }) => lease === undefined || lease === '0');
  }
}

/** The lines of an export, each with its line break. */
export async function* exportLines(store: KvStore, now: Date): AsyncGenerator<string> {
  const { clusterId, version } = await store.status();
  yield `${JSON.stringify({ format, clusterId, server: version, at: now.toISOString() })}\n`;
  const hash = createHash('sha256');
  let entries = 0;
  for await (const page of entriesOf(store)) {
    for (const { key, value } of page) {
      const line = `${JSON.stringify({ key, value })}\n`;
      hash.update(line);
      entries++;
      yield line;
    }
  }
  yield `${JSON.stringify({ entries, sha256: hash.digest('hex') })}\n`;
}

type Pair = readonly [key: string, value: string];

/** The keys and values of an export; throws when it is not one, or not all of one. */
export function readExport(text: string, name: string): readonly Pair[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const [head, tail] = [parseLine(lines[0]), parseLine(lines.at(-1))];
  if (head?.['format'] !== format) throw new CommandError(`${name} is not an export of twillctl (${format})`);
  const body = lines.slice(1, -1);
  const hash = createHash('sha256');
  for (const line of body) hash.update(`${line}\n`);
  if (tail?.['entries'] !== body.length || tail['sha256'] !== hash.digest('hex')) {
    throw new CommandError(`${name} is not complete, or was changed: its last line does not fit the rest`);
  }
  return body.map((line, i): Pair => {
    const { key, value } = parseLine(line) ?? {};
    if (typeof key !== 'string' || typeof value !== 'string' || !key.startsWith(rootPrefix)) {
      throw new CommandError(`${name}, line ${i + 2}: not an entry below ${rootPrefix}`);
    }
    return [key, value];
  });
}

function parseLine(line: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line ?? '');
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the pairs to a store that has nothing below /calico, or after removing what it has with `replace`. */
export async function importPairs(
  store: KvStore,
  pairs: readonly Pair[],
  options: { readonly replace: boolean; readonly progress: Progress },
): Promise<void> {
  const present = await store.list(rootPrefix, { limit: 1, keysOnly: true });
  if (present.entries.length > 0 && !options.replace) {
    throw new CommandError(
      `the datastore is not empty (${present.entries[0]?.key} …); --force removes what it has first`,
    );
  }
  if (present.entries.length > 0) {
    await store.transact({ compare: [], then: [{ kind: 'delete-prefix', prefix: rootPrefix }] });
  }
  for (let i = 0; i < pairs.length; i += batchSize) {
    const then = pairs.slice(i, i + batchSize).map(([key, value]): Operation => ({ kind: 'put', key, value }));
    await store.transact({ compare: [], then });
    options.progress(Math.min(i + batchSize, pairs.length));
  }
}

/** Copies what `source` has, then compares every key; throws when they differ. */
export async function copyStore(
  source: KvStore,
  target: KvStore,
  options: { readonly replace: boolean; readonly progress: Progress },
): Promise<number> {
  const pairs: Pair[] = [];
  for await (const page of entriesOf(source)) for (const { key, value } of page) pairs.push([key, value]);
  await importPairs(target, pairs, options);
  const wanted = new Map(pairs);
  let found = 0;
  for await (const page of entriesOf(target)) {
    for (const { key, value } of page) {
      if (wanted.get(key) !== value) throw new CommandError(`the copy differs at ${key}; do not use it`);
      found++;
    }
  }
  if (found !== pairs.length) throw new CommandError(`the copy has ${found} of ${pairs.length} keys; do not use it`);
  return found;
}
