// PrefixMap and the merging of prefixes, against slow and obvious twins under random operations.

import assert from 'node:assert/strict';
import { addressPlus, type Family, widthOf } from '../../net/address.ts';
import { PrefixMap } from '../../net/lpm.ts';
import {
  comparePrefixes,
  familyOfPrefix,
  formatPrefix,
  lastAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
} from '../../net/prefix.ts';
import { mergePrefixes, mergeToRanges, PrefixUnion, rangeToPrefixes } from '../../net/ranges.ts';
import { crowdedPrefix, randomInt, seededRandom } from './random.ts';

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

const texts = (prefixes: Iterable<Prefix>): string[] => Array.from(prefixes, formatPrefix);

/** A list that is searched from end to end. */
class SlowMap {
  entries: { prefix: Prefix; value: number }[] = [];

  set(prefix: Prefix, value: number): void {
    this.delete(prefix);
    this.entries.push({ prefix, value });
    this.entries.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  }

  delete(prefix: Prefix): void {
    this.entries = this.entries.filter((entry) => comparePrefixes(entry.prefix, prefix) !== 0);
  }
}

describe('PrefixMap', () => {
  it('finds the longest prefix', () => {
    const map = new PrefixMap<string>();
    map.set(prefix('10.0.0.0/8'), 'eight');
    map.set(prefix('10.1.0.0/16'), 'sixteen');
    map.set(prefix('10.1.2.3/32'), 'host');
    map.set(prefix('::/0'), 'all of IPv6');
    assert.equal(map.match(0x0a010203)?.value, 'host');
    assert.equal(map.match(0x0a010204)?.value, 'sixteen');
    assert.equal(map.match(0x0aff0000)?.value, 'eight');
    assert.equal(map.match(0x0b000000), undefined);
    assert.equal(map.match(1n)?.value, 'all of IPv6');
    assert.deepEqual(
      map.covering(prefix('10.1.2.0/24')).map(({ value }) => value),
      ['eight', 'sixteen'],
    );
    assert.deepEqual(texts(Array.from(map.covered(prefix('10.0.0.0/12')), (entry) => entry.prefix)), [
      '10.1.0.0/16',
      '10.1.2.3/32',
    ]);
    assert.deepEqual(texts(Array.from(map.outermostCovered(prefix('0.0.0.0/0')), (entry) => entry.prefix)), [
      '10.0.0.0/8',
    ]);
  });

  for (const family of [4, 6] as const) {
    it(`agrees with the slow twin under random operations, IPv${family}`, () => agreesWithTwin(family));
  }
});

function agreesWithTwin(family: Family): void {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const map = new PrefixMap<number>();
    const twin = new SlowMap();
    for (let step = 0; step < 300; step++) {
      const at = crowdedPrefix(random, family);
      const existed = twin.entries.some((entry) => comparePrefixes(entry.prefix, at) === 0);
      if (random() < 0.6) {
        assert.equal(map.set(at, step), !existed, `seed ${seed} step ${step}`);
        twin.set(at, step);
      } else {
        assert.equal(map.delete(at), existed, `seed ${seed} step ${step}`);
        twin.delete(at);
      }
      const asked = crowdedPrefix(random, family);
      const address = addressPlus(asked.address, randomInt(random, 1000));
      const message = `seed ${seed} step ${step} ${formatPrefix(asked)}`;
      assert.equal(map.size, twin.entries.length, message);
      assert.deepEqual(
        map.match(address),
        twin.entries.filter((e) => prefixContains(e.prefix, address)).at(-1),
        message,
      );
      assert.deepEqual(
        map.get(asked),
        twin.entries.find((e) => comparePrefixes(e.prefix, asked) === 0)?.value,
        message,
      );
      assert.deepEqual(
        map.covering(asked),
        twin.entries.filter((e) => prefixCovers(e.prefix, asked)),
        message,
      );
      const inside = twin.entries.filter((e) => prefixCovers(asked, e.prefix));
      assert.deepEqual([...map.covered(asked)], inside, message);
      const outermost = inside.filter((e) => !inside.some((o) => o !== e && prefixCovers(o.prefix, e.prefix)));
      assert.deepEqual([...map.outermostCovered(asked)], outermost, message);
    }
    assert.deepEqual([...map], twin.entries, `seed ${seed}`);
  }
}

