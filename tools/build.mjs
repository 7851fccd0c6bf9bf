#!/usr/bin/env node
// Builds dist/bin: one bundle per executable, plus the C client of the CNI plugin where there is a compiler.
//
//   entry point  ──esbuild──►  dist/bin/<name>     executable, ES module, `#!/usr/bin/env node`
//   cni/client.c ──cc───────►  dist/bin/twill-cni  falls back to the bundle of cni/fallback.ts
//
// A source file brings along what it names as `new URL('./other.ts', import.meta.url)`: a .ts file becomes a bundle of its
// own (a worker thread, say), any other file is copied; both land in dist/lib and the URL is rewritten to point there.
// So the same line works from the sources, under tsx, and from dist/bin.
//
// Everything is written beside its place and renamed, so that who runs an executable meanwhile sees the old or the new.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const executables = {
  twillctl: 'cli/main.ts',
  'twill-node': 'agent/main.ts',
  'twill-bgp': 'bgp/main.ts',
  'twill-datastore': 'datastore/embedded/main.ts',
  'twill-lab': 'deploy/lab/main.ts',
  'twill-cni-node': 'cni/fallback.ts',
};

// Native code, and packages that read files beside themselves: they stay in node_modules.
const external = ['koffi', 'etcd3', '@grpc/grpc-js', '@grpc/proto-loader', 'pino', 'pino-pretty', 'esbuild'];

const started = performance.now();
const binDir = join(root, 'dist/bin');
const libDir = join(root, 'dist/lib');
const stageDir = join(root, `dist/.stage-${process.pid}`);

try {
  mkdirSync(binDir, { recursive: true });
  mkdirSync(libDir, { recursive: true });
  mkdirSync(stageDir, { recursive: true });
  // The stamp's time is the start of the build: a source saved while we build counts as newer.
  writeFileSync(join(stageDir, 'stamp'), '');
  const failures = await buildBundles();
  buildCniClient();
  if (failures.length === 0) renameSync(join(stageDir, 'stamp'), join(root, 'dist/.built'));
  else process.exitCode = 1;
  for (const line of failures) console.error(line);
  console.error(`built dist/bin in ${Math.round(performance.now() - started)} ms`);
} finally {
  rmSync(stageDir, { recursive: true, force: true });
}

/** Returns a line for each executable that could not be built; esbuild has printed the details. */
async function buildBundles() {
  const failures = [];
  const companions = new Map();
  const attempt = async (what, work) => {
    try {
      await work();
    } catch (error) {
      failures.push(`${what} was not built: ${String(error.message).split('\n')[0]}`);
    }
  };
  const bundles = Object.entries(executables).map(([name, source]) =>
    existsSync(join(root, source))
      ? attempt(name, () => bundle(join(root, source), join(binDir, name), true, companions))
      : console.error(`skipped ${name}: ${source} does not exist`),
  );
  await Promise.all(bundles);
  for (const [source, name] of companions) {
    await attempt(name, () => installCompanion(source, join(libDir, name), companions));
  }
  return failures;
}

async function bundle(source, target, executable, companions) {
  const result = await build({
    entryPoints: [source],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external,
    absWorkingDir: root,
    legalComments: 'none',
    logLevel: 'warning',
    // CommonJS packages inside an ES module still call require().
    banner: {
      js: `${executable ? '#!/usr/bin/env node\n' : ''}import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);`,
    },
    plugins: [companionFiles(companions)],
  });
  install(target, result.outputFiles[0].contents, executable);
}

/** Rewrites `new URL('./x', import.meta.url)` to dist/lib and notes the file in `companions` (source → name). */
function companionFiles(companions) {
  const pattern = /new URL\(\s*(['"`])(\.{1,2}\/[^'"`]+)\1\s*,\s*import\.meta\.url\s*\)/g;
  return {
    name: 'companion-files',
    setup(hooks) {
      hooks.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (path.includes('/node_modules/')) return undefined;
        const text = readFileSync(path, 'utf8');
        if (!text.includes('import.meta.url')) return undefined;
        const contents = text.replace(pattern, (_whole, _quote, reference) => {
          const source = resolve(dirname(path), reference);
          const name = relative(root, source).replaceAll('/', '-').replace(/\.ts$/, '.js');
          companions.set(source, name);
          return `new URL('../lib/${name}', import.meta.url)`;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** A companion may bring companions of its own; the Map that is being walked grows then. */
async function installCompanion(source, target, companions) {
  if (source.endsWith('.ts')) await bundle(source, target, false, companions);
  else if (existsSync(source)) install(target, readFileSync(source), false);
  else throw new Error(`a source names ${relative(root, source)} by import.meta.url, and it does not exist`);
}

function install(target, contents, executable) {
  const staged = join(stageDir, target.slice(dirname(target).length + 1));
  writeFileSync(staged, contents);
  if (executable) chmodSync(staged, 0o755);
  renameSync(staged, target);
}

/** dist/bin/twill-cni: from C where that works, else the Node bundle, which does the same 30 times slower. */
function buildCniClient() {
  const source = join(root, 'cni/client.c');
  const staged = join(stageDir, 'twill-cni');
  const compiler = process.env.CC ?? 'cc';
  const compile = (...flags) =>
    spawnSync(compiler, ['-O2', '-s', '-Wall', ...flags, '-o', staged, source], { encoding: 'utf8' });
  if (existsSync(source)) {
    // Static first: such a file can be copied to any host of this architecture.
    let last = compile('-static');
    if (last.status !== 0) last = compile();
    if (last.status === 0) {
      renameSync(staged, join(binDir, 'twill-cni'));
      return;
    }
    console.error(
      last.error
        ? `no C compiler (${compiler}): twill-cni is the Node script`
        : `${compiler} refused cni/client.c, twill-cni is the Node script:\n${last.stderr}`,
    );
  }
  const fallback = join(binDir, 'twill-cni-node');
  if (!existsSync(fallback)) {
    console.error('skipped twill-cni: neither cni/client.c nor cni/fallback.ts is there');
    return;
  }
  copyFileSync(fallback, staged);
  chmodSync(staged, 0o755);
  renameSync(staged, join(binDir, 'twill-cni'));
}
