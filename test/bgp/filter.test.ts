// Shows what each match of a filter rule means, that the first matching rule decides whatever index found it, and that
// the compiled filter agrees with a plain reading of the rules over random rules and routes.

import assert from 'node:assert/strict';
import { compileFilter } from '../../bgp/filter.ts';
import type { FilterRoute } from '../../bgp/rib/policy.ts';
import type { Community, FilterOperation, FilterRule, FilterSettings } from '../../bgp/settings.ts';
import { type PathAttributes, plainContext } from '../../bgp/wire/attributes.ts';
import { formatPrefix, type Prefix, parsePrefix, prefixOf } from '../../net/prefix.ts';
import { Lab, OWN_AS, update } from './rib/harness.ts';
import { type Random, randomAttributes, randomFrom } from './wire/random-message.ts';

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

  it('agrees with a plain reading of random rules of every kind, on routes of every kind', () => {
    const random = randomFrom(20261121);
    let accepted = 0;
    for (let round = 0; round < 1500; round++) {
      const rules = Array.from({ length: 1 + random(10) }, (_, i) => randomRule(random, String(i)));
      const [otherwise, peer] = [pick(random, ['accept', 'reject'] as const), pick(random, ['ebgp', 'ibgp'] as const)];
      const filter = compileFilter({ rules, otherwise }, peer);
      for (let i = 0; i < 20; i++) {
        const tried = randomRoute(random);
        const decider = rules.find((rule) => plainReading(rule, tried, peer));
        const expected = {
          accept: (decider?.action ?? otherwise) === 'accept',
          origin: decider?.origin,
          operations: decider?.operations ?? [],
        };
        assert.deepEqual(
          filter.evaluate(tried),
          expected,
          `${JSON.stringify(rules, bigInts)} ${formatPrefix(tried.prefix)}`,
        );
        if (expected.accept) accepted++;
        if (filter.acceptsAll) assert.deepEqual([expected.accept, expected.operations], [true, []]);
      }
    }
    assert.ok(accepted > 3000 && accepted < 27_000);
  }).timeout(20_000);

  it('matches a path of ten thousand AS numbers as quickly as any', () => {
    const asPath = Array.from({ length: 10_000 }, (_, i) => i + 1);
    const filter = compileFilter(
      { rules: [rule({ asPathPrefix: [1, 2, 3], action: 'reject' })], otherwise: 'accept' },
      'ebgp',
    );
    assert.equal(filter.evaluate(route({ asPath })).accept, false);
    assert.equal(filter.evaluate(route({ asPath: asPath.slice(1) })).accept, true);
  });
});

describe('what filters do to routes', () => {
  it('adds communities once and puts AS numbers in front, as said, both ways, whatever the set had', () => {
    const random = randomFrom(7);
    for (let round = 0; round < 300; round++) {
      const operations = Array.from({ length: random(4) }, () => randomOperation(random));
      const filter = compileFilter({ rules: [rule({ operations })], otherwise: 'accept' }, 'ebgp');
      const given = randomAttributes(random, plainContext, true);
      const asPath = [{ kind: 'sequence' as const, asns: [64601] }, ...(given.asPath ?? [])];
      const values: PathAttributes = { ...given, asPath, nextHop: 0x0a000009 };
      const { localPref: _l, originatorId: _o, clusterList: _c, ...external } = values;
      const lab = new Lab();
      // On the way in, seen by an internal peer; and on the way out, seen by another AS.
      const options = { asn: 64601, context: { external: true } };
      const [inward, plain] = [
        lab.peer({ ...options, importFilter: filter }),
        lab.peer({ ...options, address: '10.0.0.9' }),
      ];
      const [inside, outside] = [lab.peer(), lab.peer({ asn: 64602, treatment: { filter, filterKey: 'x' } })];
      inward.send(update({ attributes: external, nlri: [{ prefix: prefix('192.0.2.0/24') }] }));
      plain.send(update({ attributes: external, nlri: [{ prefix: prefix('198.51.100.0/24') }] }));
      lab.rib.flush();
      const expected = plainOperations(external, operations);
      const [sawIn, sawOut] = [inside.table.get('192.0.2.0/24'), outside.table.get('198.51.100.0/24')];
      for (const [saw, own] of [
        [sawIn, []],
        [sawOut, [OWN_AS]],
      ] as const) {
        assert.deepEqual(asnsOf(saw), [...own, ...asnsOf(expected)]);
        assert.deepEqual(saw?.communities, expected.communities);
        assert.deepEqual(saw?.largeCommunities, expected.largeCommunities);
        assert.deepEqual(saw?.origin, expected.origin);
      }
    }
  }).timeout(20_000);
});

