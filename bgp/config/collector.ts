// Keeps the resources that decide a node's BGP, from a syncer's updates. What cannot be read counts as missing, and is
// reported.

import {
  affinitiesOf,
  type BGPConfiguration,
  type BGPFilter,
  type BGPPeer,
  decodeResource,
  formatFault,
  type IPPool,
  type Kind,
  type Node,
  type Profile,
  parseAffinity,
  parseResourceKey,
  parseWorkloadEndpointName,
  partsOfAffinityKey,
  type ResourceOf,
  resourcePrefix,
  type WorkloadEndpoint,
} from '../../datastore/model/index.ts';
import type { SyncerUpdate } from '../../datastore/syncer.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';
import { hasWorkloadPeers } from './workloads.ts';

export class BgpCollector {
  readonly #nodeName: string;
  readonly #secret: BgpResources['secret'];
  readonly #nodes = new Map<string, Node>();
  readonly #configurations = new Map<string, BGPConfiguration>();
  readonly #peers = new Map<string, BGPPeer>();
  readonly #filters = new Map<string, BGPFilter>();
  readonly #pools = new Map<string, IPPool>();
  readonly #workloads = new Map<string, WorkloadEndpoint>();
  readonly #profiles = new Map<string, Profile>();
  readonly #blocks = new Map<string, Prefix>();
  readonly #problems = new Map<string, ConfigProblem>();

  constructor(nodeName: string, secret: BgpResources['secret']) {
    this.#nodeName = nodeName;
    this.#secret = secret;
  }

  /** What the syncer must follow. */
  prefixes(): string[] {
    const kinds: readonly Kind[] = ['Node', 'BGPConfiguration', 'BGPPeer', 'BGPFilter', 'IPPool'];
    return [
      ...kinds.map((kind) => resourcePrefix(kind)),
      affinitiesOf(this.#nodeName, 4),
      affinitiesOf(this.#nodeName, 6),
    ];
  }

  /** What must be followed as well, while wantsWorkloads(): a large cluster has very many of them. */
  workloadPrefixes(): string[] {
    return [resourcePrefix('WorkloadEndpoint'), resourcePrefix('Profile')];
  }

  /** A BGPPeer selects workloads. */
  get wantsWorkloads(): boolean {
    return hasWorkloadPeers(this.#peers);
  }

  forgetWorkloads(): void {
    this.#workloads.clear();
    this.#profiles.clear();
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const update of updates) this.#onUpdate(update);
  }

  resources(): BgpResources {
    return {
      nodes: this.#nodes,
      configurations: this.#configurations,
      peers: this.#peers,
      filters: this.#filters,
      pools: this.#pools,
      workloads: this.#workloads,
      profiles: this.#profiles,
      blocks: [...this.#blocks.values()],
      secret: this.#secret,
    };
  }

  /** Resources that cannot be read. */
  problems(): readonly ConfigProblem[] {
    return [...this.#problems.values()];
  }

  #onUpdate(update: SyncerUpdate): void {
    const affinity = partsOfAffinityKey(update.key);
    if (affinity) {
      const confirmed = update.value !== undefined && isConfirmed(update.value);
      if (confirmed) this.#blocks.set(update.key, affinity.prefix);
      else this.#blocks.delete(update.key);
      return;
    }
    const id = parseResourceKey(update.key);
    switch (id?.kind) {
      case 'Node':
        this.#keep('Node', id.name, update, this.#nodes);
        break;
      case 'BGPConfiguration':
        this.#keep('BGPConfiguration', id.name, update, this.#configurations);
        break;
      case 'BGPPeer':
        this.#keep('BGPPeer', id.name, update, this.#peers);
        break;
      case 'BGPFilter':
        this.#keep('BGPFilter', id.name, update, this.#filters);
        break;
      case 'WorkloadEndpoint':
        // Those of other nodes are not even decoded.
        if (parseWorkloadEndpointName(id.name)?.node !== this.#nodeName) break;
        this.#keep('WorkloadEndpoint', `${id.namespace ?? ''}/${id.name}`, update, this.#workloads);
        break;
      case 'Profile':
        this.#keep('Profile', id.name, update, this.#profiles);
        break;
      case 'IPPool':
        this.#keep('IPPool', id.name, update, this.#pools);
        break;
    }
  }

  #keep<K extends Kind>(kind: K, name: string, update: SyncerUpdate, into: Map<string, ResourceOf<K>>): void {
    this.#problems.delete(update.key);
    if (update.value === undefined) {
      into.delete(name);
      return;
    }
    const decoded = decodeResource(kind, { value: update.value, modRevision: update.revision });
    if (decoded.kind === 'valid') {
      into.set(name, decoded.resource);
      return;
    }
    into.delete(name);
    const problem = decoded.faults.map(formatFault).join('; ');
    this.#problems.set(update.key, { resource: `${kind}/${name}`, field: decoded.faults[0]?.path ?? '', problem });
  }
}

/** Pending and pendingDeletion blocks are not advertised: the block may be somebody else's a moment later. */
function isConfirmed(value: string): boolean {
  const affinity = parseAffinity(value);
  return affinity?.state === 'confirmed' && !affinity.deleted;
}
