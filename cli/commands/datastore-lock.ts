// datastore migrate lock and unlock: while the datastore is locked, agents leave the kernel as it is, and the CNI plugin
// waits. People and programs can still write.

import { bootstrap } from '../../datastore/bootstrap.ts';
import type { Resources } from '../../datastore/resources.ts';
import { version } from '../../runtime/version.ts';
import type { World } from '../world.ts';
import { changeResource } from './change.ts';
import { type GlobalOptions, withResources } from './context.ts';

export async function runLock(locked: boolean, options: GlobalOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    if (locked) await lockDatastore(resources, world);
    else {
      await setReady(resources, true);
      world.out('Datastore unlocked.\n');
    }
  });
}

/** A new datastore gets what every datastore has first. */
export async function lockDatastore(resources: Resources, world: World): Promise<void> {
  if (!(await resources.find('ClusterInformation', 'default'))) await bootstrap(resources, { version });
  await setReady(resources, false);
  world.out('Datastore locked.\n');
}

export async function setReady(resources: Resources, ready: boolean): Promise<void> {
  await changeResource(
    resources,
    { kind: 'ClusterInformation', name: 'default', namespace: undefined },
    (resource) => ({
      ...resource,
      spec: { ...resource.spec, datastoreReady: ready },
    }),
  );
}
