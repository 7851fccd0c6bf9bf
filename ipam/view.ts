// What the allocator knows of the cluster, kept up to date by a syncer's updates: pools, reservations, IPAM settings, and
// the labels of this node. A command that runs once feeds it a list instead.
//
// A pool or reservation that can not be read counts as missing: nothing is assigned from such a pool. Settings that can
// not be read count as the strictest ones.

import type { KvEntry } from '../datastore/kv.ts';
import {
  decodeResource,
  defaultIpamConfig,
  type IPPool,
  type IpamConfig,
  ipamConfigKey,
  labelsFrom,
  matches,
  parseIpamConfig,
  parseResourceKey,
  resourceKey,
  resourcePrefix,
  selectorFrom,
} from '../datastore/model/index.ts';
import type { Address } from '../net/address.ts';
import {
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  parsePrefixOrAddress,
  prefixContains,
  prefixOf,
} from '../net/prefix.ts';
import type { IpamView } from './allocator.ts';
import type { Labels, Pool } from './pools.ts';

/** An update as the syncer delivers it; without a value the key is gone. */
export interface ViewUpdate {
  readonly key: string;
  readonly value: string | undefined;
  readonly revision: number;
}

const strictest: IpamConfig = { ...defaultIpamConfig, strict_affinity: true };

export class ClusterView implements IpamView {
  readonly #node: string;
  readonly #pools = new Map<string, Pool>();
  readonly #reservations = new Map<string, readonly Prefix[]>();
  #config: IpamConfig = defaultIpamConfig;
  #nodeLabels: Labels = {};

  constructor(node: string) {
    this.#node = node;
  }

  /** The prefixes that the syncer (or a list) must cover. */
  prefixes(): string[] {
    const node = resourceKey({ kind: 'Node', name: this.#node });
    return [resourcePrefix('IPPool'), resourcePrefix('IPReservation'), ipamConfigKey, node];
  }

  onUpdates(updates: readonly ViewUpdate[]): void {
    for (const update of updates) this.#onUpdate(update);
  }

  pools(): readonly Pool[] {
    return [...this.#pools.values()];
  }

  config(): IpamConfig {
    return this.#config;
  }

  nodeLabels(): Labels {
    return this.#nodeLabels;
  }

  isReserved(address: Address): boolean {
    for (const prefixes of this.#reservations.values()) {
      if (prefixes.some((prefix) => prefixContains(prefix, address))) return true;
    }
    return false;
  }

  #onUpdate({ key, value, revision }: ViewUpdate): void {
    if (key === ipamConfigKey) {
      this.#config = value === undefined ? defaultIpamConfig : (parseIpamConfig(value) ?? strictest);
      return;
    }
    const id = parseResourceKey(key);
    const entry =
      value === undefined ? undefined : { key, value, modRevision: revision, createRevision: 0, version: 0 };
    switch (id?.kind) {
      case 'IPPool': {
        const pool = entry && readPool(entry);
        if (pool) this.#pools.set(id.name, pool);
        else this.#pools.delete(id.name);
        break;
      }
      case 'IPReservation':
        if (entry) this.#reservations.set(id.name, readReservation(entry));
        else this.#reservations.delete(id.name);
        break;
      case 'Node':
        if (id.name === this.#node) this.#nodeLabels = entry ? readLabels(entry) : {};
        break;
    }
  }
}

function readPool(entry: KvEntry): Pool | undefined {
  const result = decodeResource('IPPool', entry);
  return result.kind === 'valid' ? poolOf(result.resource) : undefined;
}

/** A valid IPPool as the allocator needs it. */
export function poolOf(resource: IPPool): Pool | undefined {
  const { spec } = resource;
  const prefix = parsePrefix(spec.cidr);
  if (!prefix) return undefined;
  return {
    name: resource.metadata.name,
    prefix,
    blockLength: spec.blockSize,
    disabled: spec.disabled === true,
    automatic: spec.assignmentMode === 'Automatic',
    servesWorkloads: spec.allowedUses.includes('Workload'),
    selectsNode: selects(spec.nodeSelector),
    selectsNamespace: selects(spec.namespaceSelector ?? ''),
  };
}

function selects(text: string): (labels: Labels) => boolean {
  const selector = selectorFrom(text);
  return (labels) => matches(selector, labelsFrom(labels));
}

function readReservation(entry: KvEntry): readonly Prefix[] {
  const result = decodeResource('IPReservation', entry);
  if (result.kind !== 'valid') return [];
  return (result.resource.spec.reservedCIDRs ?? []).flatMap((cidr) => readReserved(cidr) ?? []);
}

/** A lone address, or a network whose host bits may be set: upstream takes both. */
function readReserved(text: string): Prefix | undefined {
  const network = parseInterfaceAddress(text);
  return network ? prefixOf(network.address, network.length) : parsePrefixOrAddress(text);
}

function readLabels(entry: KvEntry): Labels {
  const result = decodeResource('Node', entry);
  return result.kind === 'valid' ? (result.resource.metadata.labels ?? {}) : {};
}
