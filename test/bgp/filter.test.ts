// Shows what each match of a filter rule means, that the first matching rule decides whatever index found it, and that
// the compiled filter agrees with a plain reading of the rules over random rules and routes.

import assert from 'node:assert/strict';
import { compileFilter } from '../../bgp/filter.ts';
import type { FilterRoute } from '../../bgp/rib/policy.ts';
import type { FilterRule, FilterSettings } from '../../bgp/settings.ts';
import { formatPrefix, type Prefix, parsePrefix, prefixCovers, prefixesEqual, prefixOf } from '../../net/prefix.ts';

describe('bgp filter', () => {
  const cases: [string, Partial<FilterRule>, Partial<FilterRoute>, boolean][] = [
    ['everything', {}, {}, true],
    ['equal', match('10.1.0.0/16', 'equal'), { prefix: prefix('10.1.0.0/16') }, true],
    ['equal, but longer', match('10.1.0.0/16', 'equal'), { prefix: prefix('10.1.0.0/17') }, false],
    ['not equal', match('10.1.0.0/16', 'not-equal'), { prefix: prefix('10.1.0.0/17') }, true],
    ['in', match('10.1.0.0/16', 'in'), { prefix: prefix('10.1.2.0/24') }, true],
    ['in, itself', match('10.1.0.0/16', 'in'), { prefix: prefix('10.1.0.0/16') }, true],
    ['not inside', match('10.1.0.0/16', 'in'), { prefix: prefix('10.2.0.0/24') }, false],
    ['in, long enough', match('10.1.0.0/16', 'in', 24, 26), { prefix: prefix('10.1.2.0/26') }, true],
    ['in, too short', match('10.1.0.0/16', 'in', 24, 26), { prefix: prefix('10.1.0.0/20') }, false],
    ['in, too long', match('10.1.0.0/16', 'in', 24, 26), { prefix: prefix('10.1.2.0/27') }, false],
    ['not in', match('10.1.0.0/16', 'not-in'), { prefix: prefix('10.2.0.0/24') }, true],
    ['not in, though inside', match('10.1.0.0/16', 'not-in'), { prefix: prefix('10.1.2.0/24') }, false],
    ['family', { family: 'ipv6-unicast' }, {}, false],
    ['from remote peers', { source: 'remote-peers' }, { source: 'ibgp' }, true],
    ['from remote peers, own', { source: 'remote-peers' }, { source: 'local' }, false],
    ['own', { source: 'local' }, { source: 'local' }, true],
    ['interface pattern', { interface: 'eth*' }, { interface: 'eth0.5' }, true],
    ['another interface', { interface: 'eth.' }, { interface: 'eth0' }, false],
    ['unknown interface', { interface: '*' }, {}, false],
    [
      'community',
      { communities: [{ kind: 'standard', value: 65001 * 65536 + 5 }] },
      { communities: [65001 * 65536 + 5] },
      true,
    ],
    ['no such community', { communities: [{ kind: 'standard', value: 5 }] }, { communities: [6] }, false],
    [
      'large community',
      { communities: [{ kind: 'large', global: 1, local1: 2, local2: 3 }] },
      { largeCommunities: [{ global: 1, local1: 2, local2: 3 }] },
      true,
    ],
    ['path begins', { asPathPrefix: [1, 2] }, { asPath: [1, 2, 3] }, true],
    ['path is too short', { asPathPrefix: [1, 2] }, { asPath: [1] }, false],
    ['priority', { priority: 512 }, { priority: 512 }, true],
    ['normal priority when none is set', { priority: 1024 }, {}, true],
    ['peer type', { peerType: 'ebgp' }, {}, true],
    ['other peer type', { peerType: 'ibgp' }, {}, false],
  ];
  for (const [name, matching, changes, expected] of cases) {
    it(`matches: ${name} – ${expected ? 'yes' : 'no'}`, () => {
      const filter = compileFilter({ rules: [rule({ ...matching, action: 'reject' })], otherwise: 'accept' }, 'ebgp');
      assert.equal(filter.evaluate(route(changes)).accept, !expected);
    });
  }

  it('takes the first match, names it and returns its operations', () => {
    const add = { kind: 'set-priority', priority: 7 } as const;
    const settings: FilterSettings = {
      rules: [
        rule({ origin: 'a', ...match('10.9.0.0/16', 'in') }),
        rule({ origin: 'b', source: 'local', operations: [add] }),
        rule({ origin: 'c', action: 'reject', ...match('10.0.0.0/8', 'in') }),
      ],
      otherwise: 'accept',
    };
    const filter = compileFilter(settings, 'ebgp');
    const own = route({ prefix: prefix('10.1.0.0/24'), source: 'local' });
    assert.deepEqual(filter.evaluate(own), { accept: true, origin: 'b', operations: [add] });
    assert.equal(filter.evaluate(route({ prefix: prefix('10.1.0.0/24') })).origin, 'c');
    assert.deepEqual(filter.evaluate(route({ prefix: prefix('192.0.2.0/24') })), {
      accept: true,
      origin: undefined,
      operations: [],
    });
    assert.deepEqual([filter.acceptsAll, filter.usesPrefix], [false, true]);
  });

  it('says when it need not be asked', () => {
    assert.equal(compileFilter({ rules: [], otherwise: 'accept' }, 'ibgp').acceptsAll, true);
    assert.equal(compileFilter({ rules: [], otherwise: 'reject' }, 'ibgp').acceptsAll, false);
    assert.equal(compileFilter({ rules: [rule({ source: 'local' })], otherwise: 'reject' }, 'ibgp').usesPrefix, false);
  });

  it('agrees with a plain reading of random rules', () => {
    const random = generator(20261121);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const randomPrefix = (): Prefix =>
      prefixOf(0x0a000000 + Math.floor(random() * 16) * 0x10000, 12 + Math.floor(random() * 8));
    for (let round = 0; round < 200; round++) {
      const rules = Array.from({ length: 1 + Math.floor(random() * 12) }, (_, i) =>
        rule({
          origin: String(i),
          action: pick(['accept', 'reject'] as const),
          ...(random() < 0.7
            ? { match: { prefix: randomPrefix(), operator: pick(['equal', 'not-equal', 'in', 'not-in'] as const) } }
            : { source: pick(['local', 'remote-peers'] as const) }),
        }),
      );
      const filter = compileFilter({ rules, otherwise: 'reject' }, 'ebgp');
      for (let i = 0; i < 20; i++) {
        const tried = route({ prefix: randomPrefix(), source: pick(['local', 'ebgp'] as const) });
        assert.equal(filter.evaluate(tried).origin, plainReading(rules, tried), formatPrefix(tried.prefix));
      }
    }
  });
});

