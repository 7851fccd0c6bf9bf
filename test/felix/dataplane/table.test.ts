// Shows the table that given states render to, as golden text that nft accepts, and that the way to a state does not show
// in it.

import { strict as assert } from 'node:assert';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { DesiredTable } from '../../../felix/dataplane/table.ts';
import { Transaction } from '../../../felix/nft/transaction.ts';
import { assertAcceptable, assertGolden } from '../golden.ts';
import { ipSet, policyUpdate, port, portMember, prefix, profileUpdate, rule, tier, workload } from '../updates.ts';

const open = profileUpdate('kns.web', [rule('allow')], [rule('allow')]);
const web = ['10.65.0.1', 'fd00:65::1'];

const states: Readonly<Record<string, readonly CalcUpdate[]>> = {
  empty: [],
  'one endpoint with a profile': [open, workload('web/a', 'cali1', web, { profiles: ['kns.web'] })],
  'an endpoint without profile or policy': [workload('web/a', 'cali1', web)],
  'two endpoints share their chains': [
    open,
    policyUpdate('NetworkPolicy/web/p', {
      ingress: [rule('allow', { protocol: 6, destination: { ports: [port(80)] } })],
    }),
    ...['a', 'b'].map((name, i) =>
      workload(`web/${name}`, `cali${i}`, [`10.65.0.${i}`], {
        tiers: [tier(['NetworkPolicy/web/p'], [])],
        profiles: ['kns.web'],
      }),
    ),
  ],
  'tiers with pass': [
    open,
    policyUpdate('GlobalNetworkPolicy//first', {
      tier: 'security',
      ingress: [
        rule('deny', { source: { prefixes: [prefix('10.9.0.0/16')] } }),
        rule('pass', { source: { prefixes: [prefix('10.0.0.0/8'), prefix('fd00::/8')] } }),
      ],
    }),
    policyUpdate('NetworkPolicy/web/second', { ingress: [rule('log'), rule('allow', { protocol: 17 })] }),
    workload('web/a', 'cali1', web, {
      tiers: [
        tier(['GlobalNetworkPolicy//first'], [], { name: 'security' }),
        tier(['NetworkPolicy/web/second'], [], { name: 'app', defaultAction: 'pass' }),
      ],
      profiles: ['kns.web'],
    }),
  ],
  'only staged policies in a tier': [
    open,
    policyUpdate('StagedNetworkPolicy/web/try', {
      staged: true,
      ingress: [rule('deny', { protocol: 6 }), rule('pass')],
    }),
    workload('web/a', 'cali1', web, {
      tiers: [tier(['StagedNetworkPolicy/web/try'], [])],
      profiles: ['kns.web'],
    }),
  ],
  'selectors, named ports and what is not wanted': [
    ipSet('s:clients', '10.65.0.7', '10.66.0.0/16', '10.66.1.0/24', 'fd00:65::7'),
    ipSet('s:bad', '10.65.0.8'),
    ipSet('s:nobody'),
    {
      kind: 'ip-set',
      id: 'n:http',
      type: 'address-ports',
      members: [portMember('10.65.0.1', 6, 8080), portMember('fd00:65::1', 6, 8080)],
    },
    policyUpdate('NetworkPolicy/web/p', {
      ingress: [
        rule('allow', {
          protocol: 6,
          source: { ipSets: ['s:clients'], notIpSets: ['s:bad'], notPrefixes: [prefix('10.66.3.0/24')] },
          destination: { ports: [port(80), port(90, 99)], namedPortSets: ['n:http'], notPorts: [port(95)] },
        }),
        rule('allow', { source: { ipSets: ['s:nobody'] } }),
        rule('deny', { notProtocol: 17, destination: { notNamedPortSets: ['n:http'] } }),
      ],
      egress: [
        rule('allow', { protocol: 1, icmp: { type: 8 } }),
        rule('allow', { protocol: 1, icmp: { type: 3, code: 4 } }),
        rule('allow', { protocol: 58, notIcmp: { type: 128, code: 0 } }),
        rule('allow', { protocol: 1, notIcmp: { type: 13 } }),
        rule('allow', { family: 6, protocol: 132, source: { ports: [port(1000, 2000)] } }),
      ],
    }),
    workload('web/a', 'cali1', web, {
      tiers: [tier(['NetworkPolicy/web/p'], ['NetworkPolicy/web/p'])],
      allowedSourcePrefixes: [prefix('10.99.0.0/16'), prefix('10.99.1.0/24'), prefix('fd99::/64')],
    }),
  ],
  'rules that fold into lookups': [
    policyUpdate('GlobalNetworkPolicy//many', {
      ingress: [
        ...[1, 2, 3, 4, 5].map((i) =>
          rule('allow', {
            protocol: 6,
            source: { prefixes: [prefix(`10.${i}.0.0/16`)] },
            destination: { ports: [port(80)] },
          }),
        ),
        ...[1, 2, 3, 4].map((i) => rule('deny', { protocol: 17, destination: { ports: [port(50 + i)] } })),
      ],
    }),
    workload('web/a', 'cali1', web, { tiers: [tier(['GlobalNetworkPolicy//many'], [])] }),
  ],
  'pools with and without natOutgoing': [
    { kind: 'pool', pool: { prefix: prefix('10.65.0.0/16'), natOutgoing: true } },
    { kind: 'pool', pool: { prefix: prefix('10.65.64.0/18'), natOutgoing: false } },
    { kind: 'pool', pool: { prefix: prefix('10.66.0.0/16'), natOutgoing: false } },
    { kind: 'pool', pool: { prefix: prefix('fd00:65::/64'), natOutgoing: true } },
  ],
  'parameters that shape rules': [
    {
      kind: 'config',
      parameters: {
        InterfacePrefix: 'cali,tap',
        DefaultEndpointToHostAction: 'Accept',
        NftablesFilterDenyAction: 'Reject',
        IptablesMarkMask: '0x0ff00000',
        DisableConntrackInvalidCheck: 'true',
        LogPrefix: 'drop %p',
        LogActionRateLimit: '10/second',
        NATPortRange: '32768:65535',
        NATOutgoingAddress: '192.0.2.77',
      },
    },
    policyUpdate('NetworkPolicy/web/p', { ingress: [rule('log'), rule('pass')] }),
    workload('web/a', 'tap1', web, { tiers: [tier(['NetworkPolicy/web/p'], [])] }),
  ],
};

