// Manifests: files, directories and standard input → resources with the place they came from.
//
// A file holds one or more YAML documents or JSON values; a list (kind …List, or a JSON array) counts as its items.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isObject } from '../datastore/model/schema/check.ts';
import { CommandError, type World } from './world.ts';

export interface Manifest {
  /** "policies.yaml", or "policies.yaml, document 3" when there are several. */
  readonly where: string;
  readonly value: unknown;
}

export interface ManifestOptions {
  readonly filenames: readonly string[];
  readonly recursive: boolean;
  /** Files without resources are no error. */
  readonly skipEmpty: boolean;
}

export async function readManifests(options: ManifestOptions, world: World): Promise<readonly Manifest[]> {
  const manifests: Manifest[] = [];
  for (const filename of options.filenames) {
    const files = filename === '-' ? ['-'] : listFiles(filename, options.recursive);
    for (const file of files) {
      const text = file === '-' ? await world.readStdin() : readFileOrFail(file, world);
      const found = await parseManifests(text, file === '-' ? 'standard input' : file);
      if (found.length === 0 && !options.skipEmpty) throw new CommandError(`No resources specified in file ${file}`);
      manifests.push(...found);
    }
    if (files.length === 0 && !options.skipEmpty)
      throw new CommandError(`No resources specified in directory ${filename}`);
  }
  return manifests;
}

function readFileOrFail(file: string, world: World): string {
  const text = world.readFile(file);
  if (text === undefined) throw new CommandError(`Failed to execute command: open ${file}: no such file or directory`);
  return text;
}

/** The manifests in a directory, in order of their names; a file by itself, whatever it is called. */
function listFiles(path: string, recursive: boolean): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new CommandError(`Failed to execute command: open ${path}: no such file or directory`);
  if (!stat.isDirectory()) return [path];
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const below = join(path, entry.name);
    if (entry.isDirectory()) return recursive ? listFiles(below, true) : [];
    return /\.(ya?ml|json)$/.test(entry.name) ? [below] : [];
  });
}

export async function parseManifests(text: string, name: string): Promise<readonly Manifest[]> {
  const plain = text.replace(/^\uFEFF/, '');
  const values = /^\s*[[{]/.test(plain) ? await parseJson(plain, name) : await parseYaml(plain, name);
  const documents = values.filter((value) => value !== null && value !== undefined);
  const numbered = documents.map((value, i) => ({
    where: documents.length > 1 ? `${name}, document ${i + 1}` : name,
    value,
  }));
  return numbered.flatMap(expandList);
}

/** JSON values, one after the other or with `---` between; what is no JSON may be YAML in braces. */
async function parseJson(text: string, name: string): Promise<readonly unknown[]> {
  const { readJsonValues } = await import('./json-values.ts');
  const read = readJsonValues(text);
  if (read.kind === 'values') return read.values;
  try {
    return await parseYaml(text, name);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new CommandError(`Failed to execute command: ${name}: ${read.problem}`);
  }
}

async function parseYaml(text: string, name: string): Promise<readonly unknown[]> {
  const { parseAllDocuments, repeatedName } = await import('./yaml.ts');
  return [...parseAllDocuments(text, { prettyErrors: true, uniqueKeys: false, merge: true, intAsBigInt: true })].map(
    (document) => {
      const [broken] = document.errors;
      const problem = broken?.message.trim() ?? repeatedName(document, text);
      if (problem !== undefined) throw new CommandError(`Failed to execute command: ${name}: ${problem}`);
      try {
        return withPlainNumbers(document.toJS({ maxAliasCount: 1000 }));
      } catch (error) {
        // Aliases of aliases, which would fill the memory, or an alias without its anchor.
        const reason = error instanceof Error ? error.message : String(error);
        throw new CommandError(`Failed to execute command: ${name}: ${reason}`);
      }
    },
  );
}

/** Integers that a number cannot hold become text, digit by digit: ids of containers look like that. */
function withPlainNumbers(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (Array.isArray(value)) return value.map(withPlainNumbers);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, withPlainNumbers(entry)]));
}

function expandList({ where, value }: Manifest): readonly Manifest[] {
  const list = Array.isArray(value) ? { items: value, inherited: {} } : itemsOf(value);
  if (!list) return [{ where, value }];
  // A list may hold lists: `get` of several kinds gives one of each kind.
  return list.items.flatMap((item: unknown, i) =>
    expandList({ where: `${where}, item ${i + 1}`, value: isObject(item) ? { ...list.inherited, ...item } : item }),
  );
}

interface Items {
  readonly items: readonly unknown[];
  /** In an IPPoolList everything is an IPPool, also what does not say so. */
  readonly inherited: Readonly<Record<string, unknown>>;
}

function itemsOf(value: unknown): Items | undefined {
  if (!isObject(value)) return undefined;
  const [, kind] = /^(\w*)List$/.exec(String(value['kind'])) ?? [];
  const items = value['items'] ?? [];
  if (kind === undefined || !Array.isArray(items)) return undefined;
  return { items, inherited: kind === '' ? {} : { kind, apiVersion: value['apiVersion'] } };
}
