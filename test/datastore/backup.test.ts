// A backup is one moment of a store, read back whole or not at all; a restore makes a store equal to it.

import assert from 'node:assert/strict';
import { BackupError, backupLines, copyStore, restoreLines } from '../../datastore/backup.ts';
import type { KvStore } from '../../datastore/kv.ts';
import { createMemoryStore } from '../../datastore/memory.ts';

describe('datastore/backup', () => {
  const put = (store: KvStore, key: string, value: string) =>
    store.transact({ compare: [], then: [{ kind: 'put', key, value }] });
  const contents = async (store: KvStore): Promise<string> =>
    (await store.list('')).entries.map(({ key, value }) => `${key}=${value}`).join(' ');
  const collect = async (lines: AsyncIterable<string>): Promise<string[]> => {
    const all: string[] = [];
    for await (const line of lines) all.push(line);
    return all;
  };
  async function* each(lines: readonly string[]): AsyncGenerator<string> {
    yield* lines;
  }

  const filled = async (count: number): Promise<KvStore> => {
    const store = createMemoryStore();
    for (let i = 0; i < count; i++) await put(store, `/calico/${String(i).padStart(5, '0')}`, `wert-ü-${i}`);
    return store;
  };

  it('goes into an empty store as it was, also when the first one changes meanwhile', async () => {
    const store = await filled(2500);
    const expected = await contents(store);
    const lines: string[] = [];
    for await (const line of backupLines(store)) {
      if (lines.length === 10) await put(store, '/calico/00001', 'changed');
      lines.push(line);
    }
    const fresh = createMemoryStore();
    const result = await restoreLines(fresh, each(lines), { whenNotEmpty: 'refuse' });
    assert.deepEqual(result, { written: 2500, deleted: 0, unchanged: 0 });
    assert.equal(await contents(fresh), expected);
  });

  it('leaves out keys of a lease and other prefixes', async () => {
    const store = await filled(1);
    const lease = await store.grantLease(60);
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/calico/held', value: '', lease: lease.id }] });
    await put(store, '/other', '');
    const lines = await collect(backupLines(store, { prefix: '/calico/' }));
    assert.deepEqual(lines[1], '{"key":"/calico/00000","value":"wert-ü-0"}');
    assert.equal(lines.length, 3);
  });

  it('refuses a store that is not empty, or makes it equal and touches nothing beyond', async () => {
    const lines = await collect(backupLines(await filled(3), { prefix: '/calico/' }));
    const other = createMemoryStore();
    await put(other, '/calico/00000', 'wert-ü-0');
    await put(other, '/calico/extra', '');
    await put(other, '/other', 'kept');
    await assert.rejects(restoreLines(other, each(lines), { whenNotEmpty: 'refuse' }), /already holds 2 keys/);
    const result = await restoreLines(other, each(lines), { whenNotEmpty: 'replace' });
    assert.deepEqual(result, { written: 2, deleted: 1, unchanged: 1 });
    assert.match(await contents(other), /^\/calico\/00000=\S+ \/calico\/00001=\S+ \/calico\/00002=\S+ \/other=kept$/);
  });

  it('is read whole or not at all', async () => {
    const lines = await collect(backupLines(await filled(3)));
    const wrong: readonly (readonly [RegExp, readonly string[]])[] = [
      [/ends early/, lines.slice(0, -1)],
      [/changed or is damaged/, [...lines.slice(0, 2), ...lines.slice(3)]],
      [/line 3 is not an object/, [...lines.slice(0, 2), 'x', ...lines.slice(2)]],
      [/no backup made by/, ['{"format":"tar"}']],
      [/version 2 are not known/, ['{"format":"twill-backup","version":2}']],
      [/ends early, after 0 entries/, []],
    ];
    for (const [message, damaged] of wrong) {
      const store = createMemoryStore();
      await assert.rejects(restoreLines(store, each(damaged), { whenNotEmpty: 'refuse' }), (error) => {
        assert.ok(error instanceof BackupError);
        assert.match(error.message, message);
        return true;
      });
      assert.equal(await contents(store), '');
    }
  });

  it('copies from store to store', async () => {
    const from = await filled(10);
    const to = createMemoryStore();
    await copyStore(from, to, { whenNotEmpty: 'refuse' });
    assert.equal(await contents(to), await contents(from));
  });
});