const bigInts = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);

const pick = <T>(random: Random, list: readonly [T, ...T[]]): T => list[random(list.length)] ?? list[0];

// Few values of each, so that rules and routes often meet.
const randomPrefix = (random: Random): Prefix =>
  random(3) > 0
    ? prefixOf(0x0a000000 + random(8) * 0x20000, 8 + random(12))
    : prefixOf((0x2001n << 112n) | (BigInt(random(8)) << 97n), 16 + random(20));
const communityValues = [1, 65001 * 65536 + 5, 0xffffff01] as const;
const randomLarge = (random: Random) => ({ global: 65001, local1: random(2), local2: random(2) });
const randomCommunity = (random: Random): Community =>
  random(2) === 0
    ? { kind: 'standard', value: pick(random, communityValues) }
    : { kind: 'large', ...randomLarge(random) };

function randomOperation(random: Random): FilterOperation {
  if (random(2) === 0) return { kind: 'add-community', community: randomCommunity(random) };
  return { kind: 'prepend-as-path', asns: Array.from({ length: 1 + random(3) }, () => 64700 + random(9)) };
}

function randomRule(random: Random, origin: string): FilterRule {
  const maybe = <T extends object>(make: () => T): T | Record<string, never> => (random(4) === 0 ? make() : {});
  const bounds = () => ({
    ...(random(2) === 0 ? { minLength: 8 + random(12) } : {}),
    ...(random(2) === 0 ? { maxLength: 16 + random(16) } : {}),
  });
  const operator = () => pick(random, ['equal', 'not-equal', 'in', 'not-in'] as const);
  return {
    origin,
    action: pick(random, ['accept', 'reject'] as const),
    ...maybe(() => ({ family: pick(random, ['ipv4-unicast', 'ipv6-unicast'] as const) })),
    ...(random(2) === 0 ? { match: { prefix: randomPrefix(random), operator: operator(), ...bounds() } } : {}),
    ...maybe(() => ({ source: pick(random, ['remote-peers', 'local'] as const) })),
    ...maybe(() => ({ interface: pick(random, ['eth0', 'eth*', '*', '*.5', 'e*h*'] as const) })),
    ...maybe(() => ({ peerType: pick(random, ['ebgp', 'ibgp'] as const) })),
    ...maybe(() => ({ communities: Array.from({ length: 1 + random(2) }, () => randomCommunity(random)) })),
    ...maybe(() => ({ asPathPrefix: Array.from({ length: 1 + random(2) }, () => 1 + random(2)) })),
    ...maybe(() => ({ priority: pick(random, [512, 1024] as const) })),
    operations: random(3) === 0 ? [randomOperation(random)] : [],
  };
}

