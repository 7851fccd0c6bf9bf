// Shows which pods' routes are announced beside the blocks: those that no block of the node speaks for.

import assert from 'node:assert/strict';
import { announcedWorkloads } from '../../bgp/speaker/workload-routes.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { prefix } from './rib/harness.ts';

describe('routes to pods', () => {
  const blocks = [{ prefix: prefix('10.244.1.0/26'), blackhole: true, communities: [] }];
  const community = { kind: 'standard', value: 7 } as const;
  const settings = {
    inside: [prefix('10.244.0.0/16'), prefix('fd01::/48')],
    communities: [{ prefix: prefix('10.244.2.0/24'), communities: [community] }],
  };
  const fib = { priority: 1024, priority6: 2000 };

  const announced = (text: string, priority: number) =>
    announcedWorkloads([{ prefix: prefix(text), priority }], blocks, settings, fib).map((route) => [
      formatPrefix(route.prefix),
      route.blackhole,
      route.communities.length,
      route.priority,
    ]);

  const cases: readonly (readonly [string, string, number, boolean, number?])[] = [
    ['a pod inside a block of the node: the block speaks for it', '10.244.1.7/32', 0, false],
    ['a borrowed address', '10.244.9.7/32', 0, true],
    ['an address that no pool holds', '172.16.0.7/32', 0, false],
    ['a pod that has just moved here', '10.244.1.7/32', 512, true, 512],
    ['one whose route has the normal metric', '10.244.1.7/32', 1024, false],
    ['one of IPv6 whose route was given no metric', 'fd01::7/128', 1024, true],
  ];
  for (const [what, text, priority, expected, elevated] of cases) {
    it(`${expected ? 'are announced' : 'stay here'}: ${what}`, () => {
      assert.deepEqual(announced(text, priority), expected ? [[text, false, 0, elevated]] : []);
    });
  }

  it('carry the communities of their range', () => {
    assert.deepEqual(announced('10.244.2.9/32', 0), [['10.244.2.9/32', false, 1, undefined]]);
  });
});
