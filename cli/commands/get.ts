// get: resources by kind and name, or those that a file names, in the format that was asked for.

import { declarationOf, type Kind, type Resource } from '../../datastore/model/index.ts';
import { NotFoundError, ResourceError, type Resources } from '../../datastore/resources.ts';
import { identifyManifests } from '../checked.ts';
import { namespaceFor, resolveKinds } from '../kind-names.ts';
import { readManifests } from '../manifests.ts';
import type { TableContext } from '../output/columns.ts';
import { exported } from '../output/documents.ts';
import { type Found, formatFor, type ResourcePage } from '../output/format.ts';
import { progressOf } from '../output/progress.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface GetOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly output: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly export?: boolean;
}

export async function runGet(
  kindName: string | undefined,
  names: readonly string[],
  options: GetOptions,
  world: World,
): Promise<void> {
  const showNamespace = options.allNamespaces === true || options.namespace !== undefined;
  const format = await formatFor(options.output, { showNamespace, readFile: world.readFile });
  if (names.includes('')) throw new CommandError('resource name may not be empty');
  const failures: string[] = [];
  await withResources(options, world, async (resources) => {
    const found =
      kindName === undefined
        ? await getFromFiles(options, world, resources, failures)
        : await getByKinds(kindsFrom(kindName), names, options, resources, world, failures);
    const shown = options.export && names.length > 0 ? withoutIdentity(found) : found;
    const context = await contextFor(nodeAmong(found), resources, options.output.includes('template'));
    for await (const text of format(shown, context)) world.out(text);
  });
  if (failures.length > 0) throw new CommandError(failures.join('\n'));
}

const defaultAsNumber = 64512;

/** Only what shows the cluster's AS reads it. */
export async function contextFor(kind: Kind | undefined, resources: Resources, always = false): Promise<TableContext> {
  if (kind !== 'Node' && !always) return { asNumber: defaultAsNumber };
  const configuration = await resources.find('BGPConfiguration', 'default');
  return { asNumber: configuration?.spec.asNumber ?? defaultAsNumber };
}

const nodeAmong = (found: readonly Found[]): 'Node' | undefined =>
  found.some((item) => (item.kind === 'list' ? item.of : item.resource.kind) === 'Node') ? 'Node' : undefined;

const withoutIdentity = (found: readonly Found[]): readonly Found[] =>
  found.map((item) => (item.kind === 'resource' ? { ...item, document: exported(item.resource) } : item));

function kindsFrom(names: string): readonly Kind[] {
  try {
    return resolveKinds(names);
  } catch (error) {
    if (error instanceof CommandError) throw new CommandError(`Failed to get resources: ${error.message}`);
    throw error;
  }
}

async function getByKinds(
  kinds: readonly Kind[],
  names: readonly string[],
  options: GetOptions,
  resources: Resources,
  world: World,
  failures: string[],
): Promise<readonly Found[]> {
  const [only, ...others] = kinds;
  if (only === undefined) throw new CommandError('give a kind of resource, or a file with -f');
  if (others.length === 0) return await getByKind(only, names, options, resources, world, failures);
  // Of several kinds, namespaces concern those that have them.
  const found = kinds.map((kind) => {
    const { namespace: _namespace, allNamespaces: _all, ...global } = options;
    return getByKind(kind, names, declarationOf(kind).namespaced ? options : global, resources, world, failures);
  });
  return (await Promise.all(found)).flat();
}

async function getByKind(
  kind: Kind,
  names: readonly string[],
  options: GetOptions,
  resources: Resources,
  world: World,
  failures: string[],
): Promise<readonly Found[]> {
  if (names.length === 0) return [listKind(kind, options, resources, world, failures)];
  if (options.allNamespaces) return await getInAllNamespaces(kind, names, resources, failures);
  const namespace = namespaceFor(kind, options.namespace, undefined);
  return await getNamed(
    names.map((name) => ({ kind, name, namespace })),
    resources,
    failures,
  );
}

function listKind(kind: Kind, options: GetOptions, resources: Resources, world: World, failures: string[]): Found {
  if (options.allNamespaces && options.namespace !== undefined) {
    throw new CommandError('cannot use both --namespace and --all-namespaces flags at the same time');
  }
  if (options.allNamespaces && !declarationOf(kind).namespaced) throw new CommandError(`${kind} is not namespaced`);
  const namespace = options.allNamespaces ? undefined : namespaceFor(kind, options.namespace, undefined);
  return { kind: 'list', of: kind, pages: readPages(kind, namespace, resources, world, failures) };
}

async function* readPages(
  kind: Kind,
  namespace: string | undefined,
  resources: Resources,
  world: World,
  failures: string[],
): AsyncGenerator<ResourcePage> {
  const showProgress = progressOf(world);
  let read = 0;
  for await (const page of resources.pages(kind, namespace)) {
    read += page.resources.length;
    showProgress(`${read} read`);
    for (const { id, faults } of page.invalid) {
      const place = id.namespace === undefined ? id.name : `${id.namespace}/${id.name}`;
      const words = faults.map((fault) => `${fault.path} ${fault.problem}`).join('; ');
      failures.push(`stored ${kind} ${place} is not valid: ${words}`);
    }
    yield page;
  }
}

interface Wanted {
  readonly kind: Kind;
  readonly name: string;
  readonly namespace: string | undefined;
}

async function getNamed(
  wanted: readonly Wanted[],
  resources: Resources,
  failures: string[],
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { kind, name, namespace } of wanted) {
    try {
      const resource: Resource = await resources.get(kind, name, namespace);
      found.push({ kind: 'resource', resource, document: resource });
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      failures.push(error.message);
    }
  }
  return found;
}

async function getInAllNamespaces(
  kind: Kind,
  names: readonly string[],
  resources: Resources,
  failures: string[],
): Promise<readonly Found[]> {
  if (!declarationOf(kind).namespaced) throw new CommandError(`${kind} is not namespaced`);
  const all: readonly Resource[] = (await resources.list(kind)).resources;
  return names.flatMap((name) => {
    const named = all.filter((resource) => resource.metadata.name === name);
    if (named.length === 0) failures.push(new NotFoundError({ kind, name }).message);
    return named.map((resource) => ({ kind: 'resource', resource, document: resource }) as const);
  });
}

async function getFromFiles(
  options: GetOptions,
  world: World,
  resources: Resources,
  failures: string[],
): Promise<readonly Found[]> {
  if (!options.filename?.length) throw new CommandError('give a kind of resource, or a file with -f');
  const manifests = await readManifests(
    { filenames: options.filename, recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  return await getNamed(identifyManifests(manifests, options.namespace), resources, failures);
}
