// twill-datastore, as a process on a unix socket, keeps the contract of KvStore; what it acknowledged survives kill -9.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../../datastore/etcd.ts';
import { openBriefStore } from '../../../datastore/etcd-brief.ts';
import { KvError, type KvStore } from '../../../datastore/kv.ts';
import { kvContract, watching } from '../../datastore/kv-contract.ts';
import { compareWithTwin } from '../../datastore/store-twin.ts';
import { until } from '../../datastore/until.ts';
import { type Daemon, startTwillDatastore, temporaryDirectory } from './processes.ts';

describe('twill-datastore', function () {
  this.timeout(30_000);
  const directory = temporaryDirectory();
  const socket = join(directory.path, 'datastore.sock');
  const dataDir = join(directory.path, 'data');
  const endpoint = `unix:${socket}`;
  const open = (): Promise<KvStore> => openStore({ etcdEndpoints: endpoint });
  let daemon: Daemon;

  const start = async (): Promise<void> => {
    daemon = startTwillDatastore({ dataDir, listen: endpoint });
    await daemon.answers({ path: socket });
  };

  before(start);
  after(async () => {
    await daemon.stop();
    directory.remove();
  });

  kvContract(open);

  for (const seed of [101, 102, 103]) {
    it(`answers random operations as its slow twin does (seed ${seed})`, async () => {
      const store = await openStore({ etcdEndpoints: endpoint });
      await compareWithTwin(store, seed, 300);
      await store.close();
    });
  }

  describe('through the brief client', () => {
    kvContract((): Promise<KvStore> => openBriefStore({ etcdEndpoints: endpoint }));
  });

  it('refuses a second server on the same directory and on the same socket', async () => {
    const sameDirectory = startTwillDatastore({ dataDir, listen: `${endpoint}.other` });
    await until(() => !sameDirectory.running, 'the second server to give up', 10_000);
    assert.match(sameDirectory.output, /is in use by process \d+/);
    const sameSocket = startTwillDatastore({ dataDir: `${dataDir}.other`, listen: endpoint });
    await until(() => !sameSocket.running, 'the second server to give up', 10_000);
    assert.match(sameSocket.output, /another server listens there/);
  });

  it('lets only its owner open the socket and the files', () => {
    assert.equal(statSync(socket).mode & 0o077, 0);
    for (const name of readdirSync(dataDir)) assert.equal(statSync(join(dataDir, name)).mode & 0o077, 0, name);
  });

  it('is understood by etcdctl', () => {
    // It sends the path as HTTP/2's authority, where a slash is no legal character, and has to be understood nevertheless.
    const etcdctlAt = (at: string, ...args: string[]): string =>
      execFileSync('etcdctl', ['--endpoints', `unix://${at}`, ...args], {
        cwd: directory.path,
        env: { ...process.env, ETCDCTL_API: '3' },
        encoding: 'utf8',
        maxBuffer: 4 * 1024 * 1024,
      });
    const etcdctl = (...args: string[]): string => etcdctlAt(socket, ...args);
    const large = 'x'.repeat(100_000);
    etcdctl('put', '/etcdctl/large', large);
    for (const at of [socket, 'datastore.sock'])
      assert.equal(etcdctlAt(at, 'get', '--print-value-only', '/etcdctl/large'), `${large}\n`);
    etcdctl('del', '/etcdctl/large');
    etcdctl('put', '/etcdctl/a', 'one');
    etcdctl('put', '/etcdctl/b', 'two');
    assert.equal(etcdctl('get', '--prefix', '/etcdctl/'), '/etcdctl/a\none\n/etcdctl/b\ntwo\n');
    const newestFirst = etcdctl('get', '--prefix', '--keys-only', '--sort-by=MODIFY', '--order=DESCEND', '/etcdctl/');
    assert.equal(newestFirst.trim(), '/etcdctl/b\n\n/etcdctl/a');
    assert.equal(
      etcdctl('get', '--prefix', '--limit=1', '-w', 'fields', '/etcdctl/').match(/"Count" : (\d+)/)?.[1],
      '2',
    );
    assert.match(etcdctl('member', 'list'), /started, twill-datastore/);
    assert.equal(etcdctl('del', '--prefix', '/etcdctl/').trim(), '2');
  });

  it('has every acknowledged write after kill -9 in the middle of many, and its clients go on', async () => {
    const store = await open();
    const watcher = await open();
    const { revision } = await store.list('/crash/', { limit: 1 });
    const watched = watching(watcher, '/crash/', revision + 1, 15_000);
    const acknowledged = new Map<string, string>();
    let failures = 0;
    let next = 0;
    const writer = async (): Promise<void> => {
      while (failures === 0) {
        const key = `/crash/${next++}`;
        try {
          await store.transact({ compare: [], then: [{ kind: 'put', key, value: `value of ${key}` }] });
          acknowledged.set(key, `value of ${key}`);
        } catch (error) {
          assert.ok(error instanceof KvError && error.retryable, String(error));
          failures++;
        }
      }
    };
    const writers = Array.from({ length: 16 }, writer);
    await until(() => acknowledged.size > 300, 'some writes');
    await daemon.stop('SIGKILL');
    await Promise.all(writers);
    await start();
    const { entries } = await store.list('/crash/');
    const found = new Map(entries.map(({ key, value }) => [key, value]));
    for (const [key, value] of acknowledged) assert.equal(found.get(key), value, key);
    // The watch, too, has seen each of them once, over the restart.
    const end = await store.transact({ compare: [], then: [{ kind: 'put', key: '/crash/end', value: '' }] });
    await watched.until(end.revision);
    const seen = watched.events.map((event) => (event.kind === 'put' ? event.entry.key : event.key));
    assert.deepEqual([...seen].sort(), [...found.keys(), '/crash/end'].sort());
    watched.close();
    await store.close();
    await watcher.close();
  });

  it('drops the torn end of its log, and nothing before it', async () => {
    const store = await open();
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/torn/kept', value: '1' }] });
    const log = join(dataDir, 'log-0000000001');
    // Behind what was written there are zeros, room made ahead.
    const before = readFileSync(log).findLastIndex((byte) => byte !== 0) + 1;
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/torn/cut', value: '1' }] });
    await daemon.stop('SIGKILL');
    truncateSync(log, before + 20);
    await start();
    assert.match(daemon.output, /removed the unacknowledged end of the log/);
    assert.deepEqual(
      (await store.list('/torn/')).entries.map(({ key }) => key),
      ['/torn/kept'],
    );
    await store.close();
  });

  it('stops at SIGTERM with everything on disk, and starts again with its history', async () => {
    const store = await open();
    const write = (value: string) => store.transact({ compare: [], then: [{ kind: 'put', key: '/again', value }] });
    const first = await write('1');
    await write('2');
    assert.equal(await daemon.stop(), 0);
    await start();
    assert.equal((await store.get('/again'))?.value, '2');
    assert.equal((await store.get('/again', { revision: first.revision }))?.value, '1');
    await store.close();
  });
});
