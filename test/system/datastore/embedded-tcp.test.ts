// twill-datastore on TCP: TLS, client certificates, a password; it refuses to serve a network without them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, type StoreSettings } from '../../../datastore/etcd.ts';
import { openBriefStore } from '../../../datastore/etcd-brief.ts';
import { watching } from '../../datastore/kv-contract.ts';
import { until } from '../../datastore/until.ts';
import { Authority, type KeyPair } from './certificates.ts';
import { type Daemon, freePort, startTwillDatastore, temporaryDirectory } from './processes.ts';

describe('twill-datastore on TCP', function () {
  this.timeout(30_000);
  const directory = temporaryDirectory();
  const passwordFile = join(directory.path, 'password');
  let authority: Authority;
  let server: KeyPair;
  let client: KeyPair;
  let daemon: Daemon;

  before(() => {
    authority = new Authority(directory.path);
    server = authority.issue('server');
    client = authority.issue('client');
    writeFileSync(passwordFile, 'twill:weave:it\n', { mode: 0o600 });
  });
  after(() => directory.remove());
  afterEach(() => daemon.stop());

  const start = async (...extra: string[]): Promise<number> => {
    const port = await freePort();
    daemon = startTwillDatastore({ dataDir: join(directory.path, `data-${port}`), listen: `127.0.0.1:${port}`, extra });
    await daemon.answers({ port });
    return port;
  };
  const tls = (port: number): StoreSettings => ({
    etcdEndpoints: `https://localhost:${port}`,
    etcdCaCertFile: authority.ca.cert,
    requestTimeoutMs: 2000,
  });
  const works = async (settings: StoreSettings): Promise<void> => {
    for (const open of [openStore, openBriefStore]) {
      const store = await open(settings);
      const { revision } = await store.transact({ compare: [], then: [{ kind: 'put', key: '/a', value: '1' }] });
      assert.equal((await store.get('/a'))?.value, '1');
      const watched = watching(store, '/a', revision);
      await watched.until(revision);
      watched.close();
      await store.close();
    }
  };
  const refuses = async (settings: StoreSettings, code: string): Promise<void> => {
    for (const open of [openStore, openBriefStore]) {
      const store = await open(settings);
      await assert.rejects(store.get('/a'), { code });
      await store.close();
    }
  };

  it('lets in who has a certificate, and nobody else', async () => {
    const args = ['--cert-file', server.cert, '--key-file', server.key, '--trusted-ca-file', authority.ca.cert];
    const settings = tls(await start(...args));
    await works({ ...settings, etcdCertFile: client.cert, etcdKeyFile: client.key });
    await refuses(settings, 'unavailable');
  });

  it('lets in who knows the password, and nobody else', async () => {
    const args = ['--cert-file', server.cert, '--key-file', server.key, '--password-file', passwordFile];
    const settings = tls(await start(...args));
    await works({ ...settings, etcdUsername: 'twill', etcdPassword: 'weave:it' });
    await refuses(settings, 'permission-denied');
    await refuses({ ...settings, etcdUsername: 'twill', etcdPassword: 'weave' }, 'permission-denied');
    await refuses({ ...settings, etcdUsername: 'root', etcdPassword: 'weave:it' }, 'permission-denied');
  });

  it('serves etcdctl, with its status and its log-in', async () => {
    const port = await start('--password-file', passwordFile);
    const etcdctl = (...args: string[]): string =>
      execFileSync('etcdctl', ['--endpoints', `127.0.0.1:${port}`, '--user', 'twill:weave:it', ...args], {
        env: { ...process.env, ETCDCTL_API: '3' },
        encoding: 'utf8',
        stdio: 'pipe',
      });
    assert.equal(etcdctl('put', '/a', '1').trim(), 'OK');
    assert.match(etcdctl('endpoint', 'status'), /3\.4\.0/);
  });

  it('does not serve a network unguarded, nor with a password that others can read', async () => {
    const port = await freePort();
    const open = startTwillDatastore({ dataDir: join(directory.path, 'open'), listen: `0.0.0.0:${port}` });
    await until(() => !open.running, 'the server to refuse', 10_000);
    assert.match(open.output, /can be reached from other machines: give --cert-file/);
    chmodSync(passwordFile, 0o644);
    daemon = startTwillDatastore({
      dataDir: join(directory.path, 'open'),
      listen: `127.0.0.1:${port}`,
      extra: ['--password-file', passwordFile],
    });
    await until(() => !daemon.running, 'the server to refuse', 10_000);
    assert.match(daemon.output, /chmod 600/);
    chmodSync(passwordFile, 0o600);
  });
});
