// ES modules as esbuild splits them → scripts that Node starts quickly: no module graph to resolve and link, V8's compiled form
// beside them, and Node's own modules loaded when they are first used.
//
//   dist/bin/twillctl  ──load──►  dist/lib/twillctl.cjs  ──load──►  dist/lib/twillctl-<hash>.cjs …
//                                 dist/lib/twillctl.<build>.<command>.compiled: what the command's run had compiled (code-cache.mjs)

import { createHash } from 'node:crypto';
import { transform } from 'esbuild';

/** esbuild's output files, each as a function expression of (require, module, exports, url). */
export const asScripts = async (outputFiles) =>
  await Promise.all(
    outputFiles.map(async ({ path, text }) => {
      const { code } = await transform(text, {
        format: 'cjs',
        target: 'node20',
        platform: 'node',
        supported: { 'dynamic-import': false },
        define: { 'import.meta.url': 'url' },
      });
      const renamed = code.replace(/require\("(\.\/[^"]+)\.js"\)/g, 'require("$1.cjs")');
      return {
        path: path.replace(/\.js$/, '.cjs'),
        contents: `(function (require, module, exports, url) {${lazily(renamed)}\n})`,
      };
    }),
  );

/** `var import_x = require("node:x")` becomes a function that requires it, and every use a call. */
function lazily(code) {
  const builtins = [...code.matchAll(/^var (import_\w+) = (.*require\("node:[^"]+"\).*);$/gm)];
  return builtins.reduce((text, [declaration, name, load]) => {
    const uses = new RegExp(`\\b${name}\\b`, 'g');
    const [before, after] = text.split(declaration);
    const calls = (part) => part.replace(uses, `${name}()`);
    return `${calls(before)}var ${name}_, ${name} = () => ${name}_ ??= ${load};${calls(after)}`;
  }, code);
}

/** V8 believes that compiled form and source belong together when the lengths agree: a build must not meet another one's. */
export const buildIdOf = (scripts) =>
  scripts
    .reduce((hash, { contents }) => hash.update(contents), createHash('sha256'))
    .digest('hex')
    .slice(0, 10);

/** The commands whose runs are kept; the others make do with what these have in common. */
export const keptCommands = ['get', 'apply'];

/** What dist/bin/<name> does after its first line. As it is plain ASCII, a source file is read as Latin-1, the quickest way. */
export const launcherOf = (name, buildId) => `// Made by tools/scripts.mjs.
const { readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const lib = require('node:path').join(__dirname, '../lib/');
const compiled = readCompiled(process.argv[2]);
const modules = new Map();
function load(id) {
  if (!id.startsWith('./')) return require(id);
  let module = modules.get(id);
  if (module === undefined) {
    modules.set(id, (module = { exports: {} }));
    const filename = lib + id.slice(2);
    const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: compiled.get(id.slice(2)) });
    script.runInThisContext()(load, module, module.exports, 'file://' + encodeURI(filename));
  }
  return module.exports;
}
// V8 itself refuses what another version of it has compiled, and compiles then.
function readCompiled(command) {
  try {
    const kept = ${JSON.stringify(keptCommands)}.includes(command) ? command : '${keptCommands[0]}';
    const file = readFileSync(lib + '${name}.${buildId}.' + kept + '.compiled');
    const index = file.indexOf(10);
    let at = index + 1;
    return new Map(JSON.parse(file.latin1Slice(0, index)).map(([id, length]) => [id, file.subarray(at, (at += length))]));
  } catch {
    return new Map();
  }
}
load('./${name}.cjs');
`;
