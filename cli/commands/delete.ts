// delete: resources by kind and name, or those that files name.

import type { Kind } from '../../datastore/model/index.ts';
import { NotFoundError, type Resources } from '../../datastore/resources.ts';
import { identifyManifests, refusalOfKubernetesPolicy } from '../checked.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { readManifests } from '../manifests.ts';
import { progressOf } from '../output/progress.ts';
import { emptyPool } from '../pool-removal.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { dryRunOf } from './dry-run.ts';
import { report, tryAll } from './outcome.ts';

export interface DeleteOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly skipNotExists?: boolean;
  readonly namespace?: string;
  readonly dryRun?: boolean;
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
  const targets = tiersLast(await deleteTargets(kindName, names, options, world));
  if (targets.length === 0) {
    if (!options.skipEmpty) throw new CommandError('No resources specified');
    world.out('No resources specified\n');
    return;
  }
  await withResources(options, world, async (real) => {
    const resources = options.dryRun ? dryRunOf(real) : real;
    const showProgress = progressOf(world);
    let done = 0;
    const gone = new Set<DeleteTarget>();
    const outcome = await tryAll(
      targets,
      (target) => target,
      async (target) => {
        if (await deleteOne(target, resources, options, world)) gone.add(target);
        showProgress(`${++done} of ${targets.length} done`);
      },
    );
    for (const target of options.dryRun ? targets : []) {
      const { kind, name, namespace } = target;
      if (gone.has(target))
        world.out(`${kind} ${namespace === undefined ? '' : `${namespace}/`}${name} would be deleted\n`);
    }
    report(
      'delete',
      targets.map((target) => target.kind),
      outcome,
      world,
    );
  });
}

/** False when it was not there, and that is no error. */
async function deleteOne(
  { kind, name, namespace, resourceVersion }: DeleteTarget,
  resources: Resources,
  options: DeleteOptions,
  world: World,
): Promise<boolean> {
  const refusal = kind === 'NetworkPolicy' ? refusalOfKubernetesPolicy(name) : undefined;
  if (refusal !== undefined) throw new CommandError(refusal);
  try {
    if (kind === 'IPPool' && !options.dryRun) await emptyBefore(resources, name, world);
    await resources.delete(kind, name, namespace, kind === 'IPPool' ? undefined : resourceVersion);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError && options.skipNotExists) return false;
    throw error;
  }
}

async function emptyBefore(resources: Resources, name: string, world: World): Promise<void> {
  const { addressesInUse } = await emptyPool(resources, name);
  if (addressesInUse > 0) {
    world.err(`IPPool ${name}: ${addressesInUse} of its addresses are in use; they stay so until their pods go\n`);
  }
}

/** A tier can only go when its policies have gone; the files that made both name it first. */
const tiersLast = (targets: readonly DeleteTarget[]): readonly DeleteTarget[] => [
  ...targets.filter(({ kind }) => kind !== 'Tier'),
  ...targets.filter(({ kind }) => kind === 'Tier'),
];

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
