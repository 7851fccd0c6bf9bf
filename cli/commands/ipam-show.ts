// ipam show: how full the pools are, and who has an address.

import type { KvStore } from '../../datastore/kv.ts';
import {
  blockKey,
  blockRoot,
  defaultIpamConfig,
  type IpamBlock,
  ipamConfigKey,
  parseBlock,
  parseIpamConfig,
} from '../../datastore/model/index.ts';
import type { Resources } from '../../datastore/resources.ts';
import { type BlockUsage, type PoolUsage, poolUsage } from '../../ipam/usage.ts';
import { type Address, formatAddress, parseAddress } from '../../net/address.ts';
import { formatPrefix, ordinalOf, type Prefix, parsePrefix, prefixContains } from '../../net/prefix.ts';
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
  const pool = (await resources.list('IPPool')).resources.find(({ spec }) => {
    const prefix = parsePrefix(spec.cidr);
    return prefix && prefixContains(prefix, address);
  });
  if (!pool) return `${text} is not in any configured pool\n`;
  const block = await blockOf(address, pool.spec.blockSize, resources.store);
  const index = block?.block.allocations[ordinalOf(block.prefix, address)];
  const attributes = index === null || index === undefined ? undefined : block?.block.attributes[index];
  if (!attributes) return `IP ${text} is not assigned (pool ${pool.metadata.name})\n`;
  const facts = Object.entries({ handle: attributes.handle_id ?? undefined, ...attributes.secondary });
  const released = attributes.releasedAt === undefined ? '' : `; released at ${attributes.releasedAt}, cooling down`;
  const lines = facts.filter(([, value]) => value).map(([name, value]) => `  ${name}: ${value}`);
  return `IP ${text} is in use${released}\nAttributes:\n${lines.join('\n')}\n`;
}

async function blockOf(
  address: Address,
  blockSize: number,
  store: KvStore,
): Promise<{ readonly prefix: Prefix; readonly block: IpamBlock } | undefined> {
  const { prefixOf } = await import('../../net/prefix.ts');
  const prefix = prefixOf(address, blockSize);
  const entry = await store.get(blockKey(prefix));
  const block = entry && parseBlock(entry.value);
  return block && { prefix, block };
}

async function describeConfiguration(store: KvStore): Promise<string> {
  const entry = await store.get(ipamConfigKey);
  const config = (entry && parseIpamConfig(entry.value)) ?? defaultIpamConfig;
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

async function readBlocks(store: KvStore): Promise<readonly IpamBlock[]> {
  const blocks: IpamBlock[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await store.list(blockRoot, { limit: 1000, ...(after !== undefined && { after }) });
    for (const entry of page.entries) {
      const block = parseBlock(entry.value);
      if (block) blocks.push(block);
    }
    after = page.entries.at(-1)?.key;
    if (!page.more || after === undefined) return blocks;
  }
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
