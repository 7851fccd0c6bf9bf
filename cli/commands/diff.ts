// diff: what `apply` of the same files would change, shown as text. Exit code 0: nothing, 1: something, 2: trouble.

import type { DraftOf, Kind, Resource } from '../../datastore/model/index.ts';
import { ResourceError } from '../../datastore/resources.ts';
import { checkManifests } from '../checked.ts';
import { readManifests } from '../manifests.ts';
import { formatYaml, withoutNameAnnotation } from '../output/documents.ts';
import { lineDiff } from '../output/line-diff.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { dryRunOf } from './dry-run.ts';

export interface DiffOptions extends GlobalOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly namespace?: string;
}

const trouble = 2;

export async function runDiff(options: DiffOptions, world: World): Promise<void> {
  const differences = await findDifferences(options, world).catch((error: unknown) => {
    if (error instanceof CommandError) throw new CommandError(error.message, trouble);
    throw error;
  });
  for (const text of differences) world.out(text);
  if (differences.length > 0) throw new CommandError('', 1);
}

async function findDifferences(options: DiffOptions, world: World): Promise<readonly string[]> {
  const manifests = await readManifests(
    { filenames: options.filename, recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  const checked = checkManifests(manifests, options.namespace);
  return await withResources(options, world, async (resources) => {
    // Applied to an overlay, so that what is shown is what would be stored, with its defaults and labels.
    const overlay = dryRunOf(resources);
    const texts: string[] = [];
    for (const { where, resource } of checked) {
      const { kind, metadata } = resource;
      const before: Resource | undefined = await resources.find(kind, metadata.name, metadata.namespace);
      try {
        // A checked resource is a draft of its own kind; the compiler loses that pairing in the union.
        const after: Resource = await overlay.apply(resource as DraftOf<Kind>);
        texts.push(await diffOf(before, after, where, world));
      } catch (error) {
        if (error instanceof ResourceError) throw new CommandError(`${where}: ${error.message}`);
        throw error;
      }
    }
    return texts.filter((text) => text !== '');
  });
}

async function diffOf(before: Resource | undefined, after: Resource, where: string, world: World): Promise<string> {
  const { kind, metadata } = after;
  const name = `${kind}/${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
  const old = before ? await formatYaml(withoutIdentity(before)) : '';
  return lineDiff([`datastore ${name}`, `${where} ${name}`], old, await formatYaml(withoutIdentity(after)), {
    colours: world.colours,
  });
}

/** What the datastore gives by itself is no difference. */
function withoutIdentity(resource: Resource): unknown {
  const { resourceVersion: _version, uid: _uid, creationTimestamp: _created, ...metadata } = resource.metadata;
  return { ...resource, metadata: withoutNameAnnotation(metadata) };
}
