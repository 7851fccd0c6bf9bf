// The calculation graph: the datastore's changes in, what this node's dataplane must know out.
//
//   raw updates ─ decode.ts ─┬─ endpoints, network sets ──► ip-sets.ts ─────────────────────┐
//                            ├─ profiles ─ labels ─► (both indexes), rules ─► active-rules.ts ┤
//                            ├─ policies, tiers ─► local-endpoints.ts ─► active-rules.ts ─────┼─► flush(): CalcUpdate[]
//                            ├─ endpoints of this node ─► local-endpoints.ts ─────────────────┤
//                            └─ pools, nodes, felix configurations ─► facts.ts ───────────────┘
//
// It is pure and incremental: no clock and no I/O, the output follows from the present state alone, and a change costs
// what it touches. Nothing comes out before the first in-sync, nor while ClusterInformation says datastoreReady: false.

import {
  builtInProfile,
  type Fault,
  type Resource,
  type ResourceId,
  resourcePrefix,
} from '../../datastore/model/index.ts';
import type { ConfigNotes, ConfigSources } from '../config.ts';
import { ActiveRules } from './active-rules.ts';
import { type Decoded, decode, type IsLocal, type RawUpdate } from './decode.ts';
import { hostEndpointKind, workloadKind } from './endpoint-kinds.ts';
import { Facts } from './facts.ts';
import { unreadableLabelsPolicy } from './fail-closed.ts';
import {
  type AnyPolicy,
  hostEndpointSource,
  hostInput,
  localHostEndpoint,
  localWorkload,
  networkSetSource,
  policyId,
  policyInput,
  profileInput,
  tierInput,
  workloadSource,
} from './inputs.ts';
import { IpSets } from './ip-sets.ts';
import { LocalEndpoints } from './local-endpoints.ts';
import type { CalcUpdate, IpSetId } from './output.ts';
import { RemoteSources } from './remote-sources.ts';
import { type TierInput, Tiers } from './tiers.ts';

export type { RawUpdate } from './decode.ts';

export interface CalcGraphOptions {
  readonly nodeName: string;
  /** Which endpoints to work for in place of those of the node: for looking at a cluster from outside. */
  readonly isLocal?: (endpoint: ResourceId, node: string | undefined) => boolean;
  /** Felix parameters from outside the datastore. */
  readonly config?: ConfigSources;
}

export interface CalcGraph {
  /** Takes changes in, in any order and as often as they come. Cheap: most of the work is done by flush. */
  onUpdates(updates: readonly RawUpdate[]): void;
  /** From here on, what onUpdates has seen is a complete picture. */
  onInSync(): void;
  /** What changed since the last flush, in the order in which output.ts promises it. */
  flush(): readonly CalcUpdate[];
  /** Resources that are not valid, by key, and what is wrong with them. */
  readonly faults: ReadonlyMap<string, readonly Fault[]>;
  /** What to tell about the parameters of the last `config` update. */
  readonly configNotes: ConfigNotes;
  /** The selector (and named port) behind an IP set in use, for people. */
  describeIpSet(id: IpSetId): string | undefined;
  /** False while ClusterInformation tells agents to leave the kernel as it is. */
  readonly isDatastoreReady: boolean;
}

export function createCalcGraph(options: CalcGraphOptions): CalcGraph {
  return new Graph(options);
}

class Graph implements CalcGraph {
  readonly faults = new Map<string, readonly Fault[]>();
  isDatastoreReady = true;
  readonly #nodeName: string;
  readonly #isLocal: IsLocal;
  readonly #ipSets = new IpSets();
  readonly #tiers = new Tiers();
  readonly #workloads = new LocalEndpoints(workloadKind(this.#tiers));
  readonly #hostEndpoints = new LocalEndpoints(hostEndpointKind(this.#tiers));
  readonly #rules: ActiveRules;
  readonly #facts: Facts;
  readonly #remotes: RemoteSources;
  readonly #locals = [this.#workloads, this.#hostEndpoints] as const;
  #inSync: 'not-yet' | 'to-deliver' | 'delivered' = 'not-yet';

