// Selectors: grammar, canonical text, id, evaluation, and what they imply for indexes.

import assert from 'node:assert/strict';
import {
  allOf,
  labelsFrom,
  matches,
  parseSelector,
  restrictionsOf,
  selectorFrom,
  selectorId,
  withLabelPrefix,
} from '../../../datastore/model/selector/index.ts';

describe('selector text', () => {
  const canonical: readonly (readonly [string, string])[] = [
    ['', 'all()'],
    ['  all( ) ', 'all()'],
    ["a == 'b'", 'a == "b"'],
    [`a == '"'`, `a == '"'`],
    ["a in {'z', 'b','b'}", 'a in {"b", "z"}'],
    ["a not  in {'x',}", 'a not in {"x"}'],
    ['a in {}', 'a in {}'],
    ["a startswith 'x' && b ends with 'y'", '(a starts with "x" && b ends with "y")'],
    ["a == '1' || b == '2' && c == '3'", '(a == "1" || (b == "2" && c == "3"))'],
    ["(a == '1' || b == '2') && c == '3'", '((a == "1" || b == "2") && c == "3")'],
    ['!!has(a)', 'has(a)'],
    ["! a contains 'x'", '!a contains "x"'],
    ['has( example.com/role-1_x.y )', 'has(example.com/role-1_x.y)'],
    ['((((global()))))', 'global()'],
    // Words that are operators only after a label.
    ["in in {'in'} && contains != 'not'", '(in in {"in"} && contains != "not")'],
    ["all == 'x'", 'all == "x"'],
  ];
  for (const [text, expected] of canonical) {
    it(`${text} → ${expected}`, () => {
      const { text: formatted } = selectorFrom(text);
      assert.equal(formatted, expected);
      assert.equal(selectorFrom(formatted).text, expected, 'canonical text is its own canonical text');
    });
  }

  it('keeps a double negation through parentheses, as Calico does', () => {
    assert.equal(selectorFrom('!(!has(a))').text, '!!has(a)');
  });

  const refused: readonly (readonly [string, RegExp, number])[] = [
    ["a = 'b'", /"=" alone/, 2],
    ["a == 'b", /does not end/, 5],
    ['a == b', /value in quotes/, 5],
    ['has()', /names no label/, 0],
    ['has(a', /not closed/, 5],
    ['a', /operator is expected/, 1],
    ["a == 'b' c", /left over/, 9],
    ["(a == 'b'", /"\)" is missing/, 9],
    ["a == 'b' &&", /term is missing/, 11],
    ["a == 'b' & c == 'd'", /"&" alone/, 9],
    ["a in {'b' 'c'}", /"," or "}"/, 10],
    ["a in 'b'", /"{" is expected/, 5],
    ["a == 'b'\n", /line break/, 8],
    ['a % b', /operator is expected/, 2],
    ['%', /not expected/, 0],
    ['all(x)', /no argument/, 0],
    ['('.repeat(500), /nested/, 201],
  ];
  for (const [text, problem, position] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))}`, () => {
      const parsed = parseSelector(text);
      assert.ok(parsed.kind === 'error');
      assert.match(parsed.problem, problem);
      assert.equal(parsed.position, position);
      assert.notEqual(parsed.remedy, '');
    });
  }

  it('has Calico’s id: SHA-224 over "s:" and the canonical text', () => {
    assert.equal(selectorId(selectorFrom('')), 's:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug');
  });

  it('prefixes labels and joins selectors', () => {
    const namespace = withLabelPrefix(selectorFrom("has(team) && env != 'dev'"), 'pcns.');
    assert.equal(namespace.text, '(has(pcns.team) && pcns.env != "dev")');
    assert.equal(allOf([namespace, selectorFrom('has(a)')]).text, '((has(pcns.team) && pcns.env != "dev") && has(a))');
    assert.equal(allOf([]).text, 'all()');
  });
});

describe('selector evaluation', () => {
  const labels = labelsFrom({ app: 'web', zone: 'eu-1', empty: '' });
  const cases: readonly (readonly [string, boolean])[] = [
    ['all()', true],
    ["app == 'web'", true],
    ["app == 'db'", false],
    ["gone == ''", false],
    ["empty == ''", true],
    ["gone != 'x'", true],
    ["app != 'web'", false],
    ["gone not in {'x'}", true],
    ["app not in {'web'}", false],
    ["app in {'db', 'web'}", true],
    ["gone in {'x'}", false],
    ['has(empty)', true],
    ['!has(gone)', true],
    ["zone starts with 'eu'", true],
    ["zone ends with '1'", true],
    ["zone contains 'u-'", true],
    ["gone contains ''", false],
    ["app == 'db' || zone == 'eu-1' && has(app)", true],
    ['has(toString)', false],
  ];
  for (const [text, expected] of cases) {
    it(`${text} is ${expected}`, () => assert.equal(matches(selectorFrom(text), labels), expected));
  }
});

describe('selector restrictions', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["a == 'x'", { a: { kind: 'one-of', oneOf: ['x'] } }],
    ["a in {'x','y'} && has(b)", { a: { kind: 'one-of', oneOf: ['x', 'y'] }, b: { kind: 'present' } }],
    ["a in {'x','y'} && a in {'y','z'}", { a: { kind: 'one-of', oneOf: ['y'] } }],
    ["a == 'x' && !has(a)", { a: { kind: 'one-of', oneOf: [] } }],
    ["a == 'x' || a == 'y'", { a: { kind: 'one-of', oneOf: ['x', 'y'] } }],
    ["a == 'x' || has(a)", { a: { kind: 'present' } }],
    ["a == 'x' || b == 'y'", {}],
    ["!has(a) || !has(a) && b == 'c'", { a: { kind: 'absent' } }],
    ["a != 'x'", {}],
    ["!(a == 'x')", {}],
  ];
  for (const [text, expected] of cases) {
    it(text, () => assert.deepEqual(Object.fromEntries(restrictionsOf(selectorFrom(text))), expected));
  }

  it('never rule out what matches (random selectors and labels)', () => {
    let seed = 12345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed % below;
    };
    const pick = (items: readonly string[]): string => items[random(items.length)] ?? '';
    const term = (): string => {
      const label = pick(['a', 'b', 'c']);
      const value = pick(['x', 'y', 'xy']);
      const forms = [
        `${label} == '${value}'`,
        `${label} != '${value}'`,
        `has(${label})`,
        `${label} in {'x','${value}'}`,
      ];
      return pick([...forms, `${label} not in {'${value}'}`, `${label} starts with '${value}'`]);
    };
    const expression = (depth: number): string => {
      if (depth === 0) return term();
      const parts = [expression(depth - 1), expression(depth - 1)];
      return pick([`(${parts.join(' && ')})`, `(${parts.join(' || ')})`, `!${parts[0]}`, parts[0] ?? '']);
    };
    for (let i = 0; i < 3000; i++) {
      const selector = selectorFrom(expression(3));
      const record: Record<string, string> = {};
      for (const label of ['a', 'b', 'c']) if (random(2)) record[label] = pick(['x', 'y', 'xy']);
      if (!matches(selector, labelsFrom(record))) continue;
      for (const [label, restriction] of restrictionsOf(selector)) {
        const value = record[label];
        const holds =
          restriction.kind === 'absent'
            ? value === undefined
            : value !== undefined && (!restriction.oneOf || restriction.oneOf.includes(value));
        assert.ok(holds, `${selector.text} with ${JSON.stringify(record)}: ${label}`);
      }
    }
  });
});
