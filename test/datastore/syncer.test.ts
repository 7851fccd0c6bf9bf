// The syncer delivers every difference once: at the start, while it watches, and after everything that can end a watch.
//

import assert from 'node:assert/strict';
import { KvError, type KvStore, type Operation } from '../../datastore/kv.ts';
import { createMemoryStore, type MemoryStore } from '../../datastore/memory.ts';
import { Follower } from './follower.ts';
import { seededRandom } from './random.ts';
import { until } from './until.ts';

const put = (key: string, value: string): Operation => ({ kind: 'put', key, value });
const remove = (key: string): Operation => ({ kind: 'delete', key });
const write = (store: KvStore, ...operations: Operation[]) => store.transact({ compare: [], then: operations });

describe('datastore/syncer', () => {
  let store: MemoryStore;
  let follower: Follower;

  beforeEach(() => {
    store = createMemoryStore();
  });
  afterEach(() => {
    follower.syncer.close();
  });

  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

  it('lists all prefixes in pages, says in-sync, then follows', async () => {
    for (const key of ['/a/1', '/a/2', '/a/3', '/a/4', '/b/1', '/c/1']) await write(store, put(key, 'x'));
    follower = new Follower(store, ['/a/', '/b/']);
    await follower.inSync();
    assert.deepEqual(follower.take(), ['/a/1=x', '/a/2=x', '/a/3=x', '/a/4=x', '/b/1=x']);
    assert.deepEqual(follower.statuses, ['resync', 'in-sync']);
    await write(store, put('/b/2', 'y'), remove('/a/1'), put('/c/2', 'no'));
    await until(() => follower.updates.length === 2, 'two updates');
    assert.deepEqual(follower.take().sort(), ['-/a/1', '/b/2=y']);
    assert.equal(follower.batches.at(-1)?.length, 2, 'one transaction, one batch');
  });

  it('is in sync with an empty store', async () => {
    follower = new Follower(store, ['/a/']);
    await follower.inSync();
    assert.deepEqual(follower.take(), []);
  });

  it('watches a prefix inside another one once', async () => {
    follower = new Follower(store, ['/a/b/', '/a/', '/a/']);
    await follower.inSync();
    await write(store, put('/a/b/1', 'x'));
    await until(() => follower.updates.length > 0, 'the update');
    await settle();
    assert.deepEqual(follower.take(), ['/a/b/1=x']);
  });

  it('delivers the difference after a compaction ended its watches', async () => {
    await write(store, put('/a/keep', '1'), put('/a/change', '1'), put('/a/delete', '1'));
    follower = new Follower(store, ['/a/']);
    await follower.inSync();
    follower.take();
    store.setFault(new KvError('unavailable', 'down'));
    store.setFault(undefined);
    store.endWatches(new KvError('compacted', 'gone'));
    await write(store, put('/a/change', '2'), remove('/a/delete'), put('/a/new', '1'));
    await until(() => follower.updates.length >= 3, 'the difference');
    await follower.inSync();
    assert.deepEqual(follower.take(), ['/a/change=2', '/a/new=1', '-/a/delete']);
    assert.deepEqual(follower.errors, ['compacted']);
  });

  it('waits for a store that does not answer, and lists then', async () => {
    store.setFault(new KvError('unavailable', 'down'));
    follower = new Follower(store, ['/a/']);
    await until(() => follower.errors.length > 3, 'several tries');
    assert.equal(follower.syncer.status, 'waiting');
    store.setFault(undefined);
    await write(store, put('/a/1', 'x'));
    await follower.inSync();
    assert.deepEqual(follower.take(), ['/a/1=x']);
  });

  it('delivers the difference to another store, also where revisions happen twice', async () => {
    await write(store, put('/a/same', '1'));
    await write(store, put('/a/changed', '1'));
    await write(store, put('/a/gone', '1'));
    follower = new Follower(store, ['/a/']);
    await follower.inSync();
    follower.take();
    store.wipe();
    await write(store, put('/a/same', '1'));
    await write(store, put('/a/changed', '2'));
    await until(() => follower.updates.length >= 2, 'the difference');
    await follower.inSync();
    assert.deepEqual(follower.take(), ['/a/changed=2', '-/a/gone']);
  });

  it('starts over when the store is replaced or compacted between two pages', async () => {
    for (let i = 0; i < 9; i++) await write(store, put(`/a/${i}`, 'x'));
    let lists = 0;
    const list = store.list.bind(store);
    store.list = async (prefix, options) => {
      lists++;
      const page = await list(prefix, options);
      if (lists === 2) {
        const revision = (await write(store, put('/a/5', 'y'), remove('/a/1'))).revision;
        await store.compact(revision);
      }
      return page;
    };
    follower = new Follower(store, ['/a/']);
    await follower.inSync();
    assert.deepEqual(follower.errors, ['compacted']);
    assert.equal(follower.twin.size, 8);
    assert.equal(follower.twin.get('/a/5')?.value, 'y');
  });

  it('stops at close, even between pages', async () => {
    for (let i = 0; i < 9; i++) await write(store, put(`/a/${i}`, 'x'));
    follower = new Follower(store, ['/a/']);
    await until(() => follower.updates.length > 0, 'the first page');
    follower.syncer.close();
    const seen = follower.updates.length;
    await settle();
    assert.equal(follower.updates.length, seen);
  });

  it('resyncs on request, and once more when asked meanwhile', async () => {
    await write(store, put('/a/1', 'x'));
    follower = new Follower(store, ['/a/']);
    await follower.inSync();
    follower.syncer.resync();
    follower.syncer.resync();
    await settle();
    follower.syncer.resync();
    await write(store, put('/a/2', 'x'));
    await until(() => follower.updates.length === 2, 'the second key');
    await follower.inSync();
    assert.deepEqual(follower.take(), ['/a/1=x', '/a/2=x']);
  });

  it('is always equal to the store in the end, under random writes and faults', async () => {
    const { next: random } = seededRandom(20261121);
    follower = new Follower(store, ['/a/', '/b/']);
    for (let step = 0; step < 600; step++) {
      const key = `/${random() < 0.5 ? 'a' : random() < 0.8 ? 'b' : 'c'}/${Math.floor(random() * 12)}`;
      const dice = random();
      if (dice < 0.6) await write(store, put(key, String(Math.floor(random() * 3))));
      else if (dice < 0.8) await write(store, remove(key));
      else if (dice < 0.85) store.endWatches(new KvError('compacted', 'gone'));
      else if (dice < 0.88) await store.compact((await store.status()).revision).catch(() => {});
      else if (dice < 0.9) store.wipe();
      else if (dice < 0.93) {
        store.setFault(new KvError('unavailable', 'down'));
        await settle();
        store.setFault(undefined);
      } else await new Promise((resolve) => setImmediate(resolve));
    }
    await write(store, put('/a/end', String(1)));
    await until(() => follower.twin.has('/a/end'), 'the last write');
    await follower.inSync();
    await follower.equals(store, ['/a/', '/b/']);
  });
});
