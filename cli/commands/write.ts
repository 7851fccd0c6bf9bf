// create, apply, replace, delete: resources from files, in their order, with calicoctl's words about the outcome.

import { bootstrap } from '../../datastore/bootstrap.ts';
import { type DraftOf, formatFault, type Kind, type Resource } from '../../datastore/model/index.ts';
import {
  AlreadyExistsError,
  InvalidError,
  NotFoundError,
  ResourceError,
  type Resources,
} from '../../datastore/resources.ts';
import { version } from '../../runtime/version.ts';
import { checkManifests, identifyManifests } from '../checked.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { readManifests } from '../manifests.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export type WriteVerb = 'create' | 'apply' | 'replace';

export interface WriteOptions extends GlobalOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly skipExists?: boolean;
  readonly namespace?: string;
}

const past = { create: 'created', apply: 'applied', replace: 'replaced', delete: 'deleted' } as const;

export async function runWrite(verb: WriteVerb, options: WriteOptions, world: World): Promise<void> {
  const manifests = await readManifests(
    { filenames: options.filename, recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  const checked = checkManifests(manifests, options.namespace);
  if (checked.length === 0) {
    world.out('No resources specified\n');
    return;
  }
  await withResources(options, world, async (resources) => {
    await makeReady(resources);
    const outcome = await inOrder(checked, ({ resource }) => writeOne(verb, resource, resources, options));
    report(
      verb,
      checked.map(({ resource }) => resource.kind),
      outcome,
      world,
    );
  });
}

/** The first write to an empty datastore makes what every datastore has. */
async function makeReady(resources: Resources): Promise<void> {
  const present = await resources.find('ClusterInformation', 'default').catch((error: unknown) => {
    if (error instanceof ResourceError) return true;
    throw error;
  });
  if (!present) await bootstrap(resources, { version });
}

async function writeOne(
  verb: WriteVerb,
  resource: Resource,
  resources: Resources,
  options: WriteOptions,
): Promise<void> {
  // A checked resource is a draft of its own kind; the compiler loses that pairing in the union.
  const draft = resource as DraftOf<Kind>;
  try {
    if (verb === 'create') await resources.create(draft);
    else if (verb === 'replace') await resources.update(draft);
    else await resources.apply(draft);
  } catch (error) {
    if (!(error instanceof AlreadyExistsError && options.skipExists)) throw error;
  }
}

export interface DeleteOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly skipNotExists?: boolean;
  readonly namespace?: string;
}

interface DeleteTarget {
  readonly where: string;
  readonly kind: Kind;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly resourceVersion?: string | undefined;
}

export async function runDelete(
  kindName: string | undefined,
  names: readonly string[],
  options: DeleteOptions,
  world: World,
): Promise<void> {
  const targets = await deleteTargets(kindName, names, options, world);
  if (targets.length === 0) {
    if (!options.skipEmpty) throw new CommandError('No resources specified');
    world.out('No resources specified\n');
    return;
  }
  await withResources(options, world, async (resources) => {
    const outcome = await inOrder(targets, async ({ kind, name, namespace, resourceVersion }) => {
      try {
        await resources.delete(kind, name, namespace, resourceVersion);
      } catch (error) {
        if (!(error instanceof NotFoundError && options.skipNotExists)) throw error;
      }
    });
    report(
      'delete',
      targets.map((target) => target.kind),
      outcome,
      world,
    );
  });
}

async function deleteTargets(
  kindName: string | undefined,
  names: readonly string[],
  options: DeleteOptions,
  world: World,
): Promise<readonly DeleteTarget[]> {
  if (kindName !== undefined) {
    const kind = resolveKind(kindName);
    const namespace = namespaceFor(kind, options.namespace, undefined);
    if (names.length === 0 || names.includes('')) throw new CommandError('resource name may not be empty');
    return names.map((name) => ({ where: name, kind, name, namespace }));
  }
  const manifests = await readManifests(
    { filenames: options.filename ?? [], recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  return identifyManifests(manifests, options.namespace);
}

export interface Outcome {
  readonly done: number;
  readonly failures: readonly { readonly where: string; readonly message: string }[];
}

/** One after the other; a failure does not keep the others from being tried. */
export async function inOrder<T extends { readonly where: string }>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<Outcome> {
  const failures: { where: string; message: string }[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      failures.push({ where: item.where, message: messageOf(error) });
    }
  }
  return { done: items.length - failures.length, failures };
}

function messageOf(error: ResourceError): string {
  if (!(error instanceof InvalidError)) return error.message;
  const { kind, name } = error.id;
  return `${kind} ${name} is not valid: ${error.faults.map(formatFault).join('; ')}`;
}

export function report(
  verb: WriteVerb | 'delete',
  kinds: readonly Kind[],
  { done, failures }: Outcome,
  world: World,
): void {
  const [single] = new Set(kinds).size === 1 ? kinds : [];
  const quoted = single ? ` '${single}'` : '';
  if (failures.length === 0) {
    world.out(`Successfully ${past[verb]} ${done}${quoted} resource(s)\n`);
    return;
  }
  const reasons = failures.map(({ where, message }) => `${where}: ${message}`).join('\n');
  if (done > 0) {
    world.out(`Partial success: ${past[verb]} ${done} out of ${kinds.length}${quoted} resources:\n`);
    throw new CommandError(`Hit error(s): ${reasons}`);
  }
  if (kinds.length === 1) throw new CommandError(`Failed to ${verb}${quoted} resource: ${reasons}`);
  throw new CommandError(`Failed to ${verb} any${quoted} resources: ${reasons}`);
}
