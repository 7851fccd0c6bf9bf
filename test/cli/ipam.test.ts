// ipam show, check, release, split, configure on addresses that the allocator has assigned.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Allocator } from '../../ipam/allocator.ts';
import { Cli } from './harness.ts';

const manifests = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/24, blockSize: 28}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: node-1}
`;

async function filled(): Promise<{ readonly cli: Cli; readonly allocator: Allocator }> {
  const cli = await Cli.start();
  await cli.run('apply -f -', manifests);
  const { Allocator } = await import('../../ipam/allocator.ts');
  const { ClusterView } = await import('../../ipam/view.ts');
  const view = new ClusterView('node-1');
  for (const prefix of view.prefixes()) {
    const { entries } = await cli.store.list(prefix);
    view.onUpdates(entries.map(({ key, value, modRevision }) => ({ key, value, revision: modRevision })));
  }
  const allocator = new Allocator({ store: cli.store, node: 'node-1', view, now: () => Date.now() });
  const pod = (name: string) => ({
    handle: `k8s-pod-network.${name}`,
    count: { 4: 1 },
    attributes: { pod: name, namespace: 'prod', node: 'node-1' },
  });
  await allocator.assign(pod('a'));
  await allocator.assign(pod('b'));
  return { cli, allocator };
}

const blockOf = async (cli: Cli): Promise<string> => (await cli.run('ipam show --show-blocks')).out;

describe('twillctl ipam', () => {
  it('shows pools, blocks, addresses and settings', async () => {
    const { cli } = await filled();
    const table = await blockOf(cli);
    assert.match(table, /\| IP Pool +\| 10\.0\.0\.0\/24 +\| 256 +\| 2 \(1%\) +\| 254 \(99%\) +\|/);
    assert.match(table, /\| {3}Block of node-1 +\| 10\.0\.0\.\d+\/28 +\| 16 +\| 2 \(13%\) +\| 14 \(88%\)/);
    const [, base] = /10\.0\.0\.(\d+)\/28/.exec(table) ?? [];
    const used = await cli.run(`ipam show --ip 10.0.0.${base}`);
    assert.match(
      used.out,
      /IP 10\.0\.0\.\d+ is in use\nHandle ID: k8s-pod-network\.a\nActive Owner Attributes:\n {2}namespace: prod\n/,
    );
    assert.equal(
      (await cli.run(`ipam show --ip 10.0.0.${Number(base) + 9}`)).out,
      `10.0.0.${Number(base) + 9} is not assigned\n`,
    );
    assert.match((await cli.run('ipam show --ip 192.0.2.1')).out, /not assigned, and in no IP pool/);
    assert.match((await cli.run('ipam show --ip nonsense')).err, /invalid IP address: nonsense/);
    assert.match((await cli.run('ipam show --show-configuration')).out, /StrictAffinity +\| false/);
  });

  it('shows affinities as resources', async () => {
    const { cli } = await filled();
    const { out } = await cli.run('get blockaffinities -o wide');
    assert.match(
      out,
      /^NAME +CIDR +NODE +STATE +TYPE\nnode-1-10-0-0-\d+-28 +10\.0\.0\.\d+\/28 +node-1 +confirmed +host\n/,
    );
    const [, name = ''] = /^(node-1-\S+)/m.exec(out) ?? [];
    assert.match((await cli.run(`get blockaffinity ${name} -o yaml`)).out, /state: confirmed/);
  });

  it('finds addresses that nobody uses, and gives them back by report', async () => {
    const { cli } = await filled();
    const directory = mkdtempSync(join(tmpdir(), 'twill-ipam-'));
    try {
      const file = join(directory, 'report.json');
      const check = await cli.run(`ipam check --show-problem-ips -o ${file}`);
      assert.match(check.out, /address without endpoint: 2/);
      assert.match(check.out, /Check complete; found 2 problems\./);
      cli.files.set(file, readFileSync(file, 'utf8'));
      cli.files.set('report.yaml', '- not JSON\n');
      const odd = await cli.run('ipam release --from-report report.yaml --force');
      assert.equal(odd.err, 'report.yaml is not a report of ipam check\n');
      const locked = await cli.run(`ipam release --from-report ${file}`);
      assert.match(locked.err, /data store is not locked/);
      const released = await cli.run(`ipam release --from-report ${file} --force`);
      assert.match(released.out, /Released 2 IPs successfully/);
      const again = await cli.run(`ipam release --from-report ${file} --force`);
      assert.match(again.out, /2 addresses marked as leaked in the report had already been cleaned up/);
      assert.match((await cli.run('ipam check')).out, /found 0 problems/);
      assert.equal((await cli.store.list('/calico/ipam/v2/handle/')).entries.length, 0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('gives back one address', async () => {
    const { cli } = await filled();
    const [, base] = /10\.0\.0\.(\d+)\/28/.exec(await blockOf(cli)) ?? [];
    assert.equal(
      (await cli.run(`ipam release --ip 10.0.0.${base}`)).out,
      `Successfully released IP address 10.0.0.${base}\n`,
    );
    assert.match((await cli.run(`ipam release --ip 10.0.0.${base}`)).err, /is not assigned/);
  });

  it('keeps one truth of its settings', async () => {
    const { cli } = await filled();
    const set = await cli.run('ipam configure --strictaffinity true --max-blocks-per-host 4');
    assert.equal(set.out, 'Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n');
    const stored = JSON.parse((await cli.store.get('/calico/ipam/v2/config'))?.value ?? '');
    assert.deepEqual(stored, {
      strict_affinity: true,
      auto_allocate_blocks: true,
      maxBlocksPerHost: 4,
      ipCooldownSeconds: 0,
    });
    assert.match(
      (await cli.run('get ipamconfig default -o yaml')).out,
      /maxBlocksPerHost: 4\n {2}strictAffinity: true/,
    );
    assert.match(
      (await cli.run('ipam configure --strictaffinity false')).err,
      /maxBlocksPerHost: has no effect without strictAffinity/,
    );
    assert.match((await cli.run('ipam configure --strictaffinity maybe')).err, /Use true or false/);
    assert.match((await cli.run('ipam configure')).err, /at least one configuration option/);
  });

  it('deletes a pool with its empty blocks, and leaves what is in use to its pods', async () => {
    const { cli, allocator } = await filled();
    const inUse = await cli.run('delete pool main');
    assert.equal(inUse.out, "Successfully deleted 1 'IPPool' resource(s)\n");
    assert.equal(inUse.err, 'IPPool main: 2 of its addresses are in use; they stay so until their pods go\n');
    assert.equal((await cli.store.list('/calico/ipam/v2/assignment/')).entries.length, 1);
    await cli.run('apply -f -', manifests);
    await allocator.releaseByHandle('k8s-pod-network.a');
    await allocator.releaseByHandle('k8s-pod-network.b');
    assert.deepEqual((await cli.run('delete pool main')).err, '');
    assert.equal((await cli.store.list('/calico/ipam/v2/')).entries.length, 0);
  });

  it('splits a pool in one transaction, when the datastore is locked', async () => {
    const { cli } = await filled();
    assert.match((await cli.run('ipam split 4 --name main')).err, /datastore is not locked/);
    await cli.runWords(['patch', 'clusterinfo', 'default', '-p', '{"spec":{"datastoreReady":false}}']);
    assert.match((await cli.run('ipam split 3 --name main')).err, /not a valid power of 2: 3/);
    assert.match((await cli.run('ipam split 32 --name main')).err, /not large enough/);
    const split = await cli.run('ipam split 4 --cidr 10.0.0.0/24');
    assert.match(
      split.out,
      /IP Pool main was successfully split into 4 smaller pools\.\nCreated split-main-0 with CIDR 10\.0\.0\.0\/26\./,
    );
    const pools = (await cli.run('get pools -o custom-columns=NAME,CIDR')).out;
    assert.equal(pools.trim().split('\n').length, 5);
    assert.doesNotMatch(pools, /^main /m);
  });
});
