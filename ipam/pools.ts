// Which pools may serve a request, and for each that may not, why.
//
// A pool that the request names is used whatever its selectors and assignment mode say, as long as it is not disabled.

import type { Family } from '../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../net/prefix.ts';

export interface Pool {
  readonly name: string;
  readonly prefix: Prefix;
  /** Length of its blocks: 26 gives 64 addresses each. */
  readonly blockLength: number;
  readonly disabled: boolean;
  /** False when nobody gets addresses of it without naming it. */
  readonly automatic: boolean;
  /** What its allowedUses say of workloads. */
  readonly servesWorkloads: boolean;
  readonly selectsNode: (nodeLabels: Labels) => boolean;
  readonly selectsNamespace: (namespaceLabels: Labels) => boolean;
}

export type Labels = Readonly<Record<string, string>>;

export interface PoolQuery {
  readonly family: Family;
  /** Names or prefixes ("10.48.0.0/16") of the pools wanted; absent: any that fits. */
  readonly named?: readonly string[];
  readonly nodeLabels: Labels;
  readonly namespaceLabels: Labels;
}

export interface PoolChoice {
  readonly pools: readonly Pool[];
  /** One sentence for each pool of the family that was passed over, and for each name that is no pool. */
  readonly passedOver: readonly string[];
}

export function choosePools(all: readonly Pool[], query: PoolQuery): PoolChoice {
  const pools: Pool[] = [];
  const passedOver: string[] = [];
  for (const pool of all) {
    if (familyOfPrefix(pool.prefix) !== query.family) continue;
    const reason = reasonAgainst(pool, query);
    if (reason === undefined) pools.push(pool);
    else passedOver.push(`pool ${pool.name} (${formatPrefix(pool.prefix)}): ${reason}`);
  }
  for (const name of query.named ?? []) {
    if (!all.some((pool) => isNamed(pool, [name]))) passedOver.push(`there is no pool "${name}"`);
  }
  return { pools, passedOver };
}

const isNamed = (pool: Pool, names: readonly string[]): boolean =>
  names.includes(pool.name) || names.includes(formatPrefix(pool.prefix));

function reasonAgainst(pool: Pool, query: PoolQuery): string | undefined {
  if (pool.disabled) return 'it is disabled';
  if (query.named) return isNamed(pool, query.named) ? undefined : 'the request names other pools';
  if (!pool.servesWorkloads) return 'its allowedUses do not include Workload';
  if (!pool.automatic) return 'its assignmentMode is Manual and the request does not name it';
  if (!pool.selectsNode(query.nodeLabels)) return 'its nodeSelector does not match this node';
  if (!pool.selectsNamespace(query.namespaceLabels)) return 'its namespaceSelector does not match the namespace';
  return undefined;
}
