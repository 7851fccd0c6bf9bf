// What of the datastore decides a node's BGP, by name: collected by agent/bgp.ts, read by speaker-settings.ts.

import type {
  BGPConfiguration,
  BGPFilter,
  BGPPeer,
  IPPool,
  Node,
  Profile,
  WorkloadEndpoint,
} from '../../datastore/model/index.ts';
import type { Prefix } from '../../net/prefix.ts';

export interface BgpResources {
  readonly nodes: ReadonlyMap<string, Node>;
  /** `default` and `node.<name>`. */
  readonly configurations: ReadonlyMap<string, BGPConfiguration>;
  readonly peers: ReadonlyMap<string, BGPPeer>;
  readonly filters: ReadonlyMap<string, BGPFilter>;
  readonly pools: ReadonlyMap<string, IPPool>;
  /** Workloads of this node by namespace and name, and profiles: only while a BGPPeer selects workloads. */
  readonly workloads: ReadonlyMap<string, WorkloadEndpoint>;
  readonly profiles: ReadonlyMap<string, Profile>;
  /** This node's blocks of confirmed affinity. */
  readonly blocks: readonly Prefix[];
  /** A password by Secret name and key; undefined when there is none. */
  readonly secret: (name: string, key: string) => string | undefined;
}

/** Something that keeps a resource, or a part of it, from taking effect. All else goes on. */
export interface ConfigProblem {
  /** "BGPPeer/rack-a". */
  readonly resource: string;
  /** "spec.filters[0]"; empty: the resource as a whole. */
  readonly field: string;
  readonly problem: string;
}
