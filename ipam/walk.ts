// The order in which a node looks for a free block in a pool: a pseudo-random walk over all of the pool's blocks that
// depends on the node's name, so that nodes starting together rarely want the same block.

import { createHash } from 'node:crypto';
import { familyOfPrefix, type Prefix } from '../net/prefix.ts';

/** Blocks of a pool are counted up to here; nobody fills an IPv6 pool's 2^58 blocks. */
const maxBlocksWalked = 2 ** 24;

/** Every block of the pool once, in the node's own order. */
export function* blocksOfPool(pool: Prefix, blockLength: number, node: string): Generator<Prefix> {
  const count = Math.min(2 ** (blockLength - pool.length), maxBlocksWalked);
  const seed = createHash('sha256').update(node).digest();
  const start = seed.readUInt32BE(0) % count;
  // Any odd stride visits all of a power of two.
  const stride = ((seed.readUInt32BE(4) | 1) >>> 0) % count || 1;
  for (let i = 0, index = start; i < count; i++, index = (index + stride) % count) {
    yield blockAt(pool, blockLength, index);
  }
}

function blockAt(pool: Prefix, blockLength: number, index: number): Prefix {
  const hostBits = (familyOfPrefix(pool) === 4 ? 32 : 128) - blockLength;
  const address =
    typeof pool.address === 'number'
      ? pool.address + index * 2 ** hostBits
      : pool.address + (BigInt(index) << BigInt(hostBits));
  return { address, length: blockLength };
}
