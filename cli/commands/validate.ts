// validate: checks manifests without a datastore.

import { checkManifests } from '../checked.ts';
import { readManifests } from '../manifests.ts';
import type { World } from '../world.ts';

export interface ValidateOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly skipEmpty?: boolean;
  readonly namespace?: string;
}

export async function runValidate(options: ValidateOptions, world: World): Promise<void> {
  const manifests = await readManifests(
    { filenames: options.filename, recursive: options.recursive === true, skipEmpty: options.skipEmpty === true },
    world,
  );
  const checked = checkManifests(manifests, options.namespace);
  if (checked.length === 0) {
    world.out('No resources specified\n');
    return;
  }
  const kinds = new Set(checked.map(({ resource }) => resource.kind));
  const [single] = kinds.size === 1 ? kinds : [];
  world.out(`Successfully validated ${checked.length}${single ? ` '${single}'` : ''} resource(s)\n`);
}
