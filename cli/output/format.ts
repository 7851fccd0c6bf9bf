// What was found → text in the format of -o, piece by piece: a list of any length is never in memory as a whole. (Templates
// are the exception, they may ask for anything; tables keep the text of their cells, for the columns' widths.)

import { apiVersion, declarationOf, type Kind, type Resource } from '../../datastore/model/index.ts';
import { CommandError } from '../world.ts';
import { cellOf, columnsOf, headingsOf, type TableContext } from './columns.ts';
import { formatJson, formatYaml, listOf, yamlWriter } from './documents.ts';
import { TableText } from './table.ts';

/** One resource, or everything of a kind. */
export type Found =
  | { readonly kind: 'resource'; readonly resource: Resource; readonly document: unknown }
  | { readonly kind: 'list'; readonly of: Kind; readonly pages: AsyncIterable<ResourcePage> };

/** Part of a list. */
export interface ResourcePage {
  readonly resources: readonly Resource[];
  readonly revision: number;
}

export type Format = (found: readonly Found[], context: TableContext) => AsyncIterable<string>;

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
      return jsonText;
    case 'yaml':
    case 'yml':
      return yamlText;
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
  const [{ runTemplate, TemplateError }, { asGoValue }] = await Promise.all([
    import('./go-template.ts'),
    import('./go-values.ts'),
  ]);
  return async function* (found, { asNumber }) {
    const documents = (await Promise.all(found.map(documentFrom))).map(asGoValue);
    const config = (name: unknown): unknown => {
      if (String(name).toLowerCase() === 'asnumber') return asNumber;
      throw new TemplateError(`config knows asnumber, not ${String(name)}`);
    };
    try {
      yield runTemplate(template, documents, { config });
    } catch (error) {
      if (error instanceof TemplateError) throw new CommandError(`template: ${error.message}`);
      throw error;
    }
  };
}

/** What `get KIND` shows: one list object, as JSON. */
async function* jsonText(found: readonly Found[]): AsyncGenerator<string> {
  const [list] = found;
  if (found.length !== 1 || list?.kind !== 'list') {
    yield formatJson(await documentOf(found));
    return;
  }
  let begun = false;
  let length = 0;
  for await (const { resources, revision } of list.pages) {
    if (!begun) {
      const empty = formatJson(listOf(list.of, [], revision));
      yield empty.slice(0, empty.lastIndexOf(']'));
      begun = true;
    }
    for (const some of inGroups(resources)) {
      yield `${length === 0 ? '' : ','}\n    ${jsonItems(some)}`;
      length += some.length;
    }
  }
  yield `${length === 0 ? '' : '\n  '}]\n}\n`;
}

/** As they stand in the list: made inside of one, which is what has the indentation right. */
const jsonItems = (resources: readonly Resource[]): string =>
  JSON.stringify({ items: resources }, undefined, 2).slice('{\n  "items": [\n    '.length, -'\n  ]\n}'.length);

const GROUP = 250;

/** The text of a whole page would be tens of megabytes, and long-lived enough for the collector to copy it around. */
function* inGroups<T>(items: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let at = 0; at < items.length; at += GROUP) yield items.slice(at, at + GROUP);
}

/** The same as YAML. */
async function* yamlText(found: readonly Found[]): AsyncGenerator<string> {
  const [list] = found;
  if (found.length !== 1 || list?.kind !== 'list') {
    yield await formatYaml(await documentOf(found));
    return;
  }
  const writer = await yamlWriter();
  let length = 0;
  let revision = 0;
  for await (const page of list.pages) {
    revision = page.revision;
    // Fields are in alphabetical order: apiVersion comes before the items, the others behind.
    if (length === 0 && page.resources.length > 0) yield `apiVersion: ${apiVersion}\nitems:\n`;
    for (const some of inGroups(page.resources)) yield some.map((resource) => writer.item(resource)).join('');
    length += page.resources.length;
  }
  const whole = listOf(list.of, [], revision);
  yield writer.document(length === 0 ? whole : { kind: whole.kind, metadata: whole.metadata });
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

interface KindTable {
  readonly kind: Kind;
  readonly headings: readonly string[];
  readonly text: TableText;
}

async function* tables(
  found: readonly Found[],
  context: TableContext,
  headingsFor: (kind: Kind) => readonly string[],
  showNamespace: boolean,
): AsyncGenerator<string> {
  const groups: KindTable[] = [];
  for (const item of found) {
    const kind = item.kind === 'list' ? item.of : item.resource.kind;
    const { headings, text } = tableFor(groups, kind, headingsFor(kind), showNamespace);
    const add = (resource: Resource): void =>
      text.add(headings.map((heading) => cellOf(resource, heading, context) ?? ''));
    if (item.kind === 'resource') add(item.resource);
    else for await (const page of item.pages) page.resources.forEach(add);
  }
  for (const { text } of groups) {
    yield* text.lines();
    yield '\n';
  }
}

/** Neighbours of one kind share a table. */
function tableFor(groups: KindTable[], kind: Kind, own: readonly string[], showNamespace: boolean): KindTable {
  const last = groups.at(-1);
  if (last?.kind === kind) return last;
  const withNamespace = showNamespace && declarationOf(kind).namespaced && !own.includes('NAMESPACE');
  const headings = withNamespace ? ['NAMESPACE', ...own] : own;
  const table = { kind, headings, text: new TableText(headings) };
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
