// What people use at a terminal: explain, schemas, watch, edit, completion.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { Cli } from './harness.ts';

const set = (name: string, nets: string) => `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: ${name}}
spec: {nets: [${nets}]}
`;

describe('twillctl explain', () => {
  it('describes kinds and fields', async () => {
    const cli = await Cli.start();
    assert.match((await cli.run('explain')).out, /^BGPConfiguration +BGP of the whole cluster/);
    assert.equal(
      (await cli.run('explain ippool.spec.blockSize')).out,
      'IPPool.spec.blockSize  <integer, 20 to 128>  (default 26 for IPv4, 122 for IPv6, cannot change later)\n' +
        '  Prefix length of the blocks that nodes claim: 20 to 32 for IPv4, 116 to 128 for IPv6.\n',
    );
    assert.match(
      (await cli.run('explain np.spec.ingress.source')).out,
      /\n {2}nets {2}<list of CIDR> {2}\(at most 256\)\n/,
    );
    assert.match(
      (await cli.run('explain np.spec.ingres')).err,
      /NetworkPolicy\.spec has no field ingres; did you mean ingress\?/,
    );
    assert.match((await cli.run('explain tier.spec.order.x')).err, /Tier\.spec\.order has no fields/);
    assert.match((await cli.run('explain bgppeer --recursive')).out, /secretKeyRef {2}<object>/);
  });

  it('gives the JSON schema', async () => {
    const cli = await Cli.start();
    const schema = JSON.parse((await cli.run('get ippool --output-schema')).out);
    assert.equal(schema.title, 'IPPool');
    assert.deepEqual(schema.properties.spec.required, ['cidr']);
    assert.equal(schema.properties.spec.properties.ipipMode.default, 'Never');
  });
});

describe('twillctl get -w', () => {
  it('shows what there is, then every change', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    let stop = (): void => {};
    cli.interruption = new Promise((resolve) => {
      stop = resolve;
    });
    const begun = cli.untilShown('EXISTS');
    const watching = cli.run('get gnetsets -w -o wide');
    await begun;
    await cli.run('apply -f -', set('b', '10.1.0.0/16'));
    await cli.run('apply -f -', set('a', '10.2.0.0/16'));
    const ended = cli.untilShown('DELETED');
    await cli.run('delete gnetset b');
    await ended;
    stop();
    const { out, code } = await watching;
    assert.equal(code, 0);
    assert.deepEqual(
      out
        .trim()
        .split('\n')
        .map((line) => line.replace(/ +/g, ' ')),
      [
        'EVENT NAME NETS',
        'EXISTS a 10.0.0.0/8',
        'ADDED b 10.1.0.0/16',
        'CHANGED a 10.2.0.0/16',
        'DELETED b 10.1.0.0/16',
      ],
    );
  });
});

describe('twillctl edit', () => {
  it('stores what the editor left, and asks again while it is not valid', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    const seen: string[] = [];
    cli.edit = (file) => {
      const text = readFileSync(file, 'utf8');
      seen.push(text);
      const replacement = seen.length === 1 ? 'not-a-net' : '192.0.2.0/24';
      writeFileSync(file, text.replace(/^( *- ).*$/m, `$1${replacement}`));
      return 0;
    };
    assert.equal((await cli.run('edit gnetset a')).out, "Successfully replaced 1 'GlobalNetworkSet' resource(s)\n");
    assert.equal(seen.length, 2);
    assert.match(seen[1] ?? '', /^# {3}spec\.nets\[0\]: "not-a-net" is neither a CIDR nor an address/m);
    assert.match((await cli.run('get gnetset a -o yaml')).out, /192\.0\.2\.0\/24/);
  });

  it('stores nothing without a change, or when the editor fails', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', set('a', '10.0.0.0/8'));
    assert.equal((await cli.run('edit gnetset a')).out, 'Edit cancelled, no changes made.\n');
    cli.edit = () => 3;
    assert.match((await cli.run('edit gnetset a')).err, /the editor \(vi\) ended with 3, nothing was stored/);
    cli.edit = (file) => {
      writeFileSync(file, readFileSync(file, 'utf8').replace('name: a', 'name: b'));
      cli.edit = () => 1;
      return 0;
    };
    assert.equal((await cli.run('edit gnetset a')).code, 1);
    assert.match((await cli.run('get gnetsets')).out, /^NAME\na\n\n$/);
  });
});

describe('twillctl completion', () => {
  const complete = async (cli: Cli, line: string): Promise<readonly string[]> =>
    (await cli.runWords(['__complete', '--', ...line.split(' ')])).out.trim().split('\n');

  it('has scripts for three shells', async () => {
    const cli = await Cli.start();
    assert.match((await cli.run('completion bash')).out, /complete -o filenames -F _twillctl twillctl/);
    assert.match((await cli.run('completion zsh')).out, /compdef _twillctl twillctl/);
    assert.match((await cli.run('completion fish')).out, /complete -c twillctl/);
    assert.match((await cli.run('completion tcsh')).err, /there is no completion for tcsh/);
  });

  it('completes commands, flags, kinds, names and files', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', [set('alpha', '10.0.0.0/8'), set('beta', '10.1.0.0/16')].join('---'));
    assert.deepEqual(await complete(cli, 'ap'), ['apply']);
    assert.deepEqual(await complete(cli, 'ipam s'), ['show', 'split']);
    assert.deepEqual(await complete(cli, 'get globalnetworks'), ['globalnetworksets']);
    assert.deepEqual(await complete(cli, 'get poo'), ['pool']);
    assert.deepEqual(await complete(cli, 'get gnetset '), ['alpha', 'beta']);
    assert.deepEqual(await complete(cli, 'get gnetset al'), ['alpha']);
    assert.deepEqual(await complete(cli, 'get -o y'), ['yaml']);
    assert.deepEqual(await complete(cli, 'get --all'), ['--allow-version-mismatch', '--all-namespaces']);
    assert.deepEqual(await complete(cli, 'apply -f x'), ['__files__']);
  });
});

describe('a mistyped command', () => {
  it('names the one that was meant', async () => {
    const cli = await Cli.start();
    const result = await cli.run('aply -f -');
    assert.equal(result.code, 1);
    assert.match(result.err, /unknown command 'aply'\n\(Did you mean apply\?\)/);
  });
});
