// The store in memory keeps the contract of KvStore, and fails on request the way a real store can.

import assert from 'node:assert/strict';
import { KvError } from '../../datastore/kv.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import { kvContract, watching } from './kv-contract.ts';
import { compareWithTwin } from './store-twin.ts';

describe('datastore/memory', () => {
  kvContract(async () => createMemoryStore());

  for (let seed = 1; seed <= 20; seed++) {
    it(`answers random operations as its slow twin does (seed ${seed})`, async () => {
      await compareWithTwin(createMemoryStore(), seed, 300);
    });
  }

  it('ends watches with `rewound` when wiped, and starts over', async () => {
    const store = createMemoryStore();
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/a', value: '1' }] });
    const before = await store.list('/');
    const watched = watching(store, '/', before.revision + 1);
    store.wipe();
    assert.equal((await watched.ended).code, 'rewound');
    const after = await store.list('/');
    assert.ok(after.revision < before.revision && after.clusterId !== before.clusterId);
  });

  it('rejects every call during an outage, and delivers afterwards what watches missed', async () => {
    const store = createMemoryStore();
    const watched = watching(store, '/', 2);
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/a', value: '1' }] });
    store.setFault(new KvError('unavailable', 'nobody answers'));
    await assert.rejects(store.get('/a'), { code: 'unavailable' });
    store.setFault(undefined);
    await watched.until(2);
  });

  it('tells the owner of a lost lease and deletes its keys', async () => {
    const store = createMemoryStore();
    const lease = await store.grantLease(10);
    const lost = new Promise<void>((resolve) => lease.onLost(resolve));
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/a', value: '1', lease: lease.id }] });
    store.loseLeases();
    await lost;
    assert.equal(await store.get('/a'), undefined);
  });
});
