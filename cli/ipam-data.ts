// IPAM's data as commands need it: everything at one revision for a check, and the release of single addresses.

import type { KvEntry, KvStore, Operation, Revision, Transaction } from '../datastore/kv.ts';
import {
  affinityRoot,
  blockKey,
  blockRoot,
  defaultIpamConfig,
  encodeBlock,
  encodeExactJson,
  handleKey,
  handleRoot,
  type IPPool,
  type IpamBlock,
  type IpamConfig,
  ipamConfigKey,
  parseAffinity,
  parseBlock,
  parseHandle,
  parseIpamConfig,
  partsOfAffinityKey,
} from '../datastore/model/index.ts';
import { pagesOf } from '../datastore/pages.ts';
import type { Resources } from '../datastore/resources.ts';
import { prefixOfBlock, release } from '../ipam/block.ts';
import type { IpamSnapshot } from '../ipam/usage.ts';
import { type Address, parseAddress } from '../net/address.ts';
import { ordinalOf, parseInterfaceAddress, parsePrefix, prefixContains, prefixOf } from '../net/prefix.ts';

/** All entries below a prefix, read in pages of one revision. */
export async function listAll(store: KvStore, prefix: string, at?: Revision): Promise<readonly KvEntry[]> {
  const entries: KvEntry[] = [];
  for await (const page of pagesOf(store, prefix, { revision: at }))
    for (const entry of page.entries) entries.push(entry);
  return entries;
}

export async function readBlocks(store: KvStore, at?: Revision): Promise<readonly IpamBlock[]> {
  return (await listAll(store, blockRoot, at)).flatMap((entry) => parseBlock(entry.value) ?? []);
}

export interface StoredHandle {
  readonly id: string;
  readonly revision: Revision;
}

export interface IpamState extends IpamSnapshot {
  readonly revision: Revision;
  readonly storedHandles: readonly StoredHandle[];
}

/** Blocks, affinities, handles, nodes and endpoints, as they were at one revision. */
export async function readIpamState(resources: Resources): Promise<IpamState> {
  const { store } = resources;
  const nodes = await resources.list('Node');
  const { revision } = nodes;
  const endpoints = new Map<Address, string>();
  for await (const page of resources.pages('WorkloadEndpoint', undefined, revision)) {
    for (const { metadata, spec } of page.resources) {
      for (const text of spec.ipNetworks ?? []) {
        const address = parseInterfaceAddress(text)?.address ?? parseAddress(text);
        if (address !== undefined) endpoints.set(address, `${metadata.namespace}/${metadata.name}`);
      }
    }
  }
  const handleEntries = await listAll(store, handleRoot, revision);
  return {
    revision,
    nodes: new Set(nodes.resources.map((node) => node.metadata.name)),
    endpoints,
    blocks: await readBlocks(store, revision),
    affinities: (await listAll(store, affinityRoot, revision)).flatMap((entry) => {
      const parts = partsOfAffinityKey(entry.key);
      const affinity = parseAffinity(entry.value);
      return parts && affinity ? [{ ...parts, affinity }] : [];
    }),
    handles: handleEntries.flatMap((entry) => {
      const handle = parseHandle(entry.value);
      return handle ? [{ id: entry.key.slice(handleRoot.length), handle }] : [];
    }),
    storedHandles: handleEntries.map((entry) => ({
      id: entry.key.slice(handleRoot.length),
      revision: entry.modRevision,
    })),
  };
}

export async function readIpamConfig(store: KvStore): Promise<IpamConfig> {
  const entry = await store.get(ipamConfigKey);
  return (entry && parseIpamConfig(entry.value)) ?? defaultIpamConfig;
}

export const poolOfAddress = (pools: readonly IPPool[], address: Address): IPPool | undefined =>
  pools.find(({ spec }) => {
    const prefix = parsePrefix(spec.cidr);
    return prefix && prefixContains(prefix, address);
  });

export interface FoundBlock {
  readonly entry: KvEntry;
  readonly block: IpamBlock;
}

/** The block that holds an address: by the pools' block sizes first, else by looking at every block. */
export async function findBlock(resources: Resources, address: Address): Promise<FoundBlock | undefined> {
  const pool = poolOfAddress((await resources.list('IPPool')).resources, address);
  const likely = pool && (await resources.store.get(blockKey(prefixOf(address, pool.spec.blockSize))));
  for (const entry of likely ? [likely] : await listAll(resources.store, blockRoot)) {
    const block = parseBlock(entry.value);
    if (block && prefixContains(prefixOfBlock(block), address)) return { entry, block };
  }
  return undefined;
}

const attempts = 20;

/**
 * Frees one address and its handle's count in one transaction. False when it is not assigned, or when `sequenceNumber`
 * is given and the address has been assigned anew since.
 */
export async function releaseAddress(
  resources: Resources,
  address: Address,
  options: { readonly nowMs: number; readonly sequenceNumber?: bigint },
): Promise<boolean> {
  const { ipCooldownSeconds } = await readIpamConfig(resources.store);
  for (let attempt = 0; attempt < attempts; attempt++) {
    const found = await findBlock(resources, address);
    if (!found) return false;
    const { entry, block } = found;
    const ordinal = ordinalOf(prefixOfBlock(block), address);
    const index = block.allocations[ordinal];
    const attributes = index === null || index === undefined ? undefined : block.attributes[index];
    if (!attributes || attributes.releasedAt !== undefined) return false;
    if (
      options.sequenceNumber !== undefined &&
      block.sequenceNumberForAllocation[String(ordinal)] !== options.sequenceNumber
    ) {
      return false;
    }
    const after = release(block, [ordinal], options.nowMs, ipCooldownSeconds);
    const handle = attributes.handle_id
      ? await decrementHandle(resources.store, attributes.handle_id, block.cidr)
      : undefined;
    const transaction: Transaction = {
      compare: [{ key: entry.key, target: 'modRevision', is: entry.modRevision }, ...(handle ? [handle.compare] : [])],
      then: [{ kind: 'put', key: entry.key, value: encodeBlock(after) }, ...(handle ? [handle.operation] : [])],
    };
    if ((await resources.store.transact(transaction)).succeeded) return true;
  }
  throw new Error('other writers were faster every time; try again');
}

async function decrementHandle(
  store: KvStore,
  id: string,
  cidr: string,
): Promise<{ readonly compare: Transaction['compare'][number]; readonly operation: Operation } | undefined> {
  const key = handleKey(id);
  const entry = await store.get(key);
  const handle = entry && parseHandle(entry.value);
  if (!entry || !handle) return undefined;
  const { [cidr]: count = 0, ...others } = handle.block;
  const block = count > 1 ? { ...others, [cidr]: count - 1 } : others;
  const operation: Operation =
    Object.keys(block).length === 0
      ? { kind: 'delete', key }
      : { kind: 'put', key, value: encodeExactJson({ ...handle, block }) };
  return { compare: { key, target: 'modRevision', is: entry.modRevision }, operation };
}
