// Shows that an IP set's members are counted, never overlap, and that its deltas lead exactly from one delivery to the next.

import assert from 'node:assert/strict';
import { elementsOf } from '../../../felix/calc/few.ts';
import { AddressPortMembers, PrefixMembers } from '../../../felix/calc/members.ts';
import { type PooledPrefix, PrefixPool } from '../../../felix/calc/prefix-pool.ts';
import type { Family } from '../../../net/address.ts';
import { formatPrefix, hostPrefix, type Prefix, parsePrefixOrAddress, prefixCovers } from '../../../net/prefix.ts';
import { crowdedPrefix, randomInt, seededRandom } from '../../net/random.ts';
import { memberText } from './output-state.ts';

function pooled(pool: PrefixPool, prefix: Prefix): PooledPrefix {
  const [one] = elementsOf(pool.acquire([prefix]));
  if (!one) throw new Error('a pool gives what is asked for');
  return one;
}

const prefix = (text: string): Prefix => {
  const parsed = parsePrefixOrAddress(text);
  if (!parsed) throw new Error(text);
  return parsed;
};

describe('members of an IP set', () => {
  it('hide what another member covers, and show it again', () => {
    const pool = new PrefixPool();
    const members = new PrefixMembers();
    const [host, wide, all] = ['10.1.2.3', '10.0.0.0/8', '0.0.0.0/0'].map((text) => pooled(pool, prefix(text)));
    if (!host || !wide || !all) throw new Error();
    const step = (change: () => void): string => {
      change();
      const { added, removed } = members.takeDelta();
      return [
        ...added.map((member) => `+${memberText(member)}`),
        ...removed.map((member) => `-${memberText(member)}`),
      ].join(' ');
    };
    assert.equal(
      step(() => members.add(host)),
      '+10.1.2.3/32',
    );
    assert.equal(
      step(() => members.add(wide)),
      '+10.0.0.0/8 -10.1.2.3/32',
    );
    assert.equal(
      step(() => members.add(wide)),
      '',
    );
    assert.equal(
      step(() => members.add(all)),
      '+0.0.0.0/0 -10.0.0.0/8',
    );
    assert.equal(
      step(() => members.remove(wide)),
      '',
    );
    assert.equal(
      step(() => members.remove(all)),
      '+10.0.0.0/8 -0.0.0.0/0',
    );
    assert.equal(
      step(() => members.remove(wide)),
      '+10.1.2.3/32 -10.0.0.0/8',
    );
    assert.equal(
      step(() => {
        members.remove(host);
        members.add(host);
      }),
      '',
    );
    assert.equal(
      step(() => members.remove(host)),
      '-10.1.2.3/32',
    );
  });

  for (const family of [4, 6] as const satisfies readonly Family[]) {
    it(`agree with an obvious twin under random changes, IPv${family}`, () => {
      const seed = Number(process.env['SEED'] ?? 11);
      const random = seededRandom(seed);
      const pool = new PrefixPool();
      const members = new PrefixMembers();
      const counts = new Map<PooledPrefix, number>();
      const delivered = new Set<string>();
      for (let round = 0; round < 20_000; round++) {
        const crowded = crowdedPrefix(random, family);
        const one = pooled(pool, random() < 0.5 ? crowded : hostPrefix(crowded.address));
        const count = counts.get(one) ?? 0;
        if (random() < 0.5) {
          members.add(one);
          counts.set(one, count + 1);
        } else if (count > 0) {
          members.remove(one);
          if (count === 1) counts.delete(one);
          else counts.set(one, count - 1);
        }
        if (randomInt(random, 5) > 0) continue;
        const delta = members.takeDelta();
        for (const member of delta.removed) assert.ok(delivered.delete(memberText(member)), `seed ${seed}`);
        for (const member of delta.added) assert.ok(!delivered.has(memberText(member)), `seed ${seed}`);
        for (const member of delta.added) delivered.add(memberText(member));
        if (round % 50 > 0) continue;
        const present = [...counts.keys()];
        const expected = present
          .filter((inner) => !present.some((outer) => outer !== inner && prefixCovers(outer, inner)))
          .map(formatPrefix);
        assert.deepEqual([...delivered].sort(), expected.sort(), `seed ${seed}, round ${round}`);
        assert.deepEqual(members.list().map(memberText).sort(), expected.sort(), `seed ${seed}, round ${round}`);
      }
    });
  }

  it('count named ports by address, protocol and number', () => {
    const members = new AddressPortMembers();
    members.add(1, 6, 80);
    members.add(1, 6, 80);
    members.add(1n, 6, 80);
    assert.deepEqual(members.takeDelta().added.map(memberText), ['0.0.0.1,6:80', '::1,6:80']);
    members.remove(1, 6, 80);
    assert.deepEqual(members.takeDelta(), { added: [], removed: [] });
    members.remove(1, 6, 80);
    members.add(1, 6, 80);
    assert.deepEqual(members.takeDelta(), { added: [], removed: [] });
    members.remove(1, 6, 80);
    assert.deepEqual(members.takeDelta().removed.map(memberText), ['0.0.0.1,6:80']);
  });
});

describe('prefix pool', () => {
  it('keeps a prefix that goes and comes before the sweep, and forgets it after', () => {
    const pool = new PrefixPool();
    for (const text of ['10.0.0.1', '255.255.255.255/32', 'fd00::/64']) {
      const first = pooled(pool, prefix(text));
      pool.release(first);
      assert.equal(pooled(pool, prefix(text)), first);
      pool.sweep();
      assert.equal(pooled(pool, prefix(text)), first);
      pool.release(first);
      pool.release(first);
      pool.sweep();
      assert.notEqual(pooled(pool, prefix(text)), first);
    }
  });
});