function plainReading(rules: readonly FilterRule[], tried: FilterRoute): string | undefined {
  return rules.find(({ match: wanted, source }) => {
    if (source && (source === 'local') !== (tried.source === 'local')) return false;
    switch (wanted?.operator) {
      case 'equal':
        return prefixesEqual(wanted.prefix, tried.prefix);
      case 'not-equal':
        return !prefixesEqual(wanted.prefix, tried.prefix);
      case 'in':
        return prefixCovers(wanted.prefix, tried.prefix);
      case 'not-in':
        return !prefixCovers(wanted.prefix, tried.prefix);
      default:
        return true;
    }
  })?.origin;
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function match(
  text: string,
  operator: 'equal' | 'not-equal' | 'in' | 'not-in',
  minLength?: number,
  maxLength?: number,
) {
  return {
    match: {
      prefix: prefix(text),
      operator,
      ...(minLength === undefined ? {} : { minLength }),
      ...(maxLength === undefined ? {} : { maxLength }),
    },
  };
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert(parsed);
  return parsed;
}

const rule = (changes: Partial<FilterRule>): FilterRule => ({
  origin: 'test',
  action: 'accept',
  operations: [],
  ...changes,
});

const route = (changes: Partial<FilterRoute>): FilterRoute => ({
  family: 'ipv4-unicast',
  prefix: prefix('10.1.0.0/16'),
  source: 'ebgp',
  communities: [],
  largeCommunities: [],
  asPath: [],
  ...changes,
});
