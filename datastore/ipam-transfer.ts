// IPAM's data in the form in which `calicoctl datastore migrate` carries them from one datastore to another: one JSON object
// of four lists, each entry with its key, its value as it is stored, and a TTL that is always 0.
//
//     { "block_affinities": [{ "Key": "/calico/ipam/v2/host/…", "Value": {…}, "TTL": 0 }], "blocks": …, "handles": …, "config": {…} }

import type { KvEntry, KvStore, Operation, Revision } from './kv.ts';
import {
  affinityRoot,
  blockRoot,
  encodeExactJson,
  handleRoot,
  ipamConfigKey,
  ipamRoot,
  parseExactJson,
} from './model/index.ts';
import { isObject } from './model/schema/check.ts';
import { pagesOf } from './pages.ts';

export interface TransferEntry {
  readonly Key: string;
  readonly Value: Readonly<Record<string, unknown>>;
  readonly TTL: 0;
}

export interface IpamTransfer {
  readonly block_affinities: readonly TransferEntry[];
  readonly blocks: readonly TransferEntry[];
  readonly handles: readonly TransferEntry[];
  readonly config: TransferEntry | undefined;
}

/** How nodes are called where the data go; nodes that are not in it keep their names. */
export type NodeNames = ReadonlyMap<string, string>;

/** The file is not what it should be; the message says where. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}

const affinityKey = /^\/calico\/ipam\/v2\/(host|virtual)\/([^/]+)\/(ipv[46]\/block\/[^/]+)$/;
const tunnelHandle = /^((?:ipip|vxlan|vxlan-v6|wireguard|wireguard-v6)-tunnel-addr-)(.+)$/;

/** All of IPAM at one revision. */
export async function readIpamTransfer(store: KvStore, at: Revision, names: NodeNames): Promise<IpamTransfer> {
  const affinities: TransferEntry[] = [];
  const blocks: TransferEntry[] = [];
  const handles: TransferEntry[] = [];
  let config: TransferEntry | undefined;
  for await (const { entries } of pagesOf(store, ipamRoot, { revision: at })) {
    for (const entry of entries) {
      const { key } = entry;
      const [, type, node = '', rest] = affinityKey.exec(key) ?? [];
      if (type !== undefined) {
        affinities.push(entryOf(`${ipamRoot}${type}/${type === 'host' ? renamed(node, names) : node}/${rest}`, entry));
      } else if (key.startsWith(blockRoot)) blocks.push(renameInBlock(entryOf(key, entry), names));
      else if (key.startsWith(handleRoot)) {
        handles.push(entryOf(handleRoot + renamedHandle(key.slice(handleRoot.length), names), entry));
      } else if (key === ipamConfigKey) config = entryOf(key, entry);
      // Anything else, such as the old markers of hosts, is about the datastore that it is in.
    }
  }
  return { block_affinities: affinities, blocks, handles, config };
}

/** As calicoctl writes it: empty lists are left out. */
export function encodeIpamTransfer(transfer: IpamTransfer): string {
  const lists = Object.entries(transfer).filter(
    ([, entries]) => entries !== undefined && (!Array.isArray(entries) || entries.length > 0),
  );
  return encodeExactJson(Object.fromEntries(lists), 2);
}

/** What writes the data of such a file; throws TransferError when it says anything else than it should. */
export function ipamOperations(text: string): readonly Extract<Operation, { kind: 'put' }>[] {
  const given = parse(text);
  const lists: readonly (readonly [string, (key: string) => boolean])[] = [
    ['block_affinities', (key) => affinityKey.test(key)],
    ['blocks', (key) => key.startsWith(blockRoot)],
    ['handles', (key) => key.startsWith(handleRoot)],
    ['config', (key) => key === ipamConfigKey],
  ];
  const unknown = Object.keys(given).find((name) => !lists.some(([known]) => known === name));
  if (unknown !== undefined)
    throw new TransferError(`IPAM data: "${unknown}" is not known; ${lists.map(([name]) => name).join(', ')} are`);
  return lists.flatMap(([name, isRight]) => {
    const value = given[name] ?? [];
    const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
    return entries.map((entry, i) => operationOf(entry, `IPAM data: ${name}[${i}]`, isRight));
  });
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const given = parseExactJson(text);
    if (isObject(given)) return given;
  } catch (error) {
    throw new TransferError(`IPAM data: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new TransferError('IPAM data: not an object in JSON');
}

function operationOf(
  entry: unknown,
  where: string,
  isRight: (key: string) => boolean,
): Extract<Operation, { kind: 'put' }> {
  if (!isObject(entry) || typeof entry['Key'] !== 'string' || !isObject(entry['Value'])) {
    throw new TransferError(`${where}: an object with Key and Value is needed`);
  }
  if (!isRight(entry['Key'])) throw new TransferError(`${where}: "${entry['Key']}" is no key of this list`);
  return { kind: 'put', key: entry['Key'], value: encodeExactJson(entry['Value']) };
}

function entryOf(Key: string, { key, value }: KvEntry): TransferEntry {
  // Very old affinities have no value: they are confirmed.
  const given =
    value === '' && key.startsWith(affinityRoot) ? { state: 'confirmed', deleted: false } : parseOrUndefined(value);
  if (!isObject(given)) throw new TransferError(`${key}: its value is not an object in JSON; repair or delete it`);
  return { Key, Value: given, TTL: 0 };
}

function parseOrUndefined(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

const renamed = (node: string, names: NodeNames): string => names.get(node) ?? node;

function renamedHandle(handle: string, names: NodeNames): string {
  const [, prefix, node = ''] = tunnelHandle.exec(handle) ?? [];
  return prefix === undefined ? handle : prefix + renamed(node, names);
}

/** Nodes are named in a block's affinity, in who owns an address, and in the handles of tunnels' addresses. */
function renameInBlock(entry: TransferEntry, names: NodeNames): TransferEntry {
  if (names.size === 0) return entry;
  const { affinity, attributes } = entry.Value;
  const host = typeof affinity === 'string' ? /^host:(.+)$/.exec(affinity)?.[1] : undefined;
  const Value = {
    ...entry.Value,
    ...(host !== undefined && { affinity: `host:${renamed(host, names)}` }),
    ...(Array.isArray(attributes) && { attributes: attributes.map((owner: unknown) => renameOwner(owner, names)) }),
  };
  return { ...entry, Value };
}

function renameOwner(owner: unknown, names: NodeNames): unknown {
  if (!isObject(owner)) return owner;
  const { handle_id: handle, secondary } = owner;
  const node = isObject(secondary) ? secondary['node'] : undefined;
  return {
    ...owner,
    ...(typeof handle === 'string' && { handle_id: renamedHandle(handle, names) }),
    ...(isObject(secondary) && typeof node === 'string' && { secondary: { ...secondary, node: renamed(node, names) } }),
  };
}
