// What was found → text in the format of -o.

import type { Kind, Resource } from '../../datastore/model/index.ts';
import { declarationOf } from '../../datastore/model/index.ts';
import { CommandError } from '../world.ts';
import { cellOf, columnsOf, headingsOf, type TableContext } from './columns.ts';
import { formatJson, formatYaml, listOf } from './documents.ts';
import { formatTable } from './table.ts';

/** One resource, or everything of a kind. */
export type Found =
  | { readonly kind: 'resource'; readonly resource: Resource; readonly document: unknown }
  | { readonly kind: 'list'; readonly of: Kind; readonly pages: AsyncIterable<ResourcePage> };

/** Part of a list. Tables keep only the text of their cells, so a list may be long. */
export interface ResourcePage {
  readonly resources: readonly Resource[];
  readonly revision: number;
}

export type Format = (found: readonly Found[], context: TableContext) => Promise<string>;

export interface FormatOptions {
  readonly showNamespace: boolean;
  readonly readFile: (path: string) => string | undefined;
}

/** Throws a CommandError when there is no such format. */
export async function formatFor(output: string, options: FormatOptions): Promise<Format> {
  const [name = '', ...rest] = output.split('=');
  const argument = rest.join('=');
  switch (name) {
    case 'ps':
    case 'wide':
      return (found, context) =>
        tables(found, context, (kind) => headingsOf(kind, name === 'wide'), options.showNamespace);
    case 'json':
      return async (found) => formatJson(await documentOf(found));
    case 'yaml':
    case 'yml':
      return async (found) => await formatYaml(await documentOf(found));
    case 'custom-columns':
      if (argument === '') throw new CommandError('need to specify at least one column');
      return (found, context) =>
        tables(found, context, (kind) => checkColumns(kind, argument.split(',')), options.showNamespace);
    case 'go-template':
      if (argument === '') throw new CommandError('need to specify a template');
      return await templateFormat(argument);
    case 'go-template-file': {
      if (argument === '') throw new CommandError('need to specify a template file');
      const template = options.readFile(argument);
      if (template === undefined) throw new CommandError(`open ${argument}: no such file or directory`);
      return await templateFormat(template);
    }
    default:
      throw new CommandError(`unrecognized output format '${output}'`);
  }
}

async function templateFormat(template: string): Promise<Format> {
  const { runTemplate, TemplateError } = await import('./go-template.ts');
  return async (found, { asNumber }) => {
    const documents = await Promise.all(found.map(documentFrom));
    const config = (name: unknown): unknown => {
      if (String(name).toLowerCase() === 'asnumber') return asNumber;
      throw new TemplateError(`config knows asnumber, not ${String(name)}`);
    };
    try {
      return runTemplate(template, documents, { config });
    } catch (error) {
      if (error instanceof TemplateError) throw new CommandError(`template: ${error.message}`);
      throw error;
    }
  };
}

/** One value by itself, several as a list. */
async function documentOf(found: readonly Found[]): Promise<unknown> {
  const documents = await Promise.all(found.map(documentFrom));
  return documents.length === 1 ? documents[0] : documents;
}

async function documentFrom(item: Found): Promise<unknown> {
  if (item.kind === 'resource') return item.document;
  const items: Resource[] = [];
  let revision = 0;
  for await (const page of item.pages) {
    for (const resource of page.resources) items.push(resource);
    revision = page.revision;
  }
  return listOf(item.of, items, revision);
}

interface TableRows {
  readonly kind: Kind;
  readonly headings: readonly string[];
  readonly rows: string[][];
}

async function tables(
  found: readonly Found[],
  context: TableContext,
  headingsFor: (kind: Kind) => readonly string[],
  showNamespace: boolean,
): Promise<string> {
  const groups: TableRows[] = [];
  for (const item of found) {
    const kind = item.kind === 'list' ? item.of : item.resource.kind;
    const table = tableFor(groups, kind, headingsFor(kind), showNamespace);
    const add = (resource: Resource) =>
      table.rows.push(table.headings.map((heading) => cellOf(resource, heading, context) ?? ''));
    if (item.kind === 'resource') add(item.resource);
    else for await (const page of item.pages) page.resources.forEach(add);
  }
  return groups.map(({ headings, rows }) => `${formatTable(headings, rows)}\n`).join('');
}

/** Neighbours of one kind share a table. */
function tableFor(groups: TableRows[], kind: Kind, own: readonly string[], showNamespace: boolean): TableRows {
  const last = groups.at(-1);
  if (last?.kind === kind) return last;
  const withNamespace = showNamespace && declarationOf(kind).namespaced && !own.includes('NAMESPACE');
  const table = { kind, headings: withNamespace ? ['NAMESPACE', ...own] : own, rows: [] };
  groups.push(table);
  return table;
}

function checkColumns(kind: Kind, columns: readonly string[]): readonly string[] {
  const wanted = columns.map((column) => column.trim().toUpperCase());
  const known = columnsOf(kind);
  const unknown = wanted.find((column) => !known.includes(column));
  if (unknown !== undefined)
    throw new CommandError(`unknown column ${unknown} for ${kind}; known are ${known.join(', ')}`);
  return wanted;
}
