// A real etcd behind a network that fails: nothing is lost, doubled or reordered, and a write whose answer never came is
// called what it is, an unknown outcome.

import assert from 'node:assert/strict';
import { openStore } from '../../../datastore/etcd.ts';
import { KvError, type KvStore } from '../../../datastore/kv.ts';
import { Follower } from '../../datastore/follower.ts';
import { until } from '../../datastore/until.ts';
import { type Daemon, freePort, startEtcd, temporaryDirectory } from './processes.ts';
import { FaultyProxy } from './proxy.ts';

describe('datastore/etcd when the network or etcd fails', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  let ports: { readonly clientPort: number; readonly peerPort: number };
  let etcd: Daemon;
  let proxy: FaultyProxy;
  /** Through the proxy. */
  let store: KvStore;
  /** Straight to etcd. */
  let direct: KvStore;
  let follower: Follower;
  let cases = 0;
  let base = '';

  const start = async (): Promise<void> => {
    etcd = startEtcd({ dataDir: `${directory.path}/data`, ...ports });
    await etcd.answers({ port: ports.clientPort });
  };
  const put = (to: KvStore, key: string, value: string) =>
    to.transact({ compare: [], then: [{ kind: 'put', key: base + key, value }] });

  before(async () => {
    ports = { clientPort: await freePort(), peerPort: await freePort() };
    await start();
    direct = await openStore({ etcdEndpoints: `http://127.0.0.1:${ports.clientPort}`, requestTimeoutMs: 10_000 });
  });
  after(async () => {
    await direct.close();
    await etcd.stop();
    directory.remove();
  });

  beforeEach(async () => {
    base = `/faults-${++cases}/`;
    proxy = await FaultyProxy.start(ports.clientPort);
    store = await openStore({
      etcdEndpoints: proxy.endpoint,
      requestTimeoutMs: 1000,
      keepaliveMs: 1000,
      keepaliveTimeoutMs: 1000,
    });
    follower = new Follower(store, [base], 50);
    await put(direct, 'start', '');
    await follower.inSync();
  });
  afterEach(async () => {
    follower.syncer.close();
    await store.close();
    await proxy.stop();
  });

  it('sees every write once and in order while its connection is cut again and again', async () => {
    for (let i = 0; i < 300; i++) {
      await put(direct, `k${i % 40}`, String(i));
      if (i % 25 === 24) proxy.cut();
    }
    await follower.equals(direct, [base]);
    // The revisions of one prefix never go back: nothing was reordered or repeated by a reconnection.
    const revisions = follower.updates.map((update) => update.revision);
    assert.deepEqual(
      revisions,
      [...revisions].sort((a, b) => a - b),
    );
    const seen = follower.updates.filter((update) => /k\d/.test(update.key)).length;
    assert.equal(seen, 300, 'each write was delivered, none was squashed into another');
  });

  it('says when it is cut off, and catches up when it is back', async () => {
    proxy.refuse(true);
    await until(() => follower.syncer.status === 'waiting', 'the syncer to notice');
    await put(direct, 'meanwhile', '1');
    proxy.refuse(false);
    await follower.inSync();
    await follower.equals(direct, [base]);
  });

  it('notices a network that swallows everything, and comes back by itself', async () => {
    proxy.freeze(true);
    await put(direct, 'meanwhile', '1');
    await until(() => follower.syncer.status === 'waiting', 'the keepalive to notice', 10_000);
    await assert.rejects(put(store, 'lost', '1'), (error) => error instanceof KvError && error.retryable);
    await assert.rejects(store.get(`${base}start`), { code: 'unavailable' });
    proxy.freeze(false);
    await follower.inSync(15_000);
    await follower.equals(direct, [base]);
  });

  it('follows through a slow network without mixing up anything', async () => {
    proxy.delay(40);
    for (let i = 0; i < 60; i++) await put(direct, `k${i % 7}`, String(i));
    await follower.equals(direct, [base]);
    assert.equal(follower.updates.filter((update) => /k\d/.test(update.key)).length, 60);
  });

  it('calls a write whose answer was lost an unknown outcome, and it did happen', async () => {
    // The request goes out, the answer is held back: etcd has done it.
    await put(store, 'warm', '');
    proxy.delay(300);
    const writing = put(store, 'maybe', '1');
    await until(async () => (await direct.get(`${base}maybe`)) !== undefined, 'etcd to have the write');
    proxy.cut();
    await assert.rejects(writing, { code: 'unknown-outcome' });
    proxy.delay(0);
    assert.equal((await store.get(`${base}maybe`))?.value, '1', 'reading back settles it');
  });

  it('calls a write that certainly did not happen unavailable', async () => {
    proxy.refuse(true);
    await until(() => follower.syncer.status === 'waiting', 'the connection to be gone');
    await assert.rejects(put(store, 'never', '1'), { code: 'unavailable' });
    assert.equal(await direct.get(`${base}never`), undefined);
  });

  it('loses nothing over kill -9 and a restart of etcd', async () => {
    for (let round = 0; round < 3; round++) {
      await put(direct, `before${round}`, '1');
      await etcd.stop('SIGKILL');
      await until(() => follower.syncer.status === 'waiting', 'the syncer to notice');
      await start();
      await put(direct, `after${round}`, '1');
      await follower.equals(direct, [base]);
      await follower.inSync();
    }
    const keys = follower.updates.map((update) => update.key.slice(base.length));
    assert.deepEqual(
      keys,
      ['start', 'before0', 'after0', 'before1', 'after1', 'before2', 'after2'].slice(keys.length - 7),
    );
  });

  it('delivers the difference when the history it missed was compacted meanwhile', async () => {
    await put(direct, 'gone', '1');
    await put(direct, 'kept', '1');
    await until(() => follower.twin.has(`${base}kept`), 'both keys');
    proxy.refuse(true);
    await until(() => follower.syncer.status === 'waiting', 'the syncer to notice');
    await direct.transact({ compare: [], then: [{ kind: 'delete', key: `${base}gone` }] });
    const { revision } = await put(direct, 'new', '1');
    await direct.compact(revision);
    proxy.refuse(false);
    await follower.equals(direct, [base]);
    await follower.inSync();
    assert.ok(follower.errors.includes('compacted'));
    assert.equal(follower.updates.filter((update) => update.key === `${base}kept`).length, 1);
  });

  it('keeps a lease over a cut, and tells when it was lost in a long freeze', async () => {
    const lease = await store.grantLease(2);
    await store.transact({ compare: [], then: [{ kind: 'put', key: `${base}held`, value: '', lease: lease.id }] });
    let lost = false;
    lease.onLost(() => {
      lost = true;
    });
    const cutUntil = Date.now() + 3500;
    while (Date.now() < cutUntil) {
      proxy.cut();
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(await direct.get(`${base}held`), 'still held after more than its term');
    assert.equal(lost, false);
    proxy.freeze(true);
    await until(() => lost, 'the loss to be told', 10_000);
    await until(async () => (await direct.get(`${base}held`)) === undefined, 'the key to be gone', 10_000);
    proxy.freeze(false);
  });
});
