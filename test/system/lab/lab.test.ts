// Shows that the lab proves itself, that it can be raised after a `kill -9` in the middle, and that it leaves foreign tables,
// routes and namespaces as they are.

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const lab = fileURLToPath(new URL('../../../dist/bin/twill-lab', import.meta.url));
const shell = (command: string): string => {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
  strictEqual(status, 0, `${command}: ${stderr}`);
  return stdout;
};

interface Run {
  readonly child: ChildProcess;
  readonly output: () => string;
}

/** In a network namespace of its own, which stands for the machine: what is planted there must stay. */
const host = 'tw-lab-host';

function startLab(...words: readonly string[]): Run {
  const child = spawn('nsenter', [`--net=/run/netns/${host}`, lab, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  return { child, output: () => text };
}

async function untilPrinted(run: Run, text: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!run.output().includes(text)) {
    ok(Date.now() < deadline && run.child.exitCode === null, `"${text}" was not printed:\n${run.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const labNamespaces = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith('twl-'));

const foreignState = (): string =>
  shell(`nsenter --net=/run/netns/${host} sh -c 'nft list ruleset; ip route show table all; ip -br link; ip rule'`);

describe('the lab', function () {
  this.timeout(120_000);

  let foreign = '';
  let printed = '';

  before(() => {
    spawnSync(lab, ['down']);
    spawnSync('ip', ['netns', 'delete', host]);
    shell(`ip netns add ${host} && ip -n ${host} link set lo up && ip netns add tw-lab-foreign`);
    shell(`ip -n ${host} link add d0 type veth peer name d1 && ip -n ${host} link set d0 up`);
    shell(`ip -n ${host} route add 10.50.7.0/24 dev d0 && ip -n ${host} route add blackhole 10.60.0.0/16`);
    const table = 'table inet twill { chain mine { type filter hook input priority 0; counter accept; }; }';
    shell(`nsenter --net=/run/netns/${host} nft '${table}'`);
    foreign = foreignState();
  });

  after(() => {
    spawnSync(lab, ['down']);
    spawnSync('ip', ['netns', 'delete', host]);
    spawnSync('ip', ['netns', 'delete', 'tw-lab-foreign']);
  });

  it('can be killed in the middle', async () => {
    const run = startLab('up');
    await untilPrinted(run, 'twill-datastore on a unix socket', 30_000);
    run.child.kill('SIGKILL');
    await once(run.child, 'exit');
    ok(labNamespaces().length > 0);
    ok(existsSync('/run/twill-lab'));
  });

  it('passes every check then, and stays up with --keep', async () => {
    const run = startLab('up', '--keep');
    const [code] = await once(run.child, 'exit');
    printed = run.output();
    ok(printed.includes('Removed what an earlier run left'), printed);
    ok(/^[1-9]\d* passed, 0 failed$/.test(printed.trimEnd().split('\n').at(-1) ?? ''), printed);
    strictEqual(code, 0);
  });

  it('prints command lines to try that work', () => {
    const commands = printed
      .slice(printed.indexOf('The lab is up. Try:'))
      .split('\n')
      .flatMap((line) => line.match(/^ {4}(\S.*)$/)?.[1] ?? [])
      .filter((command) => command !== 'npm run lab:down');
    ok(commands.length > 10);
    // An interactive shell ends at once at the end of its input; aliases are for interactive shells only.
    const script = ['shopt -s expand_aliases', 'set -e', ...commands].join('\n');
    const { status, stdout, stderr } = spawnSync('bash', ['-x', '-c', script], { encoding: 'utf8', input: '' });
    strictEqual(status, 0, `${stdout}\n${stderr}`);
    ok(stdout.includes('web sees 10.60.'), stdout);
  });

  it('removes what both runs made, and nothing else', async () => {
    const run = startLab('down');
    const [code] = await once(run.child, 'exit');
    strictEqual(code, 0, run.output());
    deepStrictEqual(labNamespaces(), []);
    ok(!existsSync('/run/twill-lab'));
    ok(existsSync('/run/netns/tw-lab-foreign'));
    strictEqual(foreignState(), foreign);
  });

  it('goes when it is interrupted', async () => {
    const run = startLab('up');
    await untilPrinted(run, 'twill-datastore on a unix socket', 30_000);
    run.child.kill('SIGINT');
    const [code] = await once(run.child, 'exit');
    strictEqual(code, 130);
    deepStrictEqual(labNamespaces(), []);
    ok(!existsSync('/run/twill-lab'));
  });

  it('refuses to take over a namespace that is not its own', async () => {
    shell('ip netns add twl-spine');
    try {
      const run = startLab('up');
      const [code] = await once(run.child, 'exit');
      strictEqual(code, 1);
      ok(run.output().includes('twl-spine exists and is not the lab'), run.output());
      deepStrictEqual(labNamespaces(), ['twl-spine']);
    } finally {
      spawnSync('ip', ['netns', 'delete', 'twl-spine']);
    }
  });

  it('has nothing left to remove', async () => {
    const run = startLab('down');
    const [code] = await once(run.child, 'exit');
    strictEqual(code, 0);
    ok(run.output().includes('there is no lab to remove'));
  });
});
