// datastore: status, lock, backup and restore, and the copy to another store.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cli } from './harness.ts';

const manifest = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/16}
`;

async function filled(): Promise<Cli> {
  const cli = await Cli.start();
  await cli.run('apply -f -', manifest);
  const lease = await cli.store.grantLease(60);
  await cli.store.transact({
    compare: [],
    then: [{ kind: 'put', key: '/calico/felix/v2/no-region/host/n/status', value: '{}', lease: lease.id }],
  });
  return cli;
}

const pairs = async (cli: Cli, store = cli.store): Promise<readonly (readonly [string, string])[]> =>
  (await store.list('/calico/')).entries
    .filter(({ key }) => !key.includes('felix/v2'))
    .map(({ key, value }) => [key, value]);

describe('twillctl datastore', () => {
  it('shows its state, and locks', async () => {
    const cli = await filled();
    const status = (await cli.run('datastore status')).out;
    assert.match(status, /\| State +\| ready +\|/);
    assert.match(status, /\| Tier +\| 3 +\|/);
    assert.equal((await cli.run('datastore migrate lock')).out, 'Datastore locked.\n');
    assert.match((await cli.run('datastore status')).out, /\| State +\| locked +\|/);
    assert.equal((await cli.run('datastore migrate unlock')).out, 'Datastore unlocked.\n');
  });

  it('backs up everything but heartbeats, and restores it', async () => {
    const cli = await filled();
    const directory = mkdtempSync(join(tmpdir(), 'twill-backup-'));
    try {
      const file = join(directory, 'backup');
      const before = await pairs(cli);
      assert.equal((await cli.run(`datastore backup ${file}`)).out, `Backed up ${before.length} keys to ${file}\n`);
      assert.match((await cli.run(`datastore backup ${file}`)).err, /cannot write .*EEXIST/);
      const text = readFileSync(file, 'utf8');
      cli.files.set(file, text);
      assert.match(
        (await cli.run(`datastore restore ${file}`)).err,
        /the store already holds \d+ keys below "\/calico\/"/,
      );
      const fresh = await Cli.start();
      fresh.files.set(file, text);
      assert.equal(
        (await fresh.run(`datastore restore ${file}`)).out,
        `Restored ${before.length} keys (${before.length} written, 0 removed)\n`,
      );
      assert.deepEqual(await pairs(fresh), before);
      await fresh.run('delete pool main');
      assert.equal((await fresh.run(`datastore restore --force ${file}`)).code, 0);
      assert.deepEqual(await pairs(fresh), before);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('writes nothing from a backup that was cut, changed or is something else', async () => {
    const text = (await (await filled()).run('datastore backup')).out;
    const lines = text.split('\n');
    for (const [damaged, problem] of [
      [lines.slice(0, 4).join('\n'), /ends early/],
      [text.replace('10.0.0.0', '10.9.0.0'), /was changed or is damaged/],
      ['{}', /this is no backup made by twillctl/],
    ] as const) {
      const fresh = await Cli.start();
      const result = await fresh.run('datastore restore -', damaged);
      assert.match(result.err, problem);
      assert.equal((await pairs(fresh)).length, 0);
    }
  });

  it('copies to another store, which is the one in use then', async () => {
    const cli = await filled();
    const { createMemoryStore } = await import('../../datastore/memory.ts');
    const other = createMemoryStore();
    // A store in memory is known by how often it was wiped.
    other.wipe();
    cli.others.set('http://other:2379', other);
    cli.others.set('http://same:2379', cli.store);
    assert.match((await cli.run('datastore migrate copy --to http://same:2379')).err, /--to is the same datastore/);
    const result = await cli.run('datastore migrate copy --to http://other:2379');
    assert.match(
      result.out,
      /Copied and compared \d+ keys to http:\/\/other:2379, which is unlocked; the source stays locked\./,
    );
    assert.match((await cli.run('datastore status')).out, /\| State +\| locked +\|/);
    assert.match((await cli.run('datastore status --etcd-endpoints http://other:2379')).out, /\| State +\| ready +\|/);
    assert.match((await cli.run('get pools --etcd-endpoints http://other:2379')).out, /^main /m);
  });
});
