// What every command gets: the options that all share, and access to the datastore when it asks for it.

import type { Resources } from '../../datastore/resources.ts';
import { readDatastoreConfig } from '../datastore-config.ts';
import { CommandError, type World } from '../world.ts';

export interface GlobalOptions {
  readonly config?: string;
  readonly etcdEndpoints?: string;
}

/** Opens the datastore, runs the work, closes it again; errors of the store become one line for a person. */
export async function withResources<T>(
  options: GlobalOptions,
  world: World,
  work: (resources: Resources) => Promise<T>,
): Promise<T> {
  const settings = await readDatastoreConfig({
    ...(options.config !== undefined && { configPath: options.config }),
    ...(options.etcdEndpoints !== undefined && { etcdEndpoints: options.etcdEndpoints }),
    environment: world.environment,
    readFile: world.readFile,
  });
  const [{ Resources, ResourceError }, { KvError }] = await Promise.all([
    import('../../datastore/resources.ts'),
    import('../../datastore/kv.ts'),
  ]);
  const store = await world.openStore(settings).catch((error: unknown) => {
    // Settings that cannot work: the message says which and why.
    throw new CommandError(error instanceof Error ? error.message : String(error));
  });
  try {
    return await work(new Resources(store, { author: world.author }));
  } catch (error) {
    if (error instanceof ResourceError) throw new CommandError(error.message);
    if (!(error instanceof KvError)) throw error;
    const where = settings.etcdDiscoverySrv ?? settings.etcdEndpoints;
    throw new CommandError(`the datastore at ${where} did not do it (${error.code}): ${error.message}`);
  } finally {
    await store.close();
  }
}
