// create, apply, replace: resources from files, in their order.

import { bootstrap } from '../../datastore/bootstrap.ts';
import { type DraftOf, encodeResource, type Kind, type Resource } from '../../datastore/model/index.ts';
import { AlreadyExistsError, ConflictError, ResourceError, type Resources } from '../../datastore/resources.ts';
import { version } from '../../runtime/version.ts';
import { type CheckedManifest, checkManifests } from '../checked.ts';
import { readManifests } from '../manifests.ts';
import { progressOf } from '../output/progress.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { dryRunOf } from './dry-run.ts';
import { report, tryAll } from './outcome.ts';

export type WriteVerb = 'create' | 'apply' | 'replace';

export interface WriteOptions extends GlobalOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly skipExists?: boolean;
  readonly namespace?: string;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly selector?: string;
}

export async function runWrite(verb: WriteVerb, options: WriteOptions, world: World): Promise<void> {
  if (options.prune && !options.selector)
    throw new CommandError('--prune needs -l SELECTOR, so that it cannot delete what others made');
  const manifests = await readManifests(
    { filenames: options.filename, recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  const checked = checkManifests(manifests, options.namespace);
  if (checked.length === 0) {
    world.out('No resources specified\n');
    return;
  }
  await withResources(options, world, async (real) => {
    const resources = options.dryRun ? dryRunOf(real) : real;
    await makeReady(resources);
    const showProgress = progressOf(world);
    let done = 0;
    const happenings = new Map<CheckedManifest, Happened>();
    const placeOf = ({ resource }: CheckedManifest) => ({ kind: resource.kind, ...resource.metadata });
    const outcome = await tryAll(checked, placeOf, async (manifest) => {
      happenings.set(manifest, await writeOne(verb, manifest.resource, resources, options));
      showProgress(`${++done} of ${checked.length} done`);
    });
    if (options.dryRun) {
      for (const manifest of checked) {
        const happened = happenings.get(manifest);
        if (happened !== undefined) world.out(`${describe(manifest.resource)} would be ${happened}\n`);
      }
    }
    report(
      verb,
      checked.map(({ resource }) => resource.kind),
      outcome,
      world,
      options.dryRun,
    );
    if (options.prune && options.selector) {
      const { pruneOthers } = await import('./prune.ts');
      for (const gone of await pruneOthers(
        checked.map(({ resource }) => resource),
        options.selector,
        resources,
      )) {
        world.out(`${describe(gone)} ${options.dryRun ? 'would be ' : ''}pruned\n`);
      }
    }
  });
}

const describe = ({ kind, metadata }: { readonly kind: Kind; readonly metadata: Resource['metadata'] }): string =>
  `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;

/** The first write to an empty datastore makes what every datastore has. */
async function makeReady(resources: Resources): Promise<void> {
  const present = await resources.find('ClusterInformation', 'default').catch((error: unknown) => {
    if (error instanceof ResourceError) return true;
    throw error;
  });
  if (!present) await bootstrap(resources, { version });
}

type Happened = 'created' | 'changed' | 'left as it is' | 'skipped: it exists';

async function writeOne(
  verb: WriteVerb,
  resource: Resource,
  resources: Resources,
  options: WriteOptions,
): Promise<Happened> {
  // A checked resource is a draft of its own kind; the compiler loses that pairing in the union.
  const draft = resource as DraftOf<Kind>;
  const { kind, metadata } = resource;
  const before = options.dryRun ? await resources.find(kind, metadata.name, metadata.namespace) : undefined;
  try {
    const after =
      verb === 'create'
        ? await resources.create(draft)
        : verb === 'replace'
          ? await resources.update(draft)
          : await resources.apply(draft);
    if (!before) return 'created';
    return encodeResource(before) === encodeResource(after) ? 'left as it is' : 'changed';
  } catch (error) {
    if (error instanceof AlreadyExistsError && options.skipExists) return 'skipped: it exists';
    if (error instanceof ConflictError)
      throw await (await import('../conflict.ts')).explainConflict(error, resource, resources);
    throw error;
  }
}
