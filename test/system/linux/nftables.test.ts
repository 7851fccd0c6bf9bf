// nftables by libnftables and by the nft program: the same outcomes for the same text, one transaction at a time, in the
// namespace it was opened in.

import assert from 'node:assert/strict';
import { type NftClient, openNftables } from '../../../linux/nftables.ts';
import { runOrThrow } from '../../../linux/process.ts';
import { useNetns } from './namespaces.ts';

const table = `table inet t {
  set s {
    type ipv4_addr . inet_proto . inet_service
    flags interval
  }
  chain c {
    type filter hook input priority filter
  }
}`;

for (const backend of ['libnftables', 'nft-program'] as const) {
  describe(`nftables by ${backend}`, function () {
    this.timeout(30_000);
    const netns = useNetns('nft');
    let client: NftClient;

    beforeEach(() => {
      client = openNftables({ netns: netns('nft'), backend });
    });
    afterEach(async () => {
      await client.run('flush ruleset');
      await client.close();
    });

    const code = async (text: string): Promise<string> => {
      const result = await client.run(text);
      return result.kind === 'ok' ? 'ok' : result.code;
    };

    it('runs transactions and lists them in numbers', async () => {
      assert.equal(client.backend, backend);
      assert.equal(await code(table), 'ok');
      assert.equal(await code('add element inet t s { 10.0.0.0/8 . tcp . 80-90 }'), 'ok');
      const listed = await client.listJson('list set inet t s');
      assert.ok(listed.kind === 'ok');
      const [set] = listed.objects;
      assert.deepEqual(Reflect.get(Object(set?.['set']), 'elem'), [
        { concat: [{ prefix: { addr: '10.0.0.0', len: 8 } }, 6, { range: [80, 90] }] },
      ]);
      const seen = await runOrThrow('nft', ['list', 'tables'], { netns: netns('nft') });
      assert.equal(seen.trim(), 'table inet t');
    });

    it('applies all of a transaction or nothing', async () => {
      assert.equal(await code(`add table inet one\ndelete table inet absent`), 'ENOENT');
      const listed = await client.listJson('list tables');
      assert.deepEqual(listed, { kind: 'ok', objects: [] });
    });

    it('says what kind of refusal it was', async () => {
      await client.run(table);
      assert.equal(await code('hurz'), 'SYNTAX');
      assert.equal(await code('add element inet t nowhere { 1 }'), 'ENOENT');
      assert.equal(await code('create table inet t'), 'EEXIST');
      assert.equal(await code('add set inet t p { type ipv4_addr; flags interval; }'), 'ok');
      assert.equal(await code('add element inet t p { 10.0.0.0/8 }'), 'ok');
      assert.equal(await code('add element inet t p { 10.1.0.0/16 }'), 'EEXIST');
      const missing = await client.listJson('list table inet nowhere');
      assert.equal(missing.kind === 'failed' && missing.code, 'ENOENT');
    });

    it('checks without doing', async () => {
      assert.equal((await client.check(table)).kind, 'ok');
      assert.equal((await client.check('delete table inet t')).kind, 'failed');
      assert.deepEqual(await client.listJson('list tables'), { kind: 'ok', objects: [] });
    });

    it('runs calls in their order, long and short', async () => {
      const elements = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.1 . tcp . 80`).join(', ');
      const results = await Promise.all([
        client.run(table),
        client.run(`add element inet t s { ${elements} }`),
        client.run('delete element inet t s { 10.0.7.1 . tcp . 80 }'),
        client.listJson('list set inet t s'),
        client.run('delete table inet t'),
        client.listJson('list tables'),
      ]);
      assert.deepEqual(
        results.map(({ kind }) => kind),
        ['ok', 'ok', 'ok', 'ok', 'ok', 'ok'],
      );
      const [, , , set, , tables] = results;
      assert.ok(set && 'objects' in set && tables && 'objects' in tables);
      assert.equal(Reflect.get(Object(set.objects[0]?.['set']), 'elem').length, 4999);
      assert.deepEqual(tables.objects, []);
    });

    it('sees what others do', async () => {
      await client.run(table);
      await runOrThrow('nft', ['add', 'chain', 'inet', 't', 'theirs'], { netns: netns('nft') });
      assert.equal(await code('add rule inet t theirs accept'), 'ok');
      await runOrThrow('nft', ['delete', 'table', 'inet', 't'], { netns: netns('nft') });
      assert.equal(await code('add rule inet t c accept'), 'ENOENT');
    });
  });
}
