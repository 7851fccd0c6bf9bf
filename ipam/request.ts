// What is asked of the allocator, what it must know to answer, and what it answers.

import type { Compare, Operation, Revision } from '../datastore/kv.ts';
import type { IpamConfig } from '../datastore/model/ipam.ts';
import type { Address, Family } from '../net/address.ts';
import type { Labels, Pool } from './pools.ts';

/** What the allocator must know of the cluster; the agent feeds it from a syncer, a command reads it once. */
export interface IpamView {
  pools(): readonly Pool[];
  config(): IpamConfig;
  nodeLabels(): Labels;
  /** Inside an IPReservation: never given automatically. */
  isReserved(address: Address): boolean;
}

export interface AssignRequest {
  /** Owner's id: `<network>.<container id>` for a pod. */
  readonly handle: string;
  /** How many of each family; with `addresses`, those count first. */
  readonly count: Readonly<Partial<Record<Family, number>>>;
  /** These very addresses. */
  readonly addresses?: readonly Address[];
  /** Names or prefixes of the pools to use. */
  readonly pools?: readonly string[];
  readonly namespaceLabels?: Labels;
  readonly attributes: Readonly<Record<string, string>>;
  /** What else is to be written in the same transaction, once the addresses are known. */
  readonly also?: (addresses: readonly Address[]) => {
    readonly compare: readonly Compare[];
    readonly then: readonly Operation[];
  };
}

export type AssignRefusal = 'no-pool' | 'exhausted' | 'address-taken' | 'address-outside-pools' | 'conflict';

export type AssignResult =
  | { readonly kind: 'assigned'; readonly addresses: readonly Address[]; readonly revision: Revision }
  | { readonly kind: 'refused'; readonly reason: AssignRefusal; readonly message: string };