function randomRoute(random: Random): FilterRoute {
  const tried = randomPrefix(random);
  return {
    family: typeof tried.address === 'number' ? 'ipv4-unicast' : 'ipv6-unicast',
    prefix: tried,
    source: pick(random, ['local', 'ebgp', 'ibgp'] as const),
    ...(random(4) === 0 ? {} : { interface: pick(random, ['eth0', 'eth0.5', 'bond0', 'ethh'] as const) }),
    communities: communityValues.filter(() => random(2) === 0),
    largeCommunities: Array.from({ length: random(3) }, () => randomLarge(random)),
    asPath: Array.from({ length: random(4) }, () => 1 + random(2)),
    ...(random(2) === 0 ? {} : { priority: pick(random, [512, 1024] as const) }),
  };
}

/** One rule after the other, field by field, as the reference describes them. */
function plainReading(wanted: FilterRule, tried: FilterRoute, peer: 'ebgp' | 'ibgp'): boolean {
  if (wanted.family !== undefined && wanted.family !== tried.family) return false;
  if (wanted.peerType !== undefined && wanted.peerType !== peer) return false;
  if (wanted.source === 'local' && tried.source !== 'local') return false;
  if (wanted.source === 'remote-peers' && tried.source === 'local') return false;
  if (wanted.priority !== undefined && wanted.priority !== (tried.priority ?? 1024)) return false;
  if (wanted.interface !== undefined && !likeText(wanted.interface, tried.interface)) return false;
  for (const [i, asn] of (wanted.asPathPrefix ?? []).entries()) if (tried.asPath[i] !== asn) return false;
  for (const community of wanted.communities ?? []) {
    const texts = [
      ...tried.communities.map(String),
      ...tried.largeCommunities.map((large) => Object.values(large).join(':')),
    ];
    const { kind: _, ...numbers } = community;
    if (!texts.includes(Object.values(numbers).join(':'))) return false;
  }
  return wanted.match === undefined || matchesPrefix(wanted.match, tried.prefix);
}

function matchesPrefix(
  { prefix, operator, minLength, maxLength }: NonNullable<FilterRule['match']>,
  tried: Prefix,
): boolean {
  const isInLength = tried.length >= (minLength ?? 0) && tried.length <= (maxLength ?? 128);
  const bits = ({ address, length }: Prefix): string =>
    `${typeof address}${address
      .toString(2)
      .padStart(typeof address === 'number' ? 32 : 128, '0')
      .slice(0, length)}`;
  const isIn = bits(tried).startsWith(bits(prefix)) && isInLength;
  const isEqual = formatPrefix(tried) === formatPrefix(prefix) && isInLength;
  return { in: isIn, 'not-in': !isIn, equal: isEqual, 'not-equal': !isEqual }[operator];
}

/** "*" stands for any text, letter by letter. */
function likeText(pattern: string, text: string | undefined): boolean {
  if (text === undefined) return false;
  if (pattern === '') return text === '';
  const rest = pattern.slice(1);
  if (pattern[0] !== '*') return text[0] === pattern[0] && likeText(rest, text.slice(1));
  return Array.from({ length: text.length + 1 }, (_, i) => text.slice(i)).some((tail) => likeText(rest, tail));
}

const asnsOf = (values: PathAttributes | undefined): number[] => (values?.asPath ?? []).flatMap(({ asns }) => asns);

function plainOperations(values: PathAttributes, operations: readonly FilterOperation[]): PathAttributes {
  let { asPath = [], communities, largeCommunities } = values;
  for (const operation of operations) {
    if (operation.kind === 'prepend-as-path') asPath = [{ kind: 'sequence', asns: operation.asns }, ...asPath];
    if (operation.kind !== 'add-community') continue;
    const { community } = operation;
    if (community.kind === 'standard') {
      if (!communities?.includes(community.value)) communities = [...(communities ?? []), community.value];
      continue;
    }
    const { kind: _, ...large } = community;
    const has = largeCommunities?.some((one) => Object.values(one).join() === Object.values(large).join());
    if (!has) largeCommunities = [...(largeCommunities ?? []), large];
  }
  return {
    ...values,
    asPath,
    ...(communities ? { communities } : {}),
    ...(largeCommunities ? { largeCommunities } : {}),
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
