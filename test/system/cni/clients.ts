// The two clients of the plugin, made ready to be executed.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { findProgram } from '../../../linux/requirements.ts';
import type { Client } from './node.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Undefined without a compiler: the build makes the Node client the plugin then. */
export function compileClient(folder: string): Client | undefined {
  const compiler = findProgram('cc');
  if (!compiler) return undefined;
  const file = join(folder, 'twill-cni');
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', '-o', file, join(root, 'cni/client.c')]);
  return [file];
}

export function bundleClient(folder: string): Client {
  const outfile = join(folder, 'twill-cni.mjs');
  const entry = join(root, 'cni/fallback.ts');
  buildSync({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node20' });
  return [process.execPath, outfile];
}
