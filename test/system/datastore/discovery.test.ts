// ETCD_DISCOVERY_SRV: twillctl finds etcd by the SRV records that a real DNS server has, the preferred one first, and goes on
// to the next when that one is not there.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../datastore/until.ts';
import { Daemon, freePort, startEtcd, temporaryDirectory } from './processes.ts';

const root = new URL('../../../', import.meta.url).pathname;

describe('etcd found by DNS', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const resolvConf = join(directory.path, 'resolv.conf');
  const daemons: Daemon[] = [];
  let etcdPort: number;

  before(async () => {
    writeFileSync(resolvConf, 'nameserver 127.0.0.153\noptions timeout:1 attempts:1\n');
    etcdPort = await freePort();
    const etcd = startEtcd({ dataDir: join(directory.path, 'etcd'), clientPort: etcdPort, peerPort: await freePort() });
    daemons.push(etcd);
    await etcd.answers({ port: etcdPort });
    const nobody = await freePort();
    const server = new Daemon('dnsmasq', [
      ...['--no-daemon', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--pid-file', '--user=root'],
      ...['--listen-address=127.0.0.153', '--bind-interfaces', '--port=53', '--local=/store.test/'],
      '--host-record=one.store.test,127.0.0.1',
      // target, port, priority, weight: the lower priority first, and nobody listens there.
      `--srv-host=_etcd-client._tcp.store.test,one.store.test,${nobody},1,10`,
      `--srv-host=_etcd-client._tcp.store.test,one.store.test,${etcdPort},2,10`,
    ]);
    daemons.push(server);
    await until(
      async () => {
        if (!server.running) throw new Error(`dnsmasq ended:\n${server.output}`);
        return twillctl('store.test', 'datastore', 'status').status === 0;
      },
      'the records to be found',
      30_000,
    );
  });
  after(async () => {
    for (const daemon of daemons) await daemon.stop();
    directory.remove();
  });

  /** With our server in the place of this machine's, which a mount namespace of its own sees alone. */
  const twillctl = (domain: string, ...words: string[]) => {
    const program = [process.execPath, '--import', 'tsx', join(root, 'cli/main.ts'), ...words];
    const script = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"';
    return spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, resolvConf, ...program], {
      cwd: root,
      env: { ...process.env, ETCD_DISCOVERY_SRV: domain, ETCD_ENDPOINTS: '' },
      encoding: 'utf8',
    });
  };

  it('is written to and read from, over the member that is not there', () => {
    const manifest = join(directory.path, 'pool.yaml');
    writeFileSync(
      manifest,
      '{"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "found"}, "spec": {"cidr": "10.0.0.0/16"}}',
    );
    const applied = twillctl('store.test', 'apply', '-f', manifest);
    assert.equal(applied.stdout, "Successfully applied 1 'IPPool' resource(s)\n", applied.stderr);
    const environment = { ...process.env, ETCDCTL_API: '3' };
    const keys = execFileSync(
      'etcdctl',
      [
        '--endpoints',
        `127.0.0.1:${etcdPort}`,
        'get',
        '--prefix',
        '--keys-only',
        '/calico/resources/v3/projectcalico.org/ippools',
      ],
      { env: environment, encoding: 'utf8' },
    );
    assert.equal(keys.trim(), '/calico/resources/v3/projectcalico.org/ippools/found');
  });

  it('says which records are missing', () => {
    const { status, stderr } = twillctl('elsewhere.test', 'get', 'pools');
    assert.equal(status, 1);
    assert.match(stderr, /neither _etcd-client-ssl\._tcp\.elsewhere\.test nor _etcd-client\._tcp/);
  });
});
