// A real etcd behind our client keeps the contract of KvStore.

import { openStore } from '../../../datastore/etcd.ts';
import { openBriefStore } from '../../../datastore/etcd-brief.ts';
import type { KvStore } from '../../../datastore/kv.ts';
import { kvContract } from '../../datastore/kv-contract.ts';
import { compareWithTwin } from '../../datastore/store-twin.ts';
import { type Daemon, freePort, startEtcd, temporaryDirectory } from './processes.ts';

describe('datastore/etcd with a real etcd', function () {
  this.timeout(30_000);
  const directory = temporaryDirectory();
  let etcd: Daemon;
  let endpoint: string;

  before(async () => {
    const clientPort = await freePort();
    etcd = startEtcd({ dataDir: `${directory.path}/data`, clientPort, peerPort: await freePort() });
    await etcd.answers({ port: clientPort });
    endpoint = `http://127.0.0.1:${clientPort}`;
  });
  after(async () => {
    await etcd.stop();
    directory.remove();
  });

  kvContract((): Promise<KvStore> => openStore({ etcdEndpoints: endpoint }));

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
});
