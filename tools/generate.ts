// npm run generate: what is made from the declarations of resources and commands, written to its place.
//
//   docs/reference/*.md, docs/reference/schemas/*.json, deploy/crds/*.yaml
// With --check nothing is written; it fails when a file is not what it would write, or should not be there.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { commandPage } from '../cli/reference.ts';
import { declarationOf, type Kind, kinds } from '../datastore/model/index.ts';
import { customResourceDefinition, resourceSchema } from '../datastore/model/schema/json-schema.ts';
import { felixPage, indexPage, kindPage, pageName } from '../datastore/model/schema/reference.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Folders in which every file is ours. */
const folders = ['docs/reference', 'docs/reference/schemas', 'deploy/crds'];

export function generatedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>([
    ['docs/reference/README.md', indexPage()],
    ['docs/reference/felix-parameters.md', felixPage()],
    ['docs/reference/twillctl.md', commandPage()],
  ]);
  // For editors, where a file may hold any kind.
  const refs = Object.keys(kinds).map((kind) => ({ $ref: `${kind}.json` }));
  files.set(
    'docs/reference/schemas/any.json',
    `${JSON.stringify({ title: 'projectcalico.org/v3', oneOf: refs }, undefined, 2)}\n`,
  );
  for (const kind of Object.keys(kinds) as Kind[]) {
    const declaration = declarationOf(kind);
    files.set(`docs/reference/${pageName(kind)}`, kindPage(declaration));
    files.set(`docs/reference/schemas/${kind}.json`, `${JSON.stringify(resourceSchema(declaration), undefined, 2)}\n`);
    const definition = stringify(customResourceDefinition(declaration), { lineWidth: 0, aliasDuplicateObjects: false });
    files.set(`deploy/crds/projectcalico.org_${declaration.plural}.yaml`, definition);
  }
  return files;
}

/** Paths whose file differs from what would be written, is missing, or should not be there. */
export function outdatedFiles(files: ReadonlyMap<string, string>): readonly string[] {
  const wrong = [...files].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  const stray = folders
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      readdirSync(join(root, folder), { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(folder, entry.name)),
    )
    .filter((path) => !files.has(path));
  return [...wrong, ...stray];
}

const read = (path: string): string | undefined =>
  existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;

function write(files: ReadonlyMap<string, string>): void {
  for (const path of outdatedFiles(files)) {
    const text = files.get(path);
    const target = join(root, path);
    if (text === undefined) rmSync(target);
    else {
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, text);
    }
    console.log(`${text === undefined ? 'removed' : 'wrote'} ${relative(root, target)}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) write(generatedFiles());
