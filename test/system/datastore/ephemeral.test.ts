// Reports of nodes in a real Redis and under leases of a real twill-datastore; Redis gone, and back.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type EphemeralStore, openEphemeral } from '../../../datastore/ephemeral.ts';
import { openStore } from '../../../datastore/etcd.ts';
import { KvError, type KvStore } from '../../../datastore/kv.ts';
import { createMemoryStore } from '../../../datastore/memory.ts';
import { ephemeralContract } from '../../datastore/ephemeral-contract.ts';
import { until } from '../../datastore/until.ts';
import { Daemon, startTwillDatastore, temporaryDirectory } from './processes.ts';

const startRedis = async (socket: string): Promise<Daemon> => {
  const daemon = new Daemon('redis-server', [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--save',
    '',
    '--appendonly',
    'no',
  ]);
  await daemon.answers({ path: socket });
  return daemon;
};

describe('reports in Redis', () => {
  const directory = temporaryDirectory();
  const socket = join(directory.path, 'redis.sock');
  const unused = createMemoryStore();
  const open = (): Promise<EphemeralStore> => openEphemeral({ store: unused, redisUrl: `unix:${socket}` });
  let redis: Daemon;

  beforeEach(async () => {
    redis = await startRedis(socket);
  });
  afterEach(() => redis.stop());
  after(() => directory.remove());

  ephemeralContract(() => ({ open }));

  it('fails at once while Redis is away, and goes on when it is back', async () => {
    const reports = await open();
    await reports.publish('status', 'a', '{}', 60);
    await redis.stop('SIGKILL');
    await assert.rejects(
      reports.publish('status', 'a', '{}', 60),
      (error) => error instanceof KvError && error.code === 'unavailable',
    );
    redis = await startRedis(socket);
    const published = async (): Promise<boolean> =>
      reports.publish('status', 'a', '{"again":true}', 60).then(
        () => true,
        () => false,
      );
    await until(published, 'the connection to be back');
    assert.deepEqual(await reports.read('status'), [{ node: 'a', json: '{"again":true}' }]);
    await reports.close();
  });
});

describe('reports in twill-datastore', () => {
  const directory = temporaryDirectory();
  const socket = join(directory.path, 'ds.sock');
  const stores: KvStore[] = [];
  let daemon: Daemon;

  beforeEach(async () => {
    daemon = startTwillDatastore({ dataDir: join(directory.path, 'data'), listen: `unix:${socket}` });
    await daemon.answers({ path: socket });
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
    await daemon.stop();
  });
  after(() => directory.remove());

  ephemeralContract(() => ({
    open: async () => {
      const store = await openStore({ etcdEndpoints: `unix:${socket}` });
      stores.push(store);
      return openEphemeral({ store });
    },
  }));
});
