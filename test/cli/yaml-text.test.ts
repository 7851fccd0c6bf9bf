// Our YAML is the library's, to the letter: for texts with a meaning of their own, and for random documents.

import assert from 'node:assert/strict';
import { parse, stringify } from 'yaml';
import { YamlWriter } from '../../cli/output/yaml-text.ts';
import { type Random, seededRandom } from '../datastore/random.ts';

const options = { version: '1.1', sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false } as const;
const texts = [
  ...[
    '',
    ' ',
    'plain',
    'with blanks',
    'y',
    'No',
    'TRUE',
    'off',
    'null',
    '~',
    'NaN',
    '.inf',
    '<<',
    '=',
    '-',
    '--- x',
    '...',
  ],
  ...[
    '1',
    '0x1f',
    '0o7',
    '1_000',
    '1e3',
    '12:30:45',
    '2026-11-28',
    '2026-11-28T10:00:00Z',
    '10.0.0.0/8',
    '10.0.0.1',
    '10.0.0',
    '08',
    '0123',
    '3f0a8c52-6f1d-4c1e-9b6a-00000000000a',
    '00000000-0000-0000-0000-000000000001',
    '123456789012',
    '12345678901e5',
    '1234567890_12',
    '0b1010101010101',
    '123456789012a',
    '2026-11-28T10:00:00.5Z',
    '2026-11-28 10:00:00',
    'fd00::/48',
    '+1',
  ],
  ...[
    'a: b',
    'a:',
    ':a',
    'a #b',
    '#a',
    'a,b',
    '[a]',
    '{a}',
    '*a',
    '&a',
    '!a',
    '|',
    '>',
    "it's",
    '"a"',
    "'a'",
    '%a',
    '@a',
    '`a`',
  ],
  ...[
    "has(app) && role == 'web'",
    'all()',
    'cali0123456789a',
    'ee:ee:ee:ee:ee:ee',
    'a\tb',
    'ä€😀',
    '\u0007',
    'a\\b',
    'a ',
    ' a',
  ],
  ...['x'.repeat(300), 'two\nlines', 'ends\n', '\nbegins', 'blank\n\nline', '  indented\nlines', 'x '.repeat(100)],
];

describe('cli/output/yaml-text', () => {
  const writer = new YamlWriter(stringify);
  const check = (value: unknown): void => {
    assert.equal(writer.document(value), stringify(value, options));
    const list = `items:\n${writer.item(value)}`;
    assert.deepEqual(parse(list, { version: '1.1' }), {
      items: [parse(stringify(value, options), { version: '1.1' })],
    });
  };

  for (const text of texts) {
    it(`writes ${JSON.stringify(text.slice(0, 30))} as the library does, wherever it is`, () => {
      check({ a: text, list: [text, text], deep: { list: [{ a: text, b: 1 }] } });
      if (!text.includes('\n') && text !== '<<') check({ [text]: text });
    });
  }

  it('writes items of a list as the library does', () => {
    const items = [{ b: 1, a: { c: [1, 2] } }, { list: [[1, [2]], [], {}] }];
    assert.equal(`items:\n${items.map((item) => writer.item(item)).join('')}`, stringify({ items }, options));
  });

  for (const seed of [1, 2, 3]) {
    it(`writes random documents as the library does (seed ${seed})`, () => {
      const random = seededRandom(seed);
      for (let i = 0; i < 300; i++) check({ root: randomValue(random, 4) });
    });
  }
});

function randomValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 0 ? 9 : 6);
  const many = <T>(make: () => T): T[] => Array.from({ length: random.below(4) }, make);
  if (kind <= 2) return random.pick(texts);
  if (kind === 3) return random.pick([0, 1, -7, 64512, 1.5, 1e21, true, false, null]);
  if (kind === 4) return undefined;
  if (kind === 5) return `word-${random.below(100)}`;
  if (kind === 6) return many(() => randomValue(random, depth - 1) ?? null);
  const names = many(() => random.pick(['name', 'spec', 'a/b', 'projectcalico.org/x', '80', 'y', 'with blank', 'Z']));
  return Object.fromEntries(names.map((name) => [name, randomValue(random, depth - 1)]));
}
