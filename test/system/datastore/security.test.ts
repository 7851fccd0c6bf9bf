// A real etcd that wants a client certificate, or a user and password: we come in with the right ones, not without, and a
// watch survives that its token has become worthless.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { openStore, type StoreSettings } from '../../../datastore/etcd.ts';
import { openBriefStore } from '../../../datastore/etcd-brief.ts';
import { watching } from '../../datastore/kv-contract.ts';
import { Authority } from './certificates.ts';
import { type Daemon, freePort, startEtcd, temporaryDirectory } from './processes.ts';

const clients = { 'the client': openStore, 'the brief client': openBriefStore } as const;

describe('datastore/etcd with access control', function () {
  this.timeout(60_000);

  describe('by certificate', () => {
    const directory = temporaryDirectory();
    let etcd: Daemon;
    let settings: StoreSettings;
    let stranger: StoreSettings;

    before(async () => {
      const authority = new Authority(directory.path);
      const server = authority.issue('server');
      const client = authority.issue('client');
      const other = new Authority(directory.path, 'other').issue('stranger');
      const clientPort = await freePort();
      etcd = startEtcd({
        dataDir: `${directory.path}/data`,
        clientPort,
        peerPort: await freePort(),
        scheme: 'https',
        extra: [
          ...['--cert-file', server.cert, '--key-file', server.key],
          ...['--client-cert-auth', '--trusted-ca-file', authority.ca.cert],
        ],
      });
      await etcd.answers({ port: clientPort });
      settings = {
        etcdEndpoints: `https://localhost:${clientPort}`,
        etcdCaCertFile: authority.ca.cert,
        etcdCertFile: client.cert,
        etcdKeyFile: client.key,
        requestTimeoutMs: 2000,
      };
      stranger = { ...settings, etcdCertFile: other.cert, etcdKeyFile: other.key };
    });
    after(async () => {
      await etcd.stop();
      directory.remove();
    });

    for (const [name, open] of Object.entries(clients)) {
      it(`lets ${name} in with its certificate`, async () => {
        const store = await open(settings);
        await store.transact({ compare: [], then: [{ kind: 'put', key: '/tls', value: name }] });
        assert.equal((await store.get('/tls'))?.value, name);
        await store.close();
      });

      it(`lets ${name} in with certificate and key given as text`, async () => {
        const text = (file: string | undefined) => readFileSync(file ?? assert.fail(), 'utf8');
        const { etcdCaCertFile, etcdCertFile, etcdKeyFile, ...without } = settings;
        const inline = { etcdCaCert: text(etcdCaCertFile), etcdCert: text(etcdCertFile), etcdKey: text(etcdKeyFile) };
        const store = await open({ ...without, ...inline });
        await store.transact({ compare: [], then: [{ kind: 'put', key: '/tls', value: 'text' }] });
        assert.equal((await store.get('/tls'))?.value, 'text');
        await store.close();
      });

      it(`keeps ${name} out without one, and with a stranger’s`, async () => {
        const { etcdCertFile: _cert, etcdKeyFile: _key, ...without } = settings;
        for (const wrong of [without, stranger]) {
          const store = await open(wrong);
          await assert.rejects(store.get('/tls'), { code: 'unavailable' });
          await store.close();
        }
      });
    }

    it('says which file is missing', async () => {
      await assert.rejects(openStore({ ...settings, etcdCaCertFile: '/nowhere/ca.crt' }), /\/nowhere\/ca\.crt/);
      await assert.rejects(openStore({ ...settings, etcdKeyFile: undefined }), /set ETCD_CERT_FILE and ETCD_KEY_FILE/);
    });
  });

  describe('by user and password', () => {
    const directory = temporaryDirectory();
    let ports: { readonly clientPort: number; readonly peerPort: number };
    let etcd: Daemon;
    let endpoint: string;

    const start = async (): Promise<void> => {
      etcd = startEtcd({ dataDir: `${directory.path}/data`, ...ports });
      await etcd.answers({ port: ports.clientPort });
    };

    before(async () => {
      ports = { clientPort: await freePort(), peerPort: await freePort() };
      endpoint = `http://127.0.0.1:${ports.clientPort}`;
      await start();
      const etcdctl = (...args: string[]): void => {
        execFileSync('etcdctl', ['--endpoints', endpoint, ...args], {
          env: { ...process.env, ETCDCTL_API: '3' },
          stdio: 'pipe',
        });
      };
      etcdctl('user', 'add', 'root:secret');
      etcdctl('user', 'grant-role', 'root', 'root');
      etcdctl('role', 'add', 'network');
      etcdctl('role', 'grant-permission', 'network', '--prefix=true', 'readwrite', '/calico/');
      etcdctl('user', 'add', 'twill:weave');
      etcdctl('user', 'grant-role', 'twill', 'network');
      etcdctl('auth', 'enable');
    });
    after(async () => {
      await etcd.stop();
      directory.remove();
    });

    for (const [name, open] of Object.entries(clients)) {
      it(`lets ${name} in to its own keys only`, async () => {
        const store = await open({ etcdEndpoints: endpoint, etcdUsername: 'twill', etcdPassword: 'weave' });
        await store.transact({ compare: [], then: [{ kind: 'put', key: '/calico/a', value: name }] });
        assert.equal((await store.list('/calico/')).entries[0]?.value, name);
        await assert.rejects(store.get('/other'), { code: 'permission-denied' });
        await store.close();
      });

      it(`keeps ${name} out with a wrong password or none`, async () => {
        const wrong = await open({ etcdEndpoints: endpoint, etcdUsername: 'twill', etcdPassword: 'warp' });
        await assert.rejects(wrong.get('/calico/a'), { code: 'permission-denied' });
        await wrong.close();
        const nobody = await open({ etcdEndpoints: endpoint });
        await assert.rejects(nobody.get('/calico/a'), { code: 'permission-denied' });
        await nobody.close();
      });
    }

    it('ends a watch on keys that it may not read', async () => {
      const store = await openStore({ etcdEndpoints: endpoint, etcdUsername: 'twill', etcdPassword: 'weave' });
      const watched = watching(store, '/other/', 1);
      assert.equal((await watched.ended).code, 'permission-denied');
      await store.close();
    });

    it('gets a new token, also for its watches, when etcd has forgotten the old one', async () => {
      const store = await openStore({ etcdEndpoints: endpoint, etcdUsername: 'twill', etcdPassword: 'weave' });
      const put = () => store.transact({ compare: [], then: [{ kind: 'put', key: '/calico/b', value: '' }] });
      const first = await put();
      const watched = watching(store, '/calico/', first.revision, 15_000);
      await watched.until(first.revision);
      // Tokens live in etcd's memory.
      await etcd.stop('SIGKILL');
      await start();
      const second = await put();
      await watched.until(second.revision);
      assert.equal(watched.events.length, 2);
      await store.close();
    });
  });
});
