// Why no address is given, said to people: each names the pool, block or owner that decided.

import type { IpamBlock } from '../datastore/model/ipam.ts';
import { type Address, type Family, formatAddress } from '../net/address.ts';
import { formatPrefix, type Prefix } from '../net/prefix.ts';
import { ownerOf } from './block.ts';
import type { Pool } from './pools.ts';
import type { AssignRefusal } from './request.ts';

export interface Refused {
  readonly kind: 'refused';
  readonly reason: AssignRefusal;
  readonly message: string;
}

export function refuseNoPool(family: Family, passedOver: readonly string[]): Refused {
  const reasons = passedOver.length > 0 ? `: ${passedOver.join('; ')}` : ': there is none; create an IPPool';
  return { kind: 'refused', reason: 'no-pool', message: `no IPv${family} pool can serve this pod${reasons}` };
}

export function refuseExhausted(
  family: Family,
  pools: readonly Pool[],
  limit: number | undefined,
  strict: boolean,
): Refused {
  const names = pools.map((pool) => `${pool.name} (${formatPrefix(pool.prefix)})`).join(', ');
  const why =
    limit === undefined
      ? `all addresses of ${names} are in use or reserved`
      : `this node has its ${limit} blocks (maxBlocksPerHost) and they are full`;
  const hint = strict ? '; strict affinity forbids borrowing from other nodes’ blocks' : '';
  return { kind: 'refused', reason: 'exhausted', message: `no free IPv${family} address: ${why}${hint}` };
}

export function refuseTaken(block: IpamBlock, address: Address): Refused {
  const owner = ownerOf(block, address);
  const who =
    owner === undefined ? 'it was released a moment ago and cools down' : `${owner.handle_id ?? 'somebody'} has it`;
  return { kind: 'refused', reason: 'address-taken', message: `${formatAddress(address)} is not free: ${who}` };
}

export function refuseOutside(address: Address): Refused {
  return {
    kind: 'refused',
    reason: 'address-outside-pools',
    message: `${formatAddress(address)} is in no enabled IP pool`,
  };
}

export function refuseBorrowing(address: Address, prefix: Prefix, affinity: string | null): Refused {
  const holder = affinity ?? 'nobody';
  const message = `${formatAddress(address)} is of block ${formatPrefix(prefix)}, which belongs to ${holder}, and strict affinity forbids borrowing`;
  return { kind: 'refused', reason: 'address-taken', message };
}
