// twillctl as a process on a real etcd: every kind there and back, byte for byte as etcdctl sees it, and its speed.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Kind, kinds } from '../../../datastore/model/index.ts';
import { validSpecs } from '../../datastore/model/validation-cases.ts';
import { until } from '../../datastore/until.ts';
import { Daemon, freePort, startEtcd, temporaryDirectory } from '../datastore/processes.ts';

const apiVersion = 'projectcalico.org/v3';
const main = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));

describe('twillctl on a real etcd', function () {
  this.timeout(60_000);
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

  function twillctl(
    words: readonly string[],
    input = '',
  ): { readonly status: number | null; readonly out: string; readonly err: string } {
    const environment = { ...process.env, ETCD_ENDPOINTS: endpoint, NODE_NO_WARNINGS: '1' };
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', main, ...words], {
      input,
      encoding: 'utf8',
      env: environment,
    });
    return { status, out: stdout, err: stderr };
  }

  const etcdctl = (...words: readonly string[]): string =>
    execFileSync('etcdctl', ['--endpoints', endpoint, ...words], {
      encoding: 'utf8',
      env: { ...process.env, ETCDCTL_API: '3' },
    });

  const keyFor = (kind: Kind, name: string): string =>
    `/calico/resources/v3/projectcalico.org/${kinds[kind].plural}/${kinds[kind].namespaced ? 'prod/' : ''}${name}`;

  // BlockAffinities are written by IPAM alone; ClusterInformation and the built-in tier are made by the first write.
  const written = (Object.keys(kinds) as Kind[]).filter(
    (kind) => !kinds[kind].readOnly && kind !== 'Tier' && kind !== 'ClusterInformation',
  );
  const nameFor = (kind: Kind): string => (kind === 'WorkloadEndpoint' ? 'node--1-k8s-web-eth0' : 'default');
  const manifest = (kind: Kind) => ({
    kind,
    apiVersion,
    metadata: { name: nameFor(kind), ...(kinds[kind].namespaced && { namespace: 'prod' }), labels: { sample: 'yes' } },
    spec: validSpecs[kind],
  });

  it('stores every kind in the format, and gives back what applies again', () => {
    const applied = twillctl(['apply', '-f', '-'], JSON.stringify(written.map(manifest)));
    assert.equal(applied.err, '');
    assert.equal(applied.out, `Successfully applied ${written.length} resource(s)\n`);
    const documents: unknown[] = [];
    for (const kind of written) {
      const value = JSON.parse(etcdctl('get', '--print-value-only', keyFor(kind, nameFor(kind))));
      assert.deepEqual(Object.keys(value).slice(0, 4), ['kind', 'apiVersion', 'metadata', 'spec'], kind);
      assert.equal(value.metadata.resourceVersion, undefined, kind);
      assert.match(value.metadata.uid, /^[0-9a-f-]{36}$/, kind);
      assert.match(value.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, kind);
      documents.push(value);
    }
    // Through YAML, and back into etcd: not a byte may change.
    const names = written.map((kind) => keyFor(kind, nameFor(kind)));
    const before = names.map((key) => etcdctl('get', '--print-value-only', key));
    const shown = twillctl(['get', '-f', '-', '-o', 'yaml'], JSON.stringify(documents));
    assert.equal(shown.err, '');
    const again = twillctl(['replace', '-f', '-'], shown.out);
    assert.equal(again.err, '');
    assert.deepEqual(
      names.map((key) => etcdctl('get', '--print-value-only', key)),
      before,
    );
  });

  it('takes the documented sample of every kind, and everything at once out and in, byte for byte', () => {
    const samples = fileURLToPath(new URL('../../cli/samples', import.meta.url));
    // The kinds above are there already, with other contents.
    etcdctl('del', '--prefix', '/calico/');
    const applied = twillctl(['apply', '-f', samples]);
    assert.equal(applied.err, '');
    const stored = () => etcdctl('get', '--prefix', '/calico/resources/', '--print-value-only');
    const before = stored();
    const plurals = (Object.keys(kinds) as Kind[])
      .filter((kind) => !kinds[kind].readOnly && kind !== 'ClusterInformation')
      .map((kind) => kinds[kind].plural);
    for (const output of ['yaml', 'json']) {
      const shown = twillctl(['get', plurals.join(','), '-A', '-o', output]);
      assert.equal(shown.err, '');
      for (const { kind, readOnly } of Object.values(kinds)) {
        if (!readOnly && kind !== 'ClusterInformation') assert.match(shown.out, new RegExp(`\\b${kind}\\b`));
      }
      const again = twillctl(['apply', '-f', '-'], shown.out);
      assert.equal(again.err, '');
      assert.match(again.out, /^Successfully applied \d\d resource\(s\)\n$/);
      assert.equal(stored(), before, output);
    }
  });

  it('reads and changes what another client wrote, and keeps what it does not know', () => {
    const key = keyFor('GlobalNetworkSet', 'foreign');
    const stored = {
      kind: 'GlobalNetworkSet',
      apiVersion,
      metadata: {
        name: 'foreign',
        uid: 'b5bd7dbf-0000-4000-8000-000000000001',
        creationTimestamp: '2026-01-02T03:04:05Z',
      },
      spec: { nets: ['192.0.2.0/24'], fromTheFuture: { colour: 'green' } },
    };
    etcdctl('put', key, JSON.stringify(stored));
    const shown = twillctl(['get', 'gnetset', 'foreign', '-o', 'json']);
    const { resourceVersion, ...metadata } = JSON.parse(shown.out).metadata;
    const revision = JSON.parse(etcdctl('get', '-w', 'json', key)).kvs[0].mod_revision;
    assert.equal(resourceVersion, String(revision));
    assert.deepEqual({ ...JSON.parse(shown.out), metadata }, stored);
    const labelled = twillctl(['label', 'gnetset', 'foreign', 'team=a']);
    assert.equal(labelled.err, '');
    const now = JSON.parse(etcdctl('get', '--print-value-only', key));
    assert.deepEqual(now.spec.fromTheFuture, { colour: 'green' });
    assert.deepEqual(now.metadata.labels, { team: 'a' });
  });

  it('goes on looking at the version until it is interrupted', async () => {
    const looking = new Daemon(process.execPath, ['--import', 'tsx', main, 'version', '--poll', '50ms'], {
      ETCD_ENDPOINTS: endpoint,
    });
    await until(() => /Cluster Version: /.test(looking.output), 'the first look', 20_000);
    assert.equal(looking.running, true, looking.output);
    assert.equal(await looking.stop('SIGINT'), 0);
  });

  it('says in one line that nobody answers', () => {
    const result = twillctl(['get', 'ippools', '--etcd-endpoints', 'http://127.0.0.1:1']);
    assert.equal(result.status, 1);
    assert.match(result.err, /^cannot reach the datastore at http:\/\/127\.0\.0\.1:1: [^\n]*ECONNREFUSED[^\n]*\n/);
  });
});
