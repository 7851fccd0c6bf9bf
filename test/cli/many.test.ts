// Many resources in one go: written several at once, with what one by one would have come to.

import assert from 'node:assert/strict';
import type { Transaction } from '../../datastore/kv.ts';
import { Cli } from './harness.ts';

const set = (name: string, net: string) => `kind: GlobalNetworkSet
apiVersion: projectcalico.org/v3
metadata: {name: ${name}}
spec: {nets: [${net}]}
`;
const tier = (name: string) => `kind: Tier
apiVersion: projectcalico.org/v3
metadata: {name: ${name}}
spec: {order: 5}
`;
const policy = (name: string, inTier: string) => `kind: GlobalNetworkPolicy
apiVersion: projectcalico.org/v3
metadata: {name: ${name}}
spec: {tier: ${inTier}}
`;
const pool = (name: string, cidr: string) => `kind: IPPool
apiVersion: projectcalico.org/v3
metadata: {name: ${name}}
spec: {cidr: ${cidr}}
`;
const files = (documents: readonly string[]): string => documents.join('---\n');
const numbered = (count: number, make: (i: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** Counts the transactions that are under way at once; each takes a turn of the event loop. */
function watchTransactions(cli: Cli, refuse: (transaction: Transaction) => Error | undefined = () => undefined) {
  const transact = cli.store.transact.bind(cli.store);
  const seen = { most: 0, now: 0, all: 0 };
  cli.store.transact = async (transaction) => {
    seen.all++;
    seen.most = Math.max(seen.most, ++seen.now);
    await new Promise((resolve) => setImmediate(resolve));
    seen.now--;
    const error = refuse(transaction);
    if (error) throw error;
    return await transact(transaction);
  };
  return seen;
}

describe('twillctl with many resources', () => {
  it('writes and deletes several at once, never all', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('first', '10.0.0.0/8'));
    const seen = watchTransactions(cli);
    const many = files(numbered(300, (i) => set(`s${i}`, `10.0.${i % 256}.0/24`)));
    for (const verb of ['create', 'replace', 'apply', 'delete']) {
      seen.most = 0;
      const { code, out, err } = await cli.run(`${verb} -f -`, many);
      assert.equal(code, 0, err);
      assert.match(out, / 300 'GlobalNetworkSet' resource\(s\)/);
      assert.ok(seen.most > 20 && seen.most <= 64, `${verb}: ${seen.most} at once`);
    }
  });

  it('tells failures in the order of the files', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', files(numbered(100, (i) => set(`s${i * 3}`, '10.0.0.0/8'))));
    const { code, out, err } = await cli.run('create -f -', files(numbered(300, (i) => set(`s${i}`, '10.0.0.0/8'))));
    assert.equal(code, 1);
    assert.equal(out, "Partial success: created 200 out of 300 'GlobalNetworkSet' resources:\n");
    const named = [...err.matchAll(/GlobalNetworkSet\(s(\d+)\)/g)].map(([, number]) => Number(number));
    assert.deepEqual(
      named,
      Array.from({ length: 100 }, (_, i) => i * 3),
    );
  });

  it('writes what concerns one resource one after the other', async () => {
    const cli = await Cli.start();
    const twice = numbered(50, (i) => set(`s${i % 5}`, `10.0.0.${i}/32`));
    assert.equal((await cli.run('apply -f -', files(twice))).code, 0);
    const { out } = await cli.run('get gnetset -o custom-columns=NAME,NETS');
    for (let i = 45; i < 50; i++) assert.match(out, new RegExp(`s${i % 5} +10.0.0.${i}/32`));
  });

  it('has tiers before their policies, and deletes them in reverse', async () => {
    const cli = await Cli.start();
    const all = files(
      numbered(5, (i) => files([tier(`t${i}`), ...numbered(20, (j) => policy(`p${i}-${j}`, `t${i}`))])),
    );
    assert.match((await cli.run('apply -f -', all)).out, /Successfully applied 105 resource/);
    const { code, out, err } = await cli.run('delete -f -', all);
    assert.equal(code, 0, err);
    assert.match(out, /Successfully deleted 105 resource/);
    assert.match(
      (await cli.run('create -f -', files([policy('x', 'late'), tier('late')]))).err,
      /there is no Tier late/,
    );
  });

  it('takes one pool after the other, so that none overlaps', async () => {
    const cli = await Cli.start();
    const { err } = await cli.run('create -f -', files([pool('a', '10.0.0.0/16'), pool('b', '10.0.1.0/24')]));
    assert.match(err, /overlaps IPPool a/);
  });

  it('begins nothing more when the datastore has gone', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('first', '10.0.0.0/8'));
    const { KvError } = await import('../../datastore/kv.ts');
    const seen = watchTransactions(cli, () => new KvError('unavailable', '14 UNAVAILABLE: gone'));
    const { code, err } = await cli.run('create -f -', files(numbered(1000, (i) => set(`s${i}`, '10.0.0.0/8'))));
    assert.equal(code, 1);
    assert.match(err, /^cannot reach the datastore/);
    assert.ok(seen.all <= 64, `${seen.all} were tried`);
  });
});
