// delete: resources by kind and name, or those that files name.

import type { Kind } from '../../datastore/model/index.ts';
import { NotFoundError, type Resources } from '../../datastore/resources.ts';
import { identifyManifests, refusalOfKubernetesPolicy } from '../checked.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { readManifests } from '../manifests.ts';
import { emptyPool } from '../pool-removal.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { dryRunOf } from './dry-run.ts';
import { inOrder, report } from './outcome.ts';

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
  const targets = await deleteTargets(kindName, names, options, world);
  if (targets.length === 0) {
    if (!options.skipEmpty) throw new CommandError('No resources specified');
    world.out('No resources specified\n');
    return;
  }
  await withResources(options, world, async (real) => {
    const resources = options.dryRun ? dryRunOf(real) : real;
    const outcome = await inOrder(targets, async ({ kind, name, namespace, resourceVersion }) => {
      const refusal = kind === 'NetworkPolicy' ? refusalOfKubernetesPolicy(name) : undefined;
      if (refusal !== undefined) throw new CommandError(refusal);
      try {
        if (kind === 'IPPool' && !options.dryRun) await emptyBefore(resources, name, world);
        await resources.delete(kind, name, namespace, kind === 'IPPool' ? undefined : resourceVersion);
        if (options.dryRun)
          world.out(`${kind} ${namespace === undefined ? '' : `${namespace}/`}${name} would be deleted\n`);
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

async function emptyBefore(resources: Resources, name: string, world: World): Promise<void> {
  const { addressesInUse } = await emptyPool(resources, name);
  if (addressesInUse > 0) {
    world.err(`IPPool ${name}: ${addressesInUse} of its addresses are in use; they stay so until their pods go\n`);
  }
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
