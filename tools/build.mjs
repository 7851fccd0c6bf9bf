#!/usr/bin/env node
// Builds dist/bin: one bundle per executable, plus the C client of the CNI plugin where there is a compiler.
//
//   entry point  ──esbuild──►  dist/lib/<name>.js and chunks, started by dist/bin/<name>
//   cli/main.ts  ──esbuild──►  the same as scripts (.cjs) with V8's compiled form beside them: twillctl has to start quickly
//   cni/client.c ──cc───────►  dist/bin/twill-cni, or else the bundle of cni/fallback.ts
//
// What a source loads by `await import()` is in chunks of its own, so that it costs nothing until then.
// A source file brings along what it names as `new URL('./other.ts', import.meta.url)`: a .ts file becomes a bundle of its
// own (a worker thread, say), any other file is copied; both land in dist/lib and the URL is rewritten to point there.
// So the same line works from the sources, under tsx, and from dist/bin.
//
// Everything is written beside its place and renamed, so that who runs an executable meanwhile sees the old or the new.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { warmUp } from './code-cache.mjs';
import { asScripts, buildIdOf, launcherOf } from './scripts.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const executables = {
  twillctl: 'cli/main.ts',
  'twill-node': 'agent/main.ts',
  'twill-bgp': 'bgp/main.ts',
  'twill-datastore': 'datastore/embedded/main.ts',
  'twill-lab': 'deploy/lab/main.ts',
  'twill-cni-node': 'cni/fallback.ts',
};

/** What people wait for: no ES modules, which Node 20 cannot keep compiled. */
const quick = new Set(['twillctl']);
const buildIds = new Map();

// Native code, and packages that read files beside themselves: they stay in node_modules.
const external = ['koffi', 'etcd3', '@grpc/grpc-js', '@grpc/proto-loader', 'pino', 'pino-pretty', 'esbuild'];

const installed = new Set();
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
  // Our launchers are scripts, whatever the folder above says.
  install(join(binDir, 'package.json'), '{ "type": "commonjs" }\n');
  const failures = await buildBundles();
  buildCniClient();
  if (failures.length === 0) await warmUp(root, buildIds.get('twillctl'));
  if (failures.length === 0) renameSync(join(stageDir, 'stamp'), join(root, 'dist/.built'));
  else process.exitCode = 1;
  removeOldChunks();
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
  await Promise.all(
    Object.entries(executables).map(([name, source]) => attempt(name, () => buildExecutable(name, source, companions))),
  );
  // A companion may bring companions of its own; the Map grows then while it is walked.
  for (const [source, name] of companions) {
    await attempt(name, async () => {
      if (source.endsWith('.ts')) await bundle(source, name.replace(/\.js$/, ''), companions);
      else install(join(libDir, name), readFileSync(source));
    });
  }
  return failures;
}

async function buildExecutable(name, source, companions) {
  if (!existsSync(join(root, source))) throw new Error(`${source} does not exist`);
  await bundle(join(root, source), name, companions);
  install(
    join(binDir, name),
    `#!/usr/bin/env node\n${quick.has(name) ? launcherOf(name, buildIds.get(name)) : `import('../lib/${name}.js');\n`}`,
    0o755,
  );
}

/** dist/lib/<name>.js, and its chunks beside it. */
async function bundle(source, name, companions) {
  const { outputFiles } = await build({
    entryPoints: { [name]: source },
    outdir: libDir,
    chunkNames: `${name}-[hash]`,
    splitting: true,
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
      js: "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);",
    },
    plugins: [companionFiles(companions)],
  });
  const files = quick.has(name) ? await asScripts(outputFiles) : outputFiles;
  if (quick.has(name)) buildIds.set(name, buildIdOf(files));
  // Chunks first: the entry point names them.
  for (const file of files.reverse()) install(file.path, file.contents);
}

/** Rewrites `new URL('./x', import.meta.url)` to a file of dist/lib and notes it in `companions` (source → name). */
function companionFiles(companions) {
  const pattern = /new URL\(\s*(['"`])(\.{1,2}\/[^'"`]+)\1\s*,\s*import\.meta\.url,?\s*\)/g;
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
          return `new URL('./${name}', import.meta.url)`;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

function install(target, contents, mode = 0o644) {
  const staged = join(stageDir, basename(target));
  writeFileSync(staged, contents, { mode });
  renameSync(staged, target);
  installed.add(target);
}

/** Chunks are named by their content, so those of earlier builds stay behind; who still runs from them may load more. */
function removeOldChunks() {
  const hourAgo = Date.now() - 3_600_000;
  for (const name of readdirSync(libDir)) {
    const file = join(libDir, name);
    if (!installed.has(file) && statSync(file).mtimeMs < hourAgo) rmSync(file);
  }
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
  if (existsSync(fallback)) install(join(binDir, 'twill-cni'), readFileSync(fallback), 0o755);
  else console.error('skipped twill-cni: neither cni/client.c nor cni/fallback.ts is there');
}
