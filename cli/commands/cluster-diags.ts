// cluster diags: what the other commands can tell about the cluster, in one file.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { declarationOf, type Kind, kinds } from '../../datastore/model/index.ts';
import { runProgram as runTar } from '../../linux/process.ts';
import { CommandError, type World } from '../world.ts';
import type { GlobalOptions } from './context.ts';

export interface ClusterDiagsOptions extends GlobalOptions {
  readonly outputDir?: string;
  readonly skipTempDirCleanup?: boolean;
}

type Run = (argv: readonly string[], world: World) => Promise<number>;

export async function runClusterDiags(options: ClusterDiagsOptions, world: World, run: Run): Promise<void> {
  const base = options.outputDir ?? tmpdir();
  const name = `twill-cluster-diags-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  mkdirSync(join(base, name), { recursive: true, mode: 0o700 });
  const connection = [
    ...(options.config === undefined ? [] : ['--config', options.config]),
    ...(options.etcdEndpoints === undefined ? [] : ['--etcd-endpoints', options.etcdEndpoints]),
  ];
  for (const [file, line] of Object.entries(lines())) {
    writeFileSync(join(base, name, file), await outputOf([...line, ...connection], world, run));
  }
  const archive = join(base, `${name}.tar.gz`);
  const packed = await runTar('tar', ['-C', base, '-czf', archive, name]);
  if (packed.status !== 0) throw new CommandError(`tar failed: ${packed.stderr}; the files are in ${join(base, name)}`);
  if (!options.skipTempDirCleanup) rmSync(join(base, name), { recursive: true });
  world.out(`Diags saved to ${archive}\nThey hold the whole configuration; look at them before you pass them on.\n`);
}

/** File names and the commands whose output they get. */
function lines(): Readonly<Record<string, readonly string[]>> {
  const listings = (Object.keys(kinds) as Kind[]).map((kind) => {
    const { plural, namespaced } = declarationOf(kind);
    return [`${plural}.yaml`, ['get', plural, '-o', 'yaml', ...(namespaced ? ['-A'] : [])]] as const;
  });
  return {
    'version.txt': ['version'],
    'datastore.txt': ['datastore', 'status'],
    'nodes.json': ['node', 'list', '-o', 'json'],
    'ipam.txt': ['ipam', 'show', '--show-blocks'],
    'ipam-check.txt': ['ipam', 'check', '--show-problem-ips'],
    ...Object.fromEntries(listings),
  };
}

/** Output and complaints alike: what could not be found out is part of the picture. */
async function outputOf(line: readonly string[], world: World, run: Run): Promise<string> {
  let text = '';
  const add = (part: string): void => {
    text += part;
  };
  await run(line, { ...world, out: add, err: add, progress: false, colours: false });
  return text;
}
