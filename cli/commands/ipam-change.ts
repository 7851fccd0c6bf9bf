// ipam configure and split: the settings of IPAM, and one pool made into several.

import type { DraftOf, IPPool } from '../../datastore/model/index.ts';
import type { Resources } from '../../datastore/resources.ts';
import { addressAt, formatPrefix, type Prefix, parsePrefix, prefixSize } from '../../net/prefix.ts';
import { readIpamConfig } from '../ipam-data.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface IpamConfigureOptions extends GlobalOptions {
  readonly strictaffinity?: string;
  readonly maxBlocksPerHost?: string;
  readonly kubevirtIpPersistence?: string;
  readonly ipCooldownSeconds?: string;
}

export async function runIpamConfigure(options: IpamConfigureOptions, world: World): Promise<void> {
  const changes = {
    ...(options.strictaffinity !== undefined && { strictAffinity: parseBoolean(options.strictaffinity) }),
    ...(options.maxBlocksPerHost !== undefined && {
      maxBlocksPerHost: parseInteger(options.maxBlocksPerHost, 'invalid value for maxblockhost. Use a valid number'),
    }),
    ...(options.kubevirtIpPersistence !== undefined && {
      kubeVirtVMAddressPersistence: parsePersistence(options.kubevirtIpPersistence),
    }),
    ...(options.ipCooldownSeconds !== undefined && {
      ipCooldownSeconds: parseInteger(
        options.ipCooldownSeconds,
        'invalid value for ip-cooldown-seconds. Use a valid number',
      ),
    }),
  };
  if (Object.keys(changes).length === 0) throw new CommandError('at least one configuration option must be specified');
  await withResources(options, world, async (resources) => {
    const present = await readIpamConfig(resources.store);
    const kept = await resources.find('IPAMConfiguration', 'default');
    const spec: DraftOf<'IPAMConfiguration'>['spec'] = {
      ...kept?.spec,
      strictAffinity: present.strict_affinity,
      autoAllocateBlocks: present.auto_allocate_blocks,
      maxBlocksPerHost: present.maxBlocksPerHost,
      ipCooldownSeconds: present.ipCooldownSeconds,
      ...changes,
    };
    // Writing the resource writes the allocator's own key in the same transaction.
    await resources.apply<'IPAMConfiguration'>({
      kind: 'IPAMConfiguration',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'default', ...(kept?.metadata.labels && { labels: kept.metadata.labels }) },
      spec,
    });
    for (const [name, value] of Object.entries(changes)) {
      world.out(`Successfully set ${name[0]?.toUpperCase()}${name.slice(1)} to: ${String(value)}\n`);
    }
  });
}

function parseBoolean(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new CommandError('invalid value. Use true or false to set strictaffinity');
}

function parseInteger(text: string, problem: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new CommandError(problem);
}

function parsePersistence(text: string): 'Enabled' | 'Disabled' {
  if (text === 'Enabled' || text === 'Disabled') return text;
  throw new CommandError('invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled');
}

export interface IpamSplitOptions extends GlobalOptions {
  readonly cidr?: string;
  readonly name?: string;
}

export async function runIpamSplit(number: string, options: IpamSplitOptions, world: World): Promise<void> {
  const parts = parseInteger(number, `error reading number to split IP pools into. ${number} is not a valid number`);
  if (!options.cidr && !options.name) {
    throw new CommandError('no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split');
  }
  await withResources(options, world, async (resources) => {
    const information = await resources.find('ClusterInformation', 'default');
    if (information?.spec.datastoreReady !== false) {
      throw new CommandError(
        'datastore is not locked. Run the `twillctl datastore migrate lock` command in order split the IP pools',
      );
    }
    const pool = await findPool(resources, options);
    const made = await splitPool(resources, pool, parts);
    world.out(`IP Pool ${pool.metadata.name} was successfully split into ${parts} smaller pools.\n`);
    for (const { metadata, spec } of made) world.out(`Created ${metadata.name} with CIDR ${spec.cidr}.\n`);
    world.out('Unlock the datastore when you are done: twillctl datastore migrate unlock\n');
  });
}

async function findPool(resources: Resources, { name, cidr }: IpamSplitOptions): Promise<IPPool> {
  const { resources: pools } = await resources.list('IPPool');
  const pool = pools.find(({ metadata, spec }) => (name ? metadata.name === name : spec.cidr === cidr));
  if (!pool) throw new CommandError(`unable to find IP pool ${name ?? `with CIDR ${cidr}`}`);
  return pool;
}

/** One transaction: the small pools come and the large one goes, so there is never a moment without either. */
async function splitPool(resources: Resources, pool: IPPool, parts: number): Promise<readonly IPPool[]> {
  const prefix = parsePrefix(pool.spec.cidr);
  if (!prefix) throw new CommandError(`error splitting the CIDR ${pool.spec.cidr}`);
  const drafts = splitPrefix(prefix, parts, pool.spec.blockSize).map(
    (part, i): DraftOf<'IPPool'> => ({
      kind: 'IPPool',
      apiVersion: 'projectcalico.org/v3',
      metadata: {
        name: `split-${pool.metadata.name.slice(0, 240)}-${i}`,
        ...(pool.metadata.labels && { labels: pool.metadata.labels }),
      },
      spec: { ...pool.spec, cidr: formatPrefix(part), disabled: false },
    }),
  );
  const prepared = drafts.map((draft) => resources.prepareCreate<'IPPool'>(draft));
  const removal = resources.prepareDelete(pool);
  const result = await resources.store.transact({
    compare: [removal.compare, ...prepared.map(({ compare }) => compare)],
    then: [removal.operation, ...prepared.map(({ operation }) => operation)],
  });
  if (!result.succeeded)
    throw new CommandError(`IP pool ${pool.metadata.name} was changed meanwhile, nothing was split; try again`);
  return prepared.map(({ resource }) => resource);
}

export function splitPrefix(prefix: Prefix, parts: number, blockLength: number): readonly Prefix[] {
  const power = Math.log2(parts);
  if (!Number.isInteger(power) || power < 1) {
    throw new CommandError(`number to split CIDR into is not a valid power of 2: ${parts}`);
  }
  const length = prefix.length + power;
  if (length > blockLength) {
    throw new CommandError(
      `the CIDR ${formatPrefix(prefix)} is not large enough to be split into ${parts} parts of at least one /${blockLength}`,
    );
  }
  const size = prefixSize({ address: prefix.address, length });
  if (typeof prefix.address === 'number') {
    return Array.from({ length: parts }, (_, i) => ({ address: addressAt(prefix, i * size), length }));
  }
  const step = 1n << BigInt(128 - length);
  const { address } = prefix;
  return Array.from({ length: parts }, (_, i) => ({ address: BigInt(address) + BigInt(i) * step, length }));
}
