// A bbolt file that is written in one go reads back as it was, whatever the sizes; damage is told and not read over. That
// it is bbolt's format, and not only ours, test/system/datastore/snapshot.test.ts shows with etcd.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeMetaPage, type Entry, PAGE_BYTES, readPageHeader } from '../../../datastore/embedded/bolt/format.ts';
import { BoltFile } from '../../../datastore/embedded/bolt/read.ts';
import { boltFile } from '../../../datastore/embedded/bolt/write.ts';
import { type Random, seededRandom } from '../random.ts';

describe('datastore/embedded/bolt', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tw-bolt-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const path = (): string => join(directory, 'db');
  const write = (buckets: ReadonlyMap<string, readonly Entry[]>): Buffer => {
    const pieces = [...boltFile([...buckets].map(([name, entries]) => ({ name, entries: () => entries })))];
    const bytes = Buffer.concat(pieces);
    writeFileSync(path(), bytes);
    return bytes;
  };
  const readAll = (): Map<string, Entry[]> => {
    const file = new BoltFile(path());
    const read = new Map(file.bucketNames.map((name) => [name, [...file.entries(name)]]));
    file.close();
    return read;
  };
  const asText = (buckets: ReadonlyMap<string, readonly Entry[]>) =>
    [...buckets].map(([name, entries]) => [
      name,
      entries.map(({ key, value }) => `${key.toString('hex')}=${value.toString('hex')}`),
    ]);
  const numbered = (count: number, valueBytes: (i: number) => number): Entry[] =>
    Array.from({ length: count }, (_, i) => {
      const key = Buffer.alloc(8);
      key.writeUInt32BE(i, 4);
      return { key, value: Buffer.alloc(valueBytes(i), i) };
    });

  it('is whole pages, of which the first two say where everything is', () => {
    const bytes = write(new Map([['one', numbered(3, () => 10)]]));
    // Two meta pages, the free-list, a leaf, the root bucket.
    assert.equal(bytes.length, 5 * PAGE_BYTES);
    const metas = [0, 1].map((id) => decodeMetaPage(bytes.subarray(id * PAGE_BYTES)));
    assert.deepEqual(metas, [
      { rootPage: 4, freeListPage: 2, highWater: 5, transaction: 0 },
      { rootPage: 4, freeListPage: 2, highWater: 5, transaction: 1 },
    ]);
    assert.deepEqual(readPageHeader(bytes.subarray(4 * PAGE_BYTES)), { id: 4, flags: 2, count: 1, overflow: 0 });
  });

  it('keeps empty buckets, empty values, and values longer than a page', () => {
    const buckets = new Map([
      ['empty', []],
      ['long', numbered(7, (i) => i * 3000)],
    ]);
    write(buckets);
    assert.deepEqual(asText(readAll()), asText(buckets));
  });

  it('fills a tree of several levels, each branch with two children or more', () => {
    const entries = numbered(60_000, (i) => i % 200);
    const bytes = write(new Map([['many', entries]]));
    assert.deepEqual(asText(readAll()), asText(new Map([['many', entries]])));
    const branches = [];
    for (let at = 2 * PAGE_BYTES; at < bytes.length; ) {
      const header = readPageHeader(bytes.subarray(at));
      if (header.flags === 1) branches.push(header.count);
      at += (1 + header.overflow) * PAGE_BYTES;
    }
    assert.ok(branches.length > 10 && Math.min(...branches) >= 2, String(branches));
  });

  for (const seed of [1, 2, 3, 4, 5]) {
    it(`reads back what it wrote (seed ${seed})`, () => {
      const random = seededRandom(seed);
      const buckets = new Map(['a', 'b', 'c'].map((name) => [name, randomEntries(random)]));
      write(buckets);
      assert.deepEqual(asText(readAll()), asText(buckets));
    });
  }

  it('refuses what is cut, damaged or something else, and says what is wrong', () => {
    const bytes = write(new Map([['many', numbered(5000, () => 50)]]));
    truncateSync(path(), bytes.length - PAGE_BYTES);
    assert.throws(readAll, /it ends early/);
    const damaged = (at: number, change: number): void => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ change;
      writeFileSync(path(), copy);
    };
    // One meta page is enough.
    damaged(20, 0xff);
    assert.equal(readAll().get('many')?.length, 5000);
    damaged(3 * PAGE_BYTES, 0x01);
    assert.throws(readAll, /page 3 is damaged: it says that it is page 2/);
    damaged(3 * PAGE_BYTES + 8, 0x06);
    assert.throws(readAll, /page 3 is neither a leaf nor a branch/);
    damaged(3 * PAGE_BYTES + 16 + 13, 0x80);
    assert.throws(readAll, /page 3 is damaged: entry 0 is longer than the page/);
    writeFileSync(path(), 'no such file at all');
    assert.throws(readAll, /it is no bbolt file/);
  });
});

function randomEntries(random: Random): Entry[] {
  const keys = new Set(Array.from({ length: random.below(3000) }, () => `k${random.below(1_000_000)}`));
  return [...keys].sort().map((key) => ({
    key: Buffer.from(key),
    value: Buffer.alloc(random.next() < 0.02 ? random.below(20_000) : random.below(300), random.below(256)),
  }));
}
