// Shows that the graph's output follows from the state of the datastore alone: each named state gives the output written
// beside it, whatever state came before, in one flush or in many, with updates in any order.

import assert from 'node:assert/strict';
import { createCalcGraph } from '../../../felix/calc/graph.ts';
import { describeOutput } from './describe-output.ts';
import { states } from './named-states.ts';
import { OutputState } from './output-state.ts';
import { entry, pod, steps, type World } from './world.ts';

const empty: World = new Map();

describe('calc graph, named states', function () {
  this.timeout(60_000);
  for (const [name, { world, lines }] of Object.entries(states)) {
    it(`gives what it must: ${name}`, () => {
      const output = new OutputState();
      const graph = createCalcGraph({ nodeName: 'here' });
      graph.onUpdates(steps(empty, new Map(world), 1));
      assert.deepEqual(graph.flush(), [], 'nothing comes out before in-sync');
      graph.onInSync();
      output.apply(graph.flush());
      assert.ok(output.inSync);
      assert.deepEqual(describeOutput(output), [...lines].sort());
    });
  }

  const fresh = new Map(Object.entries(states).map(([name, { world }]) => [name, freshSnapshot(new Map(world))]));

  for (const mode of ['one by one', 'one by one, backwards', 'squashed', 'each twice'] as const) {
    it(`goes from any state to any other, updates ${mode}`, () => {
      for (const [from, start] of Object.entries(states)) {
        const graph = createCalcGraph({ nodeName: 'here' });
        const output = new OutputState();
        graph.onInSync();
        let world: World = new Map(start.world);
        graph.onUpdates(steps(empty, world, 1));
        output.apply(graph.flush());
        for (const [to, target] of Object.entries(states)) {
          const next: World = new Map(target.world);
          const updates = steps(world, next, 2);
          if (mode === 'one by one, backwards') updates.reverse();
          if (mode === 'squashed') graph.onUpdates(updates);
          else
            for (const update of updates) {
              graph.onUpdates(mode === 'each twice' ? [update, update] : [update]);
              output.apply(graph.flush());
            }
          output.apply(graph.flush());
          world = next;
          assert.deepEqual(output.snapshot(), fresh.get(to), `${from} … ${to}`);
        }
        graph.onUpdates(steps(world, empty, 3));
        output.apply(graph.flush());
        assert.deepEqual(output.snapshot(), freshSnapshot(empty), `${from} … nothing`);
      }
    });
  }

  it('has the built-in profile, which nobody stores and nobody can replace', () => {
    const name = 'projectcalico-default-allow';
    const world: World = new Map([
      pod('here', 'prod/web', '10.0.0.1', {}, { profiles: [name] }),
      entry('Profile', name, { spec: { ingress: [{ action: 'Deny' }] } }),
    ]);
    const graph = createCalcGraph({ nodeName: 'here' });
    const output = new OutputState();
    graph.onInSync();
    for (const updates of [steps(empty, world, 1), steps(world, empty, 2), steps(empty, world, 3)]) {
      graph.onUpdates(updates);
      output.apply(graph.flush());
      const profile = output.profiles.get(name);
      const actions = [profile?.ingress, profile?.egress].map((rules) => rules?.map(({ action }) => action));
      const allows = output.workloads.size > 0 ? ['allow'] : undefined;
      assert.deepEqual(actions, [allows, allows]);
    }
  });

  it('delivers nothing when nothing that matters changed', () => {
    const graph = createCalcGraph({ nodeName: 'here' });
    const world: World = new Map(states['a policy between pods']?.world);
    graph.onInSync();
    graph.onUpdates(steps(empty, world, 1));
    graph.flush();
    const again = steps(empty, world, 1).filter((update) => !update.key.includes('workloadendpoints'));
    graph.onUpdates(again);
    assert.deepEqual(graph.flush(), []);
  });
});

function freshSnapshot(world: World): unknown {
  const graph = createCalcGraph({ nodeName: 'here' });
  const output = new OutputState();
  graph.onUpdates(steps(empty, world, 1));
  graph.onInSync();
  output.apply(graph.flush());
  return output.snapshot();
}
