// What every datastore has from the start: ClusterInformation, the built-in tiers, FelixConfiguration default, and pools
// when asked for. Safe to run on every node at once, and again at every start: only what is missing is made.

import { randomBytes } from 'node:crypto';
import { builtInTiers, type DraftOf, type Kind } from './model/index.ts';
import { AlreadyExistsError, ConflictError, type Resources } from './resources.ts';

export interface BootstrapOptions {
  /** Written as calicoVersion: the newest component that has run. */
  readonly version: string;
  /** Words for clusterType, as "etcd" or "lab". */
  readonly clusterType?: readonly string[];
  /** Make these pools where there is none of the family yet. Fields that are left out are Calico's defaults. */
  readonly pools?: { readonly ipv4?: FirstPool; readonly ipv6?: FirstPool };
  readonly newGuid?: () => string;
}

/** The spec of a family's first pool. natOutgoing is true for IPv4 and false for IPv6 unless it says otherwise. */
export type FirstPool = DraftOf<'IPPool'>['spec'];

const apiVersion = 'projectcalico.org/v3';

/** Makes what is missing; returns what it made, as `Kind/name`. */
export async function bootstrap(resources: Resources, options: BootstrapOptions): Promise<readonly string[]> {
  const made: string[] = [];
  const make = async <K extends Kind>(draft: DraftOf<K>): Promise<void> => {
    if (await createIfMissing(resources, draft)) made.push(`${draft.kind}/${draft.metadata.name}`);
  };
  for (const [name, spec] of Object.entries(builtInTiers)) {
    await make<'Tier'>({ kind: 'Tier', apiVersion, metadata: { name }, spec });
  }
  await make<'FelixConfiguration'>({ kind: 'FelixConfiguration', apiVersion, metadata: { name: 'default' }, spec: {} });
  for (const draft of await missingPools(resources, options.pools ?? {})) await make<'IPPool'>(draft);
  // Last: it says that everything else is there.
  if (await ensureClusterInformation(resources, options)) made.push('ClusterInformation/default');
  return made;
}

/** False while an operator or a migration holds the datastore: the kernel stays as it is then. */
export async function datastoreReady(resources: Resources): Promise<boolean> {
  const information = await resources.find('ClusterInformation', 'default');
  return information?.spec.datastoreReady === true;
}

async function createIfMissing<K extends Kind>(resources: Resources, draft: DraftOf<K>): Promise<boolean> {
  if (await resources.find(draft.kind, draft.metadata.name)) return false;
  try {
    await resources.create<K>(draft);
    return true;
  } catch (error) {
    if (error instanceof AlreadyExistsError) return false;
    throw error;
  }
}

async function missingPools(
  resources: Resources,
  wanted: NonNullable<BootstrapOptions['pools']>,
): Promise<readonly DraftOf<'IPPool'>[]> {
  if (!wanted.ipv4 && !wanted.ipv6) return [];
  const { resources: pools } = await resources.list('IPPool');
  const drafts: DraftOf<'IPPool'>[] = [];
  for (const [family, spec] of [['ipv4', wanted.ipv4] as const, ['ipv6', wanted.ipv6] as const]) {
    if (!spec || pools.some((pool) => pool.spec.cidr.includes(':') === (family === 'ipv6'))) continue;
    drafts.push({
      kind: 'IPPool',
      apiVersion,
      metadata: { name: `default-${family}-ippool` },
      spec: { natOutgoing: family === 'ipv4', ...spec },
    });
  }
  return drafts;
}

/** True when it was made. Completes one that an older version has left without a GUID or readiness. */
async function ensureClusterInformation(resources: Resources, options: BootstrapOptions): Promise<boolean> {
  const newGuid = options.newGuid ?? (() => randomBytes(16).toString('hex'));
  for (;;) {
    const found = await resources.find('ClusterInformation', 'default');
    const types = new Set([...(found?.spec.clusterType?.split(',') ?? []), ...(options.clusterType ?? [])]);
    types.delete('');
    const draft: DraftOf<'ClusterInformation'> = {
      kind: 'ClusterInformation',
      apiVersion,
      metadata: found?.metadata ?? { name: 'default' },
      spec: {
        ...found?.spec,
        clusterGUID: found?.spec.clusterGUID ?? newGuid(),
        clusterType: [...types].join(','),
        calicoVersion: options.version,
        datastoreReady: found?.spec.datastoreReady ?? true,
      },
    };
    if (found && JSON.stringify(draft.spec) === JSON.stringify(found.spec)) return false;
    try {
      if (found) await resources.update<'ClusterInformation'>(draft);
      else await resources.create<'ClusterInformation'>(draft);
      return !found;
    } catch (error) {
      // Another node was faster: look again.
      if (!(error instanceof AlreadyExistsError) && !(error instanceof ConflictError)) throw error;
    }
  }
}
