// Snapshots go both ways: what twill-datastore gives to `etcdctl snapshot save` is checked and restored by etcdctl and
// served by a real etcd, with the same revisions, history, leases and checksums; and what that etcd gives starts a
// twill-datastore.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openStore } from '../../../datastore/etcd.ts';
import type { KvStore } from '../../../datastore/kv.ts';
import { watching } from '../../datastore/kv-contract.ts';
import { seededRandom } from '../../datastore/random.ts';
import { type Daemon, freePort, startEtcd, startTwillDatastore, temporaryDirectory } from './processes.ts';

describe('snapshots of twill-datastore and of etcd', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const daemons: Daemon[] = [];
  const stores: KvStore[] = [];
  after(async () => {
    for (const store of stores) await store.close();
    for (const daemon of daemons) await daemon.stop();
    directory.remove();
  });

  const etcdctl = (port: number, ...args: string[]): string =>
    execFileSync('etcdctl', ['--endpoints', `127.0.0.1:${port}`, ...args], {
      cwd: directory.path,
      env: { ...process.env, ETCDCTL_API: '3' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const started = async (daemon: Daemon, port: number): Promise<{ store: KvStore; port: number }> => {
    daemons.push(daemon);
    await daemon.answers({ port });
    const store = await openStore({ etcdEndpoints: `127.0.0.1:${port}` });
    stores.push(store);
    return { store, port };
  };
  const twill = async (name: string, ...extra: string[]) => {
    const port = await freePort();
    const listen = `127.0.0.1:${port}`;
    return started(startTwillDatastore({ dataDir: join(directory.path, name), listen, extra }), port);
  };
  /** What there is at each revision from the compacted one on, and all that happened since. */
  const contents = async ({ store, port }: { store: KvStore; port: number }, from: number) => {
    const { revision } = await store.list('/');
    const lists = [];
    for (let at = from; at <= revision; at++) lists.push((await store.list('/', { revision: at })).entries);
    const watched = watching(store, '/', from + 1);
    await watched.until(revision);
    watched.close();
    const history = watched.events;
    return { revision, lists, history, hash: etcdctl(port, 'endpoint', 'hashkv').split(', ')[1] };
  };

  it('has one history before, in between and after', async () => {
    const first = await twill('first');
    const lease = await first.store.grantLease(600);
    const random = seededRandom(3);
    for (let i = 0; i < 60; i++) {
      const key = `/k${random.below(9)}`;
      const change =
        random.next() < 0.3 ? ({ kind: 'delete', key } as const) : ({ kind: 'put', key, value: `${i}` } as const);
      await first.store.transact({ compare: [], then: [change, { kind: 'put', key: '/n', value: `${i}` }] });
    }
    await first.store.compact(20);
    const long = 'ä€'.repeat(150_000);
    await first.store.transact({
      compare: [],
      then: [
        { kind: 'put', key: '/long', value: long },
        { kind: 'put', key: '/leased', value: '', lease: lease.id },
      ],
    });
    const before = await contents(first, 20);

    etcdctl(first.port, 'snapshot', 'save', 'first.db');
    // TOTAL KEYS and HASH depend on what etcd counts; the revision is the data's.
    assert.match(
      etcdctl(first.port, 'snapshot', 'status', 'first.db'),
      new RegExp(`^[0-9a-f]+, ${before.revision}, \\d+, `),
    );
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const peer = `http://127.0.0.1:${peerPort}`;
    const dataDir = join(directory.path, 'etcd');
    etcdctl(
      first.port,
      ...['snapshot', 'restore', 'first.db', '--data-dir', dataDir, '--name', 'one'],
      ...['--initial-cluster', `one=${peer}`, '--initial-advertise-peer-urls', peer],
    );
    const etcd = await started(startEtcd({ dataDir, clientPort, peerPort }), clientPort);
    assert.deepEqual(await contents(etcd, 20), before);
    const [leaseId] = etcdctl(clientPort, 'lease', 'list').match(/[0-9a-f]{16}/) ?? [];
    assert.equal(BigInt(`0x${leaseId}`).toString(), lease.id);
    assert.match(
      etcdctl(clientPort, 'lease', 'timetolive', '--keys', String(leaseId)),
      /granted with TTL\(600s\).*\/leased/,
    );
    await assert.rejects(etcd.store.list('/', { revision: 19 }), { code: 'compacted' });

    // And back, after some life of its own.
    await etcd.store.transact({ compare: [], then: [{ kind: 'delete', key: '/n' }] });
    await etcd.store.compact(40);
    const later = await contents(etcd, 40);
    etcdctl(clientPort, 'snapshot', 'save', 'etcd.db');
    const second = await twill('second', '--restore', join(directory.path, 'etcd.db'));
    assert.deepEqual(await contents(second, 40), later);
    assert.match(etcdctl(second.port, 'lease', 'timetolive', '--keys', String(leaseId)), /TTL\(600s\).*\/leased/);
  });
});