describe('merging', () => {
  it('drops what is covered and joins halves', () => {
    const merged = (...list: string[]): string[] => texts(mergePrefixes(list.map(prefix)));
    assert.deepEqual(merged('10.0.0.0/25', '10.0.0.128/25'), ['10.0.0.0/24']);
    assert.deepEqual(merged('10.0.0.128/25', '10.0.1.0/24', '10.0.0.0/25', '10.0.0.3/32'), ['10.0.0.0/23']);
    assert.deepEqual(merged('10.0.1.0/24', '10.0.2.0/24'), ['10.0.1.0/24', '10.0.2.0/24']);
    assert.deepEqual(merged('0.0.0.0/1', '128.0.0.0/1', '::/1'), ['0.0.0.0/0', '::/1']);
  });

  it('makes ranges, and prefixes from ranges', () => {
    assert.deepEqual(mergeToRanges(['10.0.1.0/24', '10.0.2.0/24'].map(prefix)), [
      { first: 0x0a000100, last: 0x0a0002ff },
    ]);
    assert.deepEqual(texts(rangeToPrefixes({ first: 0x0a000001, last: 0x0a000006 })), [
      '10.0.0.1/32',
      '10.0.0.2/31',
      '10.0.0.4/31',
      '10.0.0.6/32',
    ]);
    assert.deepEqual(texts(rangeToPrefixes({ first: 0, last: 0xffffffff })), ['0.0.0.0/0']);
    assert.deepEqual(texts(rangeToPrefixes({ first: 0n, last: (1n << 128n) - 1n })), ['::/0']);
  });

  it('keeps the same addresses, whatever the prefixes', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const family = seed % 2 ? 4 : 6;
      const list = Array.from({ length: randomInt(random, 12) }, () => crowdedPrefix(random, family));
      const merged = mergePrefixes(list);
      const holds = (prefixes: readonly Prefix[], inner: Prefix): boolean =>
        prefixes.some((p) => prefixCovers(p, inner));
      for (const member of list) assert.ok(holds(merged, member), `seed ${seed}`);
      for (const part of merged.flatMap((p) => pieces(p, family))) assert.ok(holds(list, part), `seed ${seed}`);
      for (const range of mergeToRanges(list))
        assert.deepEqual(mergePrefixes(rangeToPrefixes(range)), rangeToPrefixes(range));
      assert.deepEqual(
        mergeToRanges(list).flatMap(rangeToPrefixes).sort(comparePrefixes).map(lastAddress).at(-1),
        merged.map(lastAddress).at(-1),
      );
    }
  });
});

/** The smallest prefixes that crowdedPrefix makes, which are all inside it or all outside. */
function pieces(whole: Prefix, family: Family): Prefix[] {
  const length = family === 4 ? 22 : 66;
  if (whole.length >= length) return [whole];
  const step = 2 ** (widthOf(family) - length);
  return Array.from({ length: 2 ** (length - whole.length) }, (_, i) => ({
    address: family === 4 ? addressPlus(whole.address, i * step) : BigInt(whole.address) + BigInt(i) * BigInt(step),
    length,
  }));
}

describe('PrefixUnion', () => {
  it('shows the outermost members and says what changed', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seededRandom(seed);
      const union = new PrefixUnion();
      const members: Prefix[] = [];
      const shown = new Map<string, Prefix>();
      for (let step = 0; step < 150; step++) {
        const remove = members.length > 0 && random() < 0.45;
        const [member = crowdedPrefix(random, random() < 0.5 ? 4 : 6)] = remove
          ? members.splice(randomInt(random, members.length), 1)
          : [];
        if (!remove) members.push(member);
        const change = remove ? union.remove(member) : union.add(member);
        for (const p of change.removed) assert.ok(shown.delete(formatPrefix(p)), `seed ${seed} step ${step}`);
        for (const p of change.added) {
          for (const other of shown.values()) {
            assert.ok(
              familyOfPrefix(p) !== familyOfPrefix(other) || !prefixesOverlap(p, other),
              `seed ${seed} step ${step}`,
            );
          }
          shown.set(formatPrefix(p), p);
        }
        const wanted = members.filter((p) => !members.some((q) => q.length < p.length && prefixCovers(q, p)));
        assert.deepEqual([...shown.keys()].sort(), [...new Set(texts(wanted))].sort(), `seed ${seed} step ${step}`);
        assert.deepEqual(texts(union.prefixes()).sort(), [...shown.keys()].sort());
      }
    }
  });
});
