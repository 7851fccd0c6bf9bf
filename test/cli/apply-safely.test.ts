// Changing things with care: dry runs, diff, prune, and conflicts that say who changed what.

import assert from 'node:assert/strict';
import { changedFields } from '../../cli/conflict.ts';
import { lineDiff } from '../../cli/output/line-diff.ts';
import { Cli } from './harness.ts';

const set = (name: string, nets: string, labels = 'app: x') => `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: ${name}, labels: {${labels}}}
spec: {nets: [${nets}]}
`;

const stored = async (cli: Cli): Promise<string> => JSON.stringify((await cli.store.list('/')).entries);

describe('twillctl --dry-run', () => {
  it('says what would happen, checks as much, and stores nothing', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    const before = await stored(cli);
    const files = [set('a', '10.0.0.0/8'), set('b', '10.1.0.0/16')].join('---');
    const result = await cli.run('apply --dry-run -f -', files);
    assert.equal(
      result.out,
      'GlobalNetworkSet a would be left as it is\nGlobalNetworkSet b would be created\n' +
        "Successfully applied 2 'GlobalNetworkSet' resource(s) (dry run: nothing was stored)\n",
    );
    assert.match((await cli.run('create --dry-run -f -', set('a', '10.0.0.0/8'))).err, /resource already exists/);
    assert.match((await cli.run('delete --dry-run gnetset a')).out, /^GlobalNetworkSet a would be deleted\n/);
    assert.match((await cli.run('delete --dry-run gnetset b')).err, /resource does not exist/);
    assert.equal(await stored(cli), before);
  });

  it('sees what the same files made before: a tier, then its policy', async () => {
    const cli = await Cli.start();
    const files = `
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 5}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: deny}
spec: {tier: security}
`;
    assert.equal((await cli.run('apply --dry-run -f -', files)).code, 0);
    assert.equal((await cli.run('apply -f -', files)).code, 0);
  });
});

describe('twillctl diff', () => {
  it('sees no difference in what is stored by itself, or not at all', async () => {
    const cli = await Cli.start();
    const policy = `kind: GlobalNetworkPolicy
apiVersion: projectcalico.org/v3
metadata: {name: p}
spec: {selector: all(), doNotTrack: false, preDNAT: false, applyOnForward: false}
`;
    await cli.run('apply -f -', policy);
    const stored = await cli.store.get('/calico/resources/v3/projectcalico.org/globalnetworkpolicies/p');
    const { metadata, spec } = JSON.parse(stored?.value ?? '');
    assert.deepEqual(metadata.annotations, { 'projectcalico.org/metadata': '{"name":"p"}' });
    assert.deepEqual(spec, { tier: 'default', selector: 'all()', types: ['Ingress'] });
    assert.deepEqual(await cli.run('diff -f -', policy), { code: 0, out: '', err: '' });
    const again = await cli.run('apply --dry-run -f -', policy);
    assert.match(again.out, /^GlobalNetworkPolicy p would be left as it is\n/);
  });

  it('shows what apply would change, with its exit code', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    assert.deepEqual(await cli.run('diff -f -', set('a', '10.0.0.0/8')), { code: 0, out: '', err: '' });
    const changed = await cli.run('diff -f -', set('a', '10.0.0.0/8, 192.0.2.1'));
    assert.equal(changed.code, 1);
    assert.match(changed.out, /^--- datastore GlobalNetworkSet\/a\n\+\+\+ standard input GlobalNetworkSet\/a\n/);
    assert.match(changed.out, /^\+ {4}- 192\.0\.2\.1$/m);
    const fresh = await cli.run('diff -f -', set('b', '10.0.0.0/8'));
    assert.match(fresh.out, /^\+kind: GlobalNetworkSet$/m);
    assert.equal((await cli.run('diff -f -', set('a', 'nonsense'))).code, 2);
  });

  it('finds the shortest change', () => {
    const text = lineDiff(['a', 'b'], '1\n2\n3\n4\n5\n6\n7\n8\n9\n', '1\n2\n3\n4\nx\n6\n7\n8\n9\n', {
      colours: false,
      context: 1,
    });
    assert.equal(text, '--- a\n+++ b\n 4\n-5\n+x\n 6\n…\n');
    assert.ok(lineDiff(['a', 'b'], '1\n', '2\n', { colours: true }).includes('\u001b[31m-1\u001b[0m'));
  });
});

describe('twillctl apply --prune', () => {
  it('deletes what carries the labels and is not in the files', async () => {
    const cli = await Cli.start();
    await cli.run(
      'apply -f -',
      [set('a', '10.0.0.0/8'), set('b', '10.1.0.0/16'), set('c', '10.2.0.0/16', 'app: y')].join('---'),
    );
    assert.match((await cli.run('apply --prune -f -', set('a', '10.0.0.0/8'))).err, /--prune needs -l/);
    const dry = await cli.run('apply --prune --dry-run -l app=x -f -', set('a', '10.0.0.0/8'));
    assert.match(dry.out, /GlobalNetworkSet b would be pruned/);
    const result = await cli.run('apply --prune -l app=x -f -', set('a', '10.0.0.0/8'));
    assert.match(result.out, /GlobalNetworkSet b pruned\n$/);
    const left = (await cli.run('get gnetsets')).out;
    assert.equal(left, 'NAME\na\nc\n\n');
    const worded = await cli.runWords(['apply', '--prune', '-l', "app in {'y'}", '-f', '-'], set('a', '10.0.0.0/8'));
    assert.match(worded.out, /GlobalNetworkSet c pruned/);
  });
});

describe('conflicts', () => {
  it('say who changed which fields', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    const read = (await cli.run('get gnetset a -o yaml')).out;
    cli.author = 'bob@laptop with twillctl';
    await cli.run('apply -f -', set('a', '10.0.0.0/8, 192.0.2.1', 'app: z'));
    cli.author = 'alice@desk with twillctl';
    const late = await cli.run('apply -f -', read);
    assert.equal(late.code, 1);
    assert.match(
      late.err,
      /update conflict: GlobalNetworkSet\(a\) was changed since revision \d+ by bob@laptop with twillctl at 20/,
    );
    assert.match(
      late.err,
      /metadata\.labels\.app "x" → "z", spec\.nets \["10\.0\.0\.0\/8"\] → \["10\.0\.0\.0\/8","192\.0\.2\.1"\]/,
    );
  });

  it('name only what differs', () => {
    assert.deepEqual(changedFields({ a: { b: 1, c: [1] }, d: 1 }, { a: { b: 2, c: [1] }, e: 'x' }), [
      'a.b 1 → 2',
      'd 1 → (absent)',
      'e (absent) → "x"',
    ]);
  });
});
