// node checksystem and diags: whether this machine can be a node, and all that helps to find out why it is a bad one.

import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../../linux/process.ts';
import { missingRequirements, netAdmin, nftables, program, veth } from '../../linux/requirements.ts';
import { callControl } from '../../runtime/control.ts';
import { version } from '../../runtime/version.ts';
import { formatJson } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';

export async function runCheckSystem(world: World): Promise<void> {
  const complaints = await missingRequirements([netAdmin, nftables, veth, program('ip', 'iproute2')]);
  for (const complaint of complaints) world.out(`FAIL  ${complaint}\n`);
  if (complaints.length > 0)
    throw new CommandError('System does not meet the minimum requirements to run a Twill node.');
  world.out('System meets the minimum requirements to run a Twill node.\n');
}

export interface DiagsOptions {
  readonly runDir?: string;
  readonly logDir: string;
  readonly outputDir?: string;
}

const questions: Readonly<Record<string, readonly string[]>> = {
  felix: ['/v1/status', '/v1/endpoints', '/v1/hits'],
  bgp: ['/v1/status', '/v1/peers', '/v1/routes'],
};

const commands: readonly (readonly string[])[] = [
  ['uname', '-a'],
  ['ip', '-details', 'address'],
  ['ip', 'route', 'show', 'table', 'all'],
  ['ip', '-6', 'route', 'show', 'table', 'all'],
  ['ip', 'rule'],
  ['ip', 'neighbour'],
  ['nft', 'list', 'ruleset'],
  [
    'sysctl',
    'net.ipv4.ip_forward',
    'net.ipv6.conf.all.forwarding',
    'net.netfilter.nf_conntrack_count',
    'net.netfilter.nf_conntrack_max',
  ],
  ['ss', '-lntup'],
];

/** Everything that can be asked is asked; what cannot be answered is in its file as the reason. */
export async function runDiags(options: DiagsOptions, world: World): Promise<void> {
  const runDir = options.runDir ?? world.environment['TWILL_RUN_DIR'] ?? '/run/twill';
  const name = `twill-diags-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  const base = options.outputDir ?? tmpdir();
  const directory = join(base, name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, 'version.txt'), `twillctl ${version}, node ${process.version}\n`);
  for (const [part, paths] of Object.entries(questions)) {
    for (const path of paths) {
      const answer = await callControl(join(runDir, `${part}.sock`), path).catch((error: unknown) => ({
        error: String(error),
      }));
      writeFileSync(join(directory, `${part}${path.replaceAll('/', '-')}.json`), formatJson(answer));
    }
  }
  for (const [file = '', ...args] of commands) {
    writeFileSync(
      join(directory, `${[file, ...args].join('_').replaceAll(/[^\w.-]/g, '')}.txt`),
      await outputOf(file, args),
    );
  }
  if (existsSync(options.logDir)) cpSync(options.logDir, join(directory, 'logs'), { recursive: true });
  const archive = `${directory}.tar.gz`;
  const packed = await runProgram('tar', ['-C', base, '-czf', archive, name]);
  if (packed.status !== 0) throw new CommandError(`tar failed: ${packed.stderr}; the files are in ${directory}`);
  rmSync(directory, { recursive: true });
  world.out(
    `Diags saved to ${archive}\nThey hold addresses, routes and rules of this machine; look at them before you pass them on.\n`,
  );
}

async function outputOf(file: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await runProgram(file, args);
    return stdout + stderr;
  } catch (error) {
    return `${file}: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}
