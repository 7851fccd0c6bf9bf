// ipam show: how full the pools are, and who has an address.

import type { KvStore } from '../../datastore/kv.ts';
import type { Resources } from '../../datastore/resources.ts';
import { prefixOfBlock } from '../../ipam/block.ts';
import { type BlockUsage, type PoolUsage, poolUsage } from '../../ipam/usage.ts';
import { type Address, formatAddress, parseAddress } from '../../net/address.ts';
import { formatPrefix, ordinalOf, parsePrefix } from '../../net/prefix.ts';
import { findBlock, poolOfAddress, readBlocks, readIpamConfig } from '../ipam-data.ts';
import { formatBoxedTable, type Row } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface IpamShowOptions extends GlobalOptions {
  readonly ip?: string;
  readonly showBlocks?: boolean;
  readonly showBorrowed?: boolean;
  readonly showConfiguration?: boolean;
}

export async function runIpamShow(options: IpamShowOptions, world: World): Promise<void> {
  const address = options.ip === undefined ? undefined : parseAddress(options.ip);
  if (options.ip !== undefined && address === undefined) throw new CommandError(`invalid IP address: ${options.ip}`);
  await withResources(options, world, async (resources) => {
    if (address !== undefined) world.out(await describeAddress(address, resources));
    else if (options.showConfiguration) world.out(await describeConfiguration(resources.store));
    else world.out(await describeUsage(options, resources));
  });
}

async function describeAddress(address: Address, resources: Resources): Promise<string> {
  const text = formatAddress(address);
  const found = await findBlock(resources, address);
  const index = found?.block.allocations[ordinalOf(prefixOfBlock(found.block), address)];
  const attributes = index === null || index === undefined ? undefined : found?.block.attributes[index];
  if (!attributes) {
    const pool = poolOfAddress((await resources.list('IPPool')).resources, address);
    return `${text} is not assigned${pool ? '' : ', and in no IP pool'}\n`;
  }
  if (attributes.releasedAt !== undefined)
    return `${text} is not assigned: released at ${attributes.releasedAt}, cooling down\n`;
  const facts = Object.entries(attributes.secondary ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [
    `IP ${text} is in use`,
    `Handle ID: ${attributes.handle_id ?? '<none>'}`,
    facts.length > 0 ? 'Active Owner Attributes:' : 'No Active Owner attributes defined',
    ...facts.map(([name, value]) => `  ${name}: ${value}`),
  ];
  return `${lines.join('\n')}\n`;
}

async function describeConfiguration(store: KvStore): Promise<string> {
  const config = await readIpamConfig(store);
  return formatBoxedTable(
    ['PROPERTY', 'VALUE'],
    [
      ['StrictAffinity', String(config.strict_affinity)],
      ['AutoAllocateBlocks', String(config.auto_allocate_blocks)],
      ['MaxBlocksPerHost', String(config.maxBlocksPerHost)],
      ['IPCooldownSeconds', String(config.ipCooldownSeconds)],
    ],
  );
}

async function describeUsage(options: IpamShowOptions, resources: Resources): Promise<string> {
  const pools = (await resources.list('IPPool')).resources.flatMap(({ metadata, spec }) => {
    const prefix = parsePrefix(spec.cidr);
    return prefix ? [{ name: metadata.name, prefix }] : [];
  });
  const usage = poolUsage(pools, await readBlocks(resources.store));
  if (options.showBorrowed) return borrowedTable([...usage.pools.flatMap((pool) => pool.blocks), ...usage.orphans]);
  const rows = usage.pools.flatMap((pool) => [poolRow(pool), ...(options.showBlocks ? pool.blocks.map(blockRow) : [])]);
  const orphans = usage.orphans.map((block) => [`Block of no pool${ownerText(block)}`, ...usageCells(block)]);
  return formatBoxedTable(['GROUPING', 'CIDR', 'IPS TOTAL', 'IPS IN USE', 'IPS FREE'], [...rows, ...orphans]);
}

const amount = (value: number): string => (value > Number.MAX_SAFE_INTEGER ? value.toPrecision(5) : String(value));

const percent = (part: number, whole: number): string => (whole === 0 ? '0' : String(Math.round((part / whole) * 100)));

const counted = (size: number, inUse: number, free: number): Row => [
  amount(size),
  `${amount(inUse)} (${percent(inUse, size)}%)`,
  `${amount(free)} (${percent(free, size)}%)`,
];

const poolRow = (pool: PoolUsage): Row => [
  'IP Pool',
  formatPrefix(pool.prefix),
  ...counted(pool.size, pool.inUse, pool.size - pool.inUse),
];

const blockRow = (block: BlockUsage): Row => [`  Block${ownerText(block)}`, ...usageCells(block)];

const ownerText = (block: BlockUsage): string => (block.node === undefined ? '' : ` of ${block.node}`);

const usageCells = (block: BlockUsage): Row => [
  formatPrefix(block.prefix),
  ...counted(block.size, block.inUse, block.size - block.inUse - block.coolingDown),
];

function borrowedTable(blocks: readonly BlockUsage[]): string {
  const rows = blocks.flatMap((block) =>
    block.borrowed.map(({ address, node, handle }) => [
      formatAddress(address),
      node,
      formatPrefix(block.prefix),
      block.node ?? '(nobody)',
      handle ?? '',
    ]),
  );
  return formatBoxedTable(['IP', 'BORROWING-NODE', 'BLOCK', 'BLOCK OWNER', 'HANDLE'], rows);
}
