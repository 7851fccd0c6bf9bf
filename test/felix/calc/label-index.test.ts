// Shows that the label index finds what comparing every selector with every member finds, under random changes of members,
// parents and selectors.

import assert from 'node:assert/strict';
import { evaluate, selectorFrom } from '../../../datastore/model/index.ts';
import { elementsOf } from '../../../felix/calc/few.ts';
import { type LabelGroup, LabelIndex, type SelectorEntry } from '../../../felix/calc/label-index.ts';
import { indexed } from '../../../felix/calc/selectors.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

interface Member {
  readonly name: string;
}
interface Placed {
  readonly member: Member;
  readonly labels: Readonly<Record<string, string>>;
  readonly parents: readonly string[];
  readonly group: LabelGroup<Member, string>;
}

const selectorTexts = [
  'all()',
  "a == '1'",
  "a == '1' && b == '2'",
  "a in {'1', '2'}",
  "a in {'1', '2'} && has(b)",
  "a == '1' || b == '1'",
  "a == '1' || a == '2'",
  "a != '1'",
  '!has(a)',
  'has(a) && !has(b)',
  "a not in {'1'} && has(c)",
  "a starts with '1'",
  "p == '1'",
  "p == '1' && a == '2'",
  'has(p) || has(c)',
  "a == '1' && a == '2'",
  "!(a == '1' || b == '2')",
];

describe('label index', function () {
  this.timeout(60_000);
  it('agrees with comparing everything with everything', () => {
    const seed = Number(process.env['SEED'] ?? 7);
    const random = seededRandom(seed);
    const pick = <T>(values: readonly T[]): T => {
      const value = values[randomInt(random, values.length)];
      if (value === undefined) throw new Error('nothing to pick from');
      return value;
    };
    const index = new LabelIndex<Member, string>();
    const members = new Map<string, Placed>();
    const parents = new Map<string, ReadonlyMap<string, string>>();
    const entries = new Map<string, SelectorEntry<Member, string>>();
    const randomLabels = (names: readonly string[]): Record<string, string> => {
      const labels: Record<string, string> = {};
      for (const name of names) if (random() < 0.5) labels[name] = String(1 + randomInt(random, 3));
      return labels;
    };
    const place = (name: string): void => {
      const before = members.get(name);
      const labels = randomLabels(['a', 'b', 'c', 'p']);
      const parentNames = ['x', 'y'].filter(() => random() < 0.4);
      const member = before?.member ?? { name };
      const group = index.groupOf({ given: labels }, parentNames);
      index.enter(member, group);
      if (before && before.group !== group) index.leave(member, before.group);
      members.set(name, { member, labels, parents: parentNames, group });
    };
    const operations: (() => void)[] = [
      () => place(`m${randomInt(random, 12)}`),
      () => place(`m${randomInt(random, 12)}`),
      () => {
        const name = `m${randomInt(random, 12)}`;
        const placed = members.get(name);
        if (placed) index.leave(placed.member, placed.group);
        members.delete(name);
      },
      () => {
        const name = pick(['x', 'y']);
        const labels = random() < 0.3 ? undefined : new Map(Object.entries(randomLabels(['a', 'p'])));
        index.setParent(name, labels);
        if (labels) parents.set(name, labels);
        else parents.delete(name);
      },
      () => {
        const text = pick(selectorTexts);
        const entry = index.entryOf(indexed(selectorFrom(text)));
        entry.subscribers.add('test');
        entries.set(text, entry);
      },
      () => {
        const text = pick(selectorTexts);
        const entry = entries.get(text);
        if (entry) index.unsubscribe(entry, 'test');
        entries.delete(text);
      },
    ];
    const labelOf = (placed: Placed, name: string): string | undefined => {
      if (placed.labels[name] !== undefined) return placed.labels[name];
      for (const parent of placed.parents) {
        const value = parents.get(parent)?.get(name);
        if (value !== undefined) return value;
      }
      return undefined;
    };
    for (let round = 0; round < 5000; round++) {
      pick(operations)();
      for (const [text, entry] of entries) {
        const found = new Set<string>();
        for (const group of entry.groups) for (const { name } of elementsOf(group.members)) found.add(name);
        const { expression } = selectorFrom(text);
        const expected = [...members.values()]
          .filter((placed) => evaluate(expression, { get: (name) => labelOf(placed, name) }))
          .map(({ member }) => member.name);
        assert.deepEqual([...found].sort(), expected.sort(), `seed ${seed}, round ${round}, ${text}`);
      }
    }
    for (const placed of members.values()) index.leave(placed.member, placed.group);
    for (const entry of entries.values()) index.unsubscribe(entry, 'test');
    assert.equal(index.groupCount, 0);
    assert.equal(index.selectorCount, 0);
  });
});
