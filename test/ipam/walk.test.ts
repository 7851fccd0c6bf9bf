// The walk over a pool's blocks: every block exactly once, inside the pool, in another order for another node.

import assert from 'node:assert/strict';
import { blocksOfPool } from '../../ipam/walk.ts';
import { formatPrefix, type Prefix, parsePrefix, prefixCovers } from '../../net/prefix.ts';

const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);

describe('ipam walk', () => {
  for (const [pool, blockLength, count] of [
    ['10.0.0.0/16', 26, 1024],
    ['10.0.0.0/26', 26, 1],
    ['255.255.255.0/24', 32, 256],
    ['fd00::/112', 122, 1024],
  ] as const) {
    it(`visits each of the ${count} blocks of ${pool} once, whoever walks`, () => {
      for (let node = 0; node < 20; node++) {
        const seen = new Set<string>();
        for (const block of blocksOfPool(prefix(pool), blockLength, `node-${node}`)) {
          assert.ok(prefixCovers(prefix(pool), block), formatPrefix(block));
          seen.add(formatPrefix(block));
        }
        assert.equal(seen.size, count);
      }
    });
  }

  it('starts elsewhere for another node', () => {
    const first = (node: string): string => {
      for (const block of blocksOfPool(prefix('10.0.0.0/16'), 26, node)) return formatPrefix(block);
      return assert.fail();
    };
    assert.notEqual(first('node-1'), first('node-2'));
    assert.equal(first('node-1'), first('node-1'));
  });
});
