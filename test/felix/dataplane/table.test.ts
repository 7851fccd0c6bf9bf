// Shows the table that given states render to, as golden text that nft accepts, and that the way to a state does not show
// in it.

import { strict as assert } from 'node:assert';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import type { DesiredTable } from '../../../felix/dataplane/table.ts';
import { Transaction } from '../../../felix/nft/transaction.ts';
import { assertAcceptable, assertGolden } from '../golden.ts';
import { rendered, states } from '../states.ts';
import { policyUpdate, rule, tier, workload } from '../updates.ts';

/** All of the table, in the order of names, so that the way there does not show. */
function textOf(table: DesiredTable): string {
  const state = table.ruleset.state();
  const byName = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
  const sets = [...byName(state.sets)].map(
    ([name, set]) => [name, { ...set, elements: byName(set.elements) }] as const,
  );
  const counters = new Set([...state.counters].sort());
  return Transaction.rebuild({ chains: byName(state.chains), sets: new Map(sets), counters }, false).text();
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

  it('gives an interface that several endpoints claim to the one written last, in whatever order they come', () => {
    const claimants = [
      workload('web/a', 'cali1', ['10.65.0.1'], { revision: 7 }),
      workload('web/b', 'cali1', ['10.65.0.2'], { revision: 5 }),
      workload('web/c', 'cali1', ['10.65.0.3'], { revision: 9 }),
    ];
    for (const first of [0, 1, 2]) {
      const table = rendered([]);
      const sources = () => [...table.ruleset.elementsOf('workload-sources4').keys()];
      for (const i of [first, (first + 1) % 3, (first + 2) % 3]) {
        const update = claimants[i];
        if (update) table.receive(update);
        table.render();
      }
      const goes = (id: string) => {
        table.receive({ kind: 'workload-removed', id });
        table.render();
        return sources();
      };
      assert.deepEqual(sources(), ['"cali1" . 10.65.0.3']);
      assert.deepEqual(goes('web/c'), ['"cali1" . 10.65.0.1'], 'the next one takes over');
      assert.deepEqual(goes('web/b'), ['"cali1" . 10.65.0.1'], 'one that had nothing takes nothing with it');
      assert.deepEqual(goes('web/a'), []);
      assert.deepEqual([...table.ruleset.elementsOf('workload-interfaces').keys()], []);
    }
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
