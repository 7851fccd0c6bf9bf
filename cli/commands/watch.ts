// get -w: what there is, then every change, until interrupted.

import type { KvError, Revision, WatchEvent } from '../../datastore/kv.ts';
import {
  declarationOf,
  decodeResource,
  type Kind,
  parseResourceKey,
  type Resource,
  resourcePrefix,
} from '../../datastore/model/index.ts';
import type { Resources } from '../../datastore/resources.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { cellOf, headingsOf, type TableContext } from '../output/columns.ts';
import { formatYaml } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';
import { withResources } from './context.ts';
import { contextFor, type GetOptions } from './get.ts';

type Happening = 'EXISTS' | 'ADDED' | 'CHANGED' | 'DELETED';
type Show = (happening: Happening, resource: Resource) => Promise<void>;

export async function runWatch(
  kindName: string,
  names: readonly string[],
  options: GetOptions,
  world: World,
): Promise<void> {
  const kind = resolveKind(kindName);
  const everywhere = options.allNamespaces === true;
  if (everywhere && !declarationOf(kind).namespaced) throw new CommandError(`${kind} is not namespaced`);
  const namespace = everywhere ? undefined : namespaceFor(kind, options.namespace, undefined);
  await withResources(options, world, async (resources) => {
    let show: Show | undefined;
    const wanted = (resource: Resource): boolean => names.length === 0 || names.includes(resource.metadata.name);
    const stop = world.interrupted();
    let known = new Map<string, Resource>();
    for (;;) {
      const list = await resources.list(kind, namespace);
      const present = new Map<string, Resource>();
      for (const resource of list.resources as readonly Resource[]) present.set(placeOf(resource), resource);
      show ??= await shower(kind, options, resources, [...present.values()].filter(wanted), world);
      const showRow = show;
      // After a break in the watch, only what differs is news.
      for (const [place, resource] of present) {
        const before = known.get(place);
        if (before?.metadata.resourceVersion === resource.metadata.resourceVersion || !wanted(resource)) continue;
        await showRow(known.size === 0 ? 'EXISTS' : before ? 'CHANGED' : 'ADDED', resource);
      }
      for (const [place, resource] of known)
        if (!present.has(place) && wanted(resource)) await showRow('DELETED', resource);
      known = present;
      const end = await follow(resources, kind, namespace, list.revision + 1, stop, async (happening, resource) => {
        if (happening === 'DELETED') known.delete(placeOf(resource));
        else known.set(placeOf(resource), resource);
        if (wanted(resource)) await showRow(happening, resource);
      });
      if (end === 'interrupted') return;
    }
  });
}

const placeOf = ({ metadata }: Resource): string => `${metadata.namespace ?? ''}/${metadata.name}`;

/** Until the watch ends by itself or somebody interrupts. */
async function follow(
  resources: Resources,
  kind: Kind,
  namespace: string | undefined,
  from: Revision,
  stop: Promise<void>,
  show: Show,
): Promise<'interrupted' | KvError> {
  let shown = Promise.resolve();
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const ended = new Promise<KvError>((resolve) => {
    const watch = resources.store.watch(resourcePrefix(kind, namespace), from, {
      onEvents: (events) => {
        shown = shown.then(() => showAll(kind, events, show));
        shown.catch(fail);
      },
      onEnd: resolve,
    });
    void stop.then(() => watch.close());
  });
  const end = await Promise.race([ended, failed, stop.then(() => 'interrupted' as const)]);
  await shown;
  return end;
}

async function showAll(kind: Kind, events: readonly WatchEvent[], show: Show): Promise<void> {
  for (const event of events) {
    const entry = event.kind === 'put' ? event.entry : event.previous;
    if (!entry || !parseResourceKey(entry.key)) continue;
    const decoded = decodeResource(kind, entry);
    // What cannot be read is shown by get; here it would only be in the way.
    if (decoded.kind === 'invalid') continue;
    const happening = event.kind === 'delete' ? 'DELETED' : event.entry.version === 1 ? 'ADDED' : 'CHANGED';
    await show(happening, decoded.resource);
  }
}

async function shower(
  kind: Kind,
  options: GetOptions,
  resources: Resources,
  present: readonly Resource[],
  world: World,
): Promise<Show> {
  switch (options.output) {
    case 'json':
      return async (event, object) => world.out(`${JSON.stringify({ event, object })}\n`);
    case 'yaml':
      return async (event, object) => world.out(`---\n${await formatYaml({ event, object })}`);
    case 'ps':
    case 'wide':
      return tableShower(kind, options, await contextFor(kind, resources), present, world);
    default:
      throw new CommandError('with -w, the output format is ps, wide, yaml or json');
  }
}

const happeningWidth = 10;
const gap = 3;

/** Columns are as wide as what there is at the start needs; later rows come one by one, and may be wider. */
function tableShower(
  kind: Kind,
  options: GetOptions,
  context: TableContext,
  present: readonly Resource[],
  world: World,
): Show {
  const own = headingsOf(kind, options.output === 'wide');
  const withNamespace = options.allNamespaces === true && declarationOf(kind).namespaced && !own.includes('NAMESPACE');
  const headings = withNamespace ? ['NAMESPACE', ...own] : own;
  const cellsOf = (resource: Resource): readonly string[] =>
    headings.map((heading) => cellOf(resource, heading, context) ?? '');
  const rows = present.map(cellsOf);
  const widths = headings.map((heading, i) => Math.max(heading.length, 12, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (first: string, cells: readonly string[]): string => {
    cells.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
    return `${first.padEnd(happeningWidth)}${cells.map((cell, i) => cell.padEnd((widths[i] ?? 0) + gap)).join('')}`.trimEnd();
  };
  world.out(`${line('EVENT', headings)}\n`);
  return async (happening, resource) => world.out(`${line(happening, cellsOf(resource))}\n`);
}