  constructor(options: CalcGraphOptions) {
    this.#nodeName = options.nodeName;
    this.#isLocal = options.isLocal ?? ((_, node) => node === options.nodeName);
    this.#remotes = new RemoteSources(this.#isLocal);
    this.#facts = new Facts(options.nodeName, options.config);
    this.#rules = new ActiveRules(this.#ipSets, {
      isPolicyInUse: (id) => this.#locals.some((local) => local.policiesInUse.has(id)),
      isProfileInUse: (name) => this.#locals.some((local) => local.profilesInUse.has(name)),
      isTierKnown: (name) => this.#tiers.isKnown(name),
    });
    const { place, rules } = unreadableLabelsPolicy();
    for (const local of this.#locals) local.setPolicy(place);
    this.#rules.setPolicy(rules);
    this.#rules.setProfile(builtInProfile.name, builtInProfile.rules);
  }

  onUpdates(updates: readonly RawUpdate[]): void {
    for (const update of updates) {
      if (this.#takeRemote(update)) continue;
      const decoded = decode(update, this.#isLocal);
      if (!decoded) continue;
      if (decoded.faults.length > 0) this.faults.set(update.key, decoded.faults);
      else this.faults.delete(update.key);
      this.#take(update, decoded);
    }
  }

  /** Nearly all of a large cluster. */
  #takeRemote({ key, value }: RawUpdate): boolean {
    const source = value === undefined ? undefined : this.#remotes.read(key, value);
    if (!source) return false;
    const isNew = this.#ipSets.setSource(key, source);
    if (this.faults.size > 0) this.faults.delete(key);
    // It may have been of this node until now.
    if (!isNew) this.#workloads.removeEndpoint(key.slice(workloadKeyPrefix.length));
    return true;
  }

  get configNotes(): ConfigNotes {
    return this.#facts.configNotes;
  }

  describeIpSet(id: IpSetId): string | undefined {
    return this.#ipSets.describe(id);
  }

  onInSync(): void {
    if (this.#inSync === 'not-yet') this.#inSync = 'to-deliver';
  }

  #take(update: RawUpdate, { id, resource }: Decoded): void {
    if (!resource) {
      this.#remove(update.key, id);
      return;
    }
    switch (resource.kind) {
      case 'WorkloadEndpoint': {
        this.#ipSets.setSource(update.key, workloadSource(resource));
        const local = this.#isLocal(id, resource.spec.node) ? localWorkload(resource, update.revision) : undefined;
        if (local) this.#workloads.setEndpoint(local);
        else this.#workloads.removeEndpoint(workloadId(id));
        return;
      }
      case 'HostEndpoint':
        this.#ipSets.setSource(update.key, hostEndpointSource(resource));
        if (this.#isLocal(id, resource.spec.node)) {
          this.#hostEndpoints.setEndpoint(localHostEndpoint(resource, update.revision));
        } else this.#hostEndpoints.removeEndpoint(id.name);
        return;
      case 'NetworkSet':
      case 'GlobalNetworkSet':
        this.#ipSets.setSource(update.key, networkSetSource(resource));
        return;
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'StagedNetworkPolicy':
      case 'StagedGlobalNetworkPolicy':
      case 'StagedKubernetesNetworkPolicy':
        this.#setPolicy(id, resource);
        return;
      case 'Profile':
        this.#setProfile(id.name, profileInput(resource));
        return;
      default:
        this.#takeFact(id, resource);
    }
  }

  #takeFact(id: ResourceId, resource: Resource): void {
    switch (resource.kind) {
      case 'Tier':
        this.#setTier(id.name, tierInput(resource));
        return;
      case 'IPPool':
        this.#facts.setPool(id.name, resource);
        return;
      case 'Node':
        this.#facts.setHost(hostInput(resource));
        if (id.name === this.#nodeName) this.#facts.setNodeLabels(resource.metadata.labels ?? {});
        return;
      case 'FelixConfiguration':
        this.#facts.setFelixConfiguration(id.name, resource);
        return;
      case 'ClusterInformation':
        if (id.name === 'default') this.isDatastoreReady = resource.spec.datastoreReady !== false;
        return;
      default:
    }
  }

  #remove(key: string, id: ResourceId): void {
    switch (id.kind) {
      case 'WorkloadEndpoint':
        this.#ipSets.removeSource(key);
        this.#workloads.removeEndpoint(workloadId(id));
        return;
      case 'HostEndpoint':
        this.#ipSets.removeSource(key);
        this.#hostEndpoints.removeEndpoint(id.name);
        return;
      case 'NetworkSet':
      case 'GlobalNetworkSet':
        this.#ipSets.removeSource(key);
        return;
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'StagedNetworkPolicy':
      case 'StagedGlobalNetworkPolicy':
      case 'StagedKubernetesNetworkPolicy':
        this.#setPolicy(id, undefined);
        return;
      case 'Profile':
        this.#setProfile(id.name, undefined);
        return;
      case 'Tier':
        this.#setTier(id.name, undefined);
        return;
      case 'IPPool':
        this.#facts.setPool(id.name, undefined);
        return;
      case 'Node':
        this.#facts.removeHost(id.name);
        if (id.name === this.#nodeName) this.#facts.setNodeLabels({});
        return;
      case 'FelixConfiguration':
        this.#facts.setFelixConfiguration(id.name, undefined);
        return;
      case 'ClusterInformation':
        // Without the object nobody says that the datastore is not ready.
        if (id.name === 'default') this.isDatastoreReady = true;
        return;
      default:
    }
  }

  #setPolicy(id: ResourceId, policy: AnyPolicy | undefined): void {
    const input = policy && policyInput(policy);
    if (input) {
      for (const local of this.#locals) local.setPolicy(input.place);
      this.#rules.setPolicy(input.rules);
    } else {
      const policy = policyId(id.kind, id.namespace ?? '', id.name);
      for (const local of this.#locals) local.removePolicy(policy);
      this.#rules.removePolicy(policy);
    }
  }

  #setProfile(name: string, input: ReturnType<typeof profileInput> | undefined): void {
    if (name === builtInProfile.name) return;
    this.#rules.setProfile(name, input?.rules);
    this.#ipSets.setParentLabels(name, input?.labels);
    for (const local of this.#locals) local.setParentLabels(name, input?.labels);
  }

  #setTier(name: string, tier: TierInput | undefined): void {
    if (!this.#tiers.set(name, tier)) return;
    for (const local of this.#locals) for (const id of local.tierChanged(name)) this.#rules.markPolicy(id);
  }

  flush(): readonly CalcUpdate[] {
    if (this.#inSync === 'not-yet' || !this.isDatastoreReady) return [];
    for (const local of this.#locals) {
      local.arrange();
      for (const id of local.policiesInUse.takeChanged()) this.#rules.markPolicy(id);
      for (const name of local.profilesInUse.takeChanged()) this.#rules.markProfile(name);
    }
    this.#remotes.forget();
    const facts = this.#facts.flush();
    const rules = this.#rules.flush();
    const ipSets = this.#ipSets.flush();
    const workloads = this.#workloads.flush();
    const hostEndpoints = this.#hostEndpoints.flush();
    const updates: CalcUpdate[] = [];
    // What is referred to comes before what refers to it, and goes after.
    const parts = [facts, ipSets, rules, workloads, hostEndpoints];
    for (const { additions } of parts) for (const update of additions) updates.push(update);
    for (const { removals } of parts.reverse()) for (const update of removals) updates.push(update);
    if (this.#inSync === 'to-deliver') {
      updates.push({ kind: 'in-sync' });
      this.#inSync = 'delivered';
    }
    return updates;
  }
}

const workloadKeyPrefix = resourcePrefix('WorkloadEndpoint');
const workloadId = (id: ResourceId): string => `${id.namespace ?? ''}/${id.name}`;
