// A datastore moves from twill-datastore to etcd and back, by copying and by export and import, and is the same there.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { openStore } from '../../../datastore/etcd.ts';
import { type Daemon, freePort, startEtcd, startTwillDatastore, temporaryDirectory } from './processes.ts';

const main = new URL('../../../cli/main.ts', import.meta.url).pathname;

const manifests = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {selector: "role == 'web'", types: [Ingress]}
`;
const block =
  '{"cidr":"10.0.0.0/26","affinity":"host:n1","allocations":[],"unallocated":[0],"attributes":[],"sequenceNumber":1764324000123456789,"sequenceNumberForAllocation":{},"deleted":false}';

describe('moving between twill-datastore and etcd', function () {
  this.timeout(90_000);
  const directory = temporaryDirectory();
  const daemons: Daemon[] = [];
  let embedded: string;
  let etcd: string;

  before(async () => {
    const clientPort = await freePort();
    etcd = `http://127.0.0.1:${clientPort}`;
    const real = startEtcd({ dataDir: join(directory.path, 'etcd'), clientPort, peerPort: await freePort() });
    const socket = join(directory.path, 'datastore.sock');
    embedded = `unix:${socket}`;
    const ours = startTwillDatastore({ dataDir: join(directory.path, 'data'), listen: embedded });
    daemons.push(real, ours);
    await real.answers({ port: clientPort });
    await ours.answers({ path: socket });
  });
  after(async () => {
    for (const daemon of daemons) await daemon.stop();
    directory.remove();
  });

  const twillctl = (endpoint: string, words: string, input = ''): string => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...words.split(' ')], {
      input,
      encoding: 'utf8',
      env: { ...process.env, ETCD_ENDPOINTS: endpoint },
    });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const contents = async (endpoint: string): Promise<readonly string[]> => {
    const store = await openStore({ etcdEndpoints: endpoint });
    const { entries } = await store.list('/calico/');
    await store.close();
    // Who wrote what when, and which of the two is locked, differs.
    return entries
      .filter(({ key }) => !/\/authors\/|clusterinformations/.test(key))
      .map(({ key, value }) => `${key} = ${value.replace(/"(uid|creationTimestamp)":"[^"]*",?/g, '')}`);
  };

  it('copies there and back', async () => {
    twillctl(embedded, 'apply -f -', manifests);
    const store = await openStore({ etcdEndpoints: embedded });
    const key = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26';
    await store.transact({ compare: [], then: [{ kind: 'put', key, value: block }] });
    await store.close();
    const before = await contents(embedded);
    assert.match(
      twillctl(embedded, `datastore migrate copy --to ${etcd}`),
      /which is unlocked; the source stays locked/,
    );
    assert.deepEqual(await contents(etcd), before);
    twillctl(etcd, 'delete np web -n shop');
    twillctl(etcd, `datastore migrate copy --force --to ${embedded}`);
    assert.deepEqual(
      await contents(embedded),
      before.filter((line) => !line.includes('networkpolicies/shop/web')),
    );
  });

  it('exports there and imports here', async () => {
    const before = await contents(etcd);
    const exported = twillctl(etcd, 'datastore migrate export');
    twillctl(embedded, 'datastore migrate import --force -f -', exported);
    assert.deepEqual(await contents(embedded), before);
    assert.match(twillctl(embedded, 'datastore status'), /\| State +\| locked/);
    twillctl(embedded, 'datastore migrate unlock');
    assert.match(twillctl(embedded, 'datastore status'), /\| State +\| ready/);
  });
});
