// version: of this program, and of the cluster unless only the client's was asked for.

import { version } from '../../runtime/version.ts';
import type { World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface VersionOptions extends GlobalOptions {
  readonly client?: boolean;
}

export async function runVersion(options: VersionOptions, world: World): Promise<void> {
  world.out(`Client Version:    v${version}\n`);
  if (options.client) return;
  await withResources(options, world, async (resources) => {
    const information = await resources.find('ClusterInformation', 'default');
    world.out(`Cluster Version:   ${information?.spec.calicoVersion ?? 'unknown'}\n`);
    world.out(`Cluster Type:      ${information?.spec.clusterType || 'unknown'}\n`);
  });
}