const rendered = (updates: readonly CalcUpdate[]): DesiredTable => {
  const table = new DesiredTable();
  for (const update of updates) table.receive(update);
  table.render();
  return table;
};

/** All of the table, in the order of names, so that the way there does not show. */
function textOf(table: DesiredTable): string {
  const state = table.ruleset.state();
  const byName = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  const sets = [...byName(state.sets)].map(
    ([name, set]) => [name, { ...set, elements: byName(set.elements) }] as const,
  );
  return Transaction.rebuild({
    chains: byName(state.chains),
    sets: new Map(sets),
    counters: new Set([...state.counters].sort()),
  }).text();
}

describe('the rendered table', () => {
  for (const [name, updates] of Object.entries(states)) {
    it(`is as written down: ${name}`, () => {
      const table = rendered(updates);
      const text = textOf(table);
      assertGolden(`${name.replaceAll(/[^a-z]+/gi, '-')}.nft`, text);
      assertAcceptable(text);
      assertAcceptable(table.ruleset.pending().text());
    });
  }

  it('depends on the state alone, not on the way there', () => {
    const names = Object.keys(states);
    for (const from of names) {
      for (const to of names) {
        const table = rendered(states[from] ?? []);
        table.ruleset.committed();
        for (const update of removalsOf(states[from] ?? [])) table.receive(update);
        table.render();
        for (const update of states[to] ?? []) table.receive(update);
        table.render();
        assert.equal(textOf(table), textOf(rendered(states[to] ?? [])), `from "${from}" to "${to}"`);
      }
    }
  });

  it('costs an endpoint a handful of elements, whatever there is already', () => {
    const table = rendered(states['two endpoints share their chains'] ?? []);
    table.ruleset.committed();
    table.receive(
      workload('web/new', 'calinew', ['10.65.0.77'], {
        tiers: [tier(['NetworkPolicy/web/p'], [])],
        profiles: ['kns.web'],
      }),
    );
    table.render();
    const text = table.ruleset.pending().text();
    assert.deepEqual(
      text
        .trim()
        .split('\n')
        .map((line) => line.replace(/(ingress|egress)\/tiers\/\w+/, '…')),
      [
        'add element inet twill workload-interfaces { "calinew" }',
        'add element inet twill ingress-by-interface { "calinew" : goto … }',
        'add element inet twill egress-by-interface { "calinew" : goto … }',
        'add element inet twill workload-sources4 { "calinew" . 10.65.0.77 }',
      ],
    );
  });

  it('keeps a rule’s counter when others come before it', () => {
    const rules = [1, 2, 3, 4, 5].map((i) => rule('allow', { protocol: i }));
    const table = rendered([policyUpdate('NetworkPolicy/web/p', { ingress: rules })]);
    const before = new Set(table.ruleset.state().counters);
    table.receive(policyUpdate('NetworkPolicy/web/p', { ingress: [rule('allow', { protocol: 99 }), ...rules] }));
    table.render();
    const after = table.ruleset.state().counters;
    assert.deepEqual(
      [...before].filter((name) => !after.has(name)),
      [],
    );
    assert.equal(after.size, before.size + 1);
  });
});

/** What takes a state down again, in the order in which the calculation does it. */
function removalsOf(updates: readonly CalcUpdate[]): CalcUpdate[] {
  return updates.toReversed().map((update): CalcUpdate => {
    switch (update.kind) {
      case 'workload':
        return { kind: 'workload-removed', id: update.workload.id };
      case 'policy':
        return { kind: 'policy-removed', id: update.policy.id };
      case 'profile':
        return { kind: 'profile-removed', name: update.profile.name };
      case 'ip-set':
        return { kind: 'ip-set-removed', id: update.id };
      case 'pool':
        return { kind: 'pool-removed', prefix: update.pool.prefix };
      default:
        return { kind: 'config', parameters: {} };
    }
  });
}
