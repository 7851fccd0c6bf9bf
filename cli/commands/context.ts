// What every command gets: the options that all share, and access to the datastore when it asks for it.

import type { Resources } from '../../datastore/resources.ts';
import type { StoreSettings } from '../../datastore/settings.ts';
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
    throw new CommandError(whySettingsFail(error, settings));
  });
  try {
    return await work(new Resources(store, { author: world.author }));
  } catch (error) {
    if (error instanceof ResourceError) throw new CommandError(error.message);
    if (!(error instanceof KvError)) throw error;
    const where = settings.etcdDiscoverySrv ?? settings.etcdEndpoints;
    if (error.code !== 'unavailable')
      throw new CommandError(`the datastore at ${where} did not do it (${error.code}): ${error.message}`);
    const [reason = ''] = error.message.replace('No connection established. Last error: ', '').trim().split('\n');
    throw new CommandError(`cannot reach the datastore at ${where}: ${reason}\n${hintFor(reason)}`);
  } finally {
    await store.close();
  }
}

const hintFor = (reason: string): string =>
  /certificate|SSL|x509/.test(reason)
    ? 'Its authority is what ETCD_CA_CERT_FILE names; ETCD_CERT_FILE and ETCD_KEY_FILE are what we show it.'
    : 'Where it is say --etcd-endpoints, ETCD_ENDPOINTS or a configuration file (--config).';

/** Settings that cannot work. Of a file that cannot be read, the setting that names it is of more use than the file. */
function whySettingsFail(error: unknown, settings: StoreSettings): string {
  const message = error instanceof Error ? error.message : String(error);
  const path = error instanceof Error && 'path' in error ? error.path : undefined;
  const named = {
    'ETCD_CA_CERT_FILE (etcdCACertFile)': settings.etcdCaCertFile,
    'ETCD_CERT_FILE (etcdCertFile)': settings.etcdCertFile,
    'ETCD_KEY_FILE (etcdKeyFile)': settings.etcdKeyFile,
  };
  const setting = Object.entries(named).find(([, file]) => file !== undefined && file === path)?.[0];
  return setting === undefined ? message : `${setting}: ${message}`;
}
