// The command line as a whole: options before the command, --help that teaches, and every example as one that is understood.

import assert from 'node:assert/strict';
import type { Command } from 'commander';
import { Cli } from './harness.ts';

const nodes = `
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: n1}
spec: {bgp: {ipv4Address: 10.0.0.1/24}}
`;

/** The words of an example as a shell has them, up to a pipe or redirection. */
function wordsOf(line: string): readonly string[] {
  const words = [...line.matchAll(/'([^']*)'|([^\s'|<>()]+)|([|<>(])/g)];
  const end = words.findIndex(([, , , special]) => special !== undefined);
  return (end < 0 ? words : words.slice(0, end)).map(([, quoted, plain]) => quoted ?? plain ?? '');
}

describe('the command line', () => {
  it('takes calicoctl’s global options before the command and after it', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', nodes);
    const plain = await cli.run('get nodes');
    const lines = [
      '--allow-version-mismatch get nodes',
      '-l debug get nodes',
      '--log-level=info --context prod get nodes --allow-version-mismatch',
      'get nodes -l panic --context=prod',
    ];
    for (const line of lines) assert.deepEqual(await cli.run(line), plain, line);
    assert.equal((await cli.run('-c missing.cfg get nodes')).err, 'cannot read the configuration file missing.cfg\n');
    cli.others.set('unix:/other', (await Cli.start()).store);
    assert.equal((await cli.run('--etcd-endpoints unix:/other get nodes -o json')).out.includes('n1'), false);
    assert.equal(
      (await cli.run('--etcd-endpoints unix:/other get nodes --etcd-endpoints x -o json')).out.includes('n1'),
      true,
    );
  });

  it('says its version, and looks again with --poll until it is interrupted', async () => {
    const cli = await Cli.start();
    assert.match((await cli.run('--version')).out, /^v\d+\.\d+\.\d+\n$/);
    await cli.run('apply -f -', nodes);
    let interrupt = (): void => {};
    cli.interruption = new Promise((resolve) => {
      interrupt = resolve;
    });
    const seen = cli.untilShown('Cluster Type:');
    const running = cli.run('version --poll 5ms');
    await seen;
    interrupt();
    const { out, code } = await running;
    assert.equal(code, 0);
    assert.equal(out.match(/Cluster Version/g)?.length, 1, 'what did not change is not shown again');
    assert.equal(
      (await cli.run('version --poll soon')).err,
      'Invalid poll duration specified: soon; write it as 1s, 10m or 2h\n',
    );
  });

  it('has an example for every command, and each is a command line that is understood', async () => {
    const { buildProgram } = await import('../../cli/program.ts');
    const { examplesOf, fullName } = await import('../../cli/examples.ts');
    const { emptyWorld } = await import('../../cli/reference.ts');
    const program = () => buildProgram(emptyWorld);
    const commands: Command[] = [];
    const collect = (command: Command): void => {
      if (command.name().startsWith('_')) return;
      if (command.commands.length === 0) commands.push(command);
      command.commands.forEach(collect);
    };
    collect(program());
    let lines = 0;
    for (const command of commands) {
      const examples = examplesOf(command);
      assert.ok(examples.length > 0, `${fullName(command)} has an example in cli/examples.ts`);
      for (const { line } of examples) {
        const [, ...given] = wordsOf(line.slice(line.indexOf('twillctl')));
        const fresh = program();
        const found = fullName(command)
          .split(' ')
          .reduce<Command>((at, name) => at.commands.find((child) => child.name() === name) ?? at, fresh);
        let ran = false;
        found.action(() => {
          ran = true;
        });
        await fresh.parseAsync([...given], { from: 'user' });
        assert.ok(ran, `${line} is understood`);
        lines++;
      }
      assert.match(command.helpInformation(), /^Usage: twillctl /m);
    }
    assert.ok(lines > 50, `${lines} examples`);
  });

  it('shows the examples in --help', async () => {
    const cli = await Cli.start();
    const { out, code } = await cli.run('ipam split --help');
    assert.equal(code, 0);
    assert.match(
      out,
      /\nExamples:\n {2}# Four pools out of one; the datastore must be locked\n {2}twillctl ipam split 4 --name pods\n$/,
    );
  });

  it('reads several kinds at once, and names what is not one', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', nodes);
    const { out } = await cli.run('get nodes,tiers,networkpolicies -A');
    assert.deepEqual(out.match(/^(NAME|NAMESPACE).*$/gm), ['NAME', 'NAME            ORDER', 'NAMESPACE   NAME   TIER']);
    assert.equal(
      (await cli.run('get nodes,ippols')).err,
      "Failed to get resources: resource type 'ippols' is not supported; did you mean ippools?\n",
    );
    assert.equal(
      (await cli.run('delete node/n1')).err,
      "resource type 'node/n1' is not supported; write kind and name as two words: node n1\n",
    );
  });
});
