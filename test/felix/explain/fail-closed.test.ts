// Shows that a policy or profile that cannot be read opens nothing: one value somewhere in a valid resource is replaced by
// garbage, and no packet may pass that did not pass before.

import assert from 'node:assert/strict';
import type { End } from '../../../felix/explain/ends.ts';
import { type Flow, PolicyWorld } from '../../../felix/explain/policy-world.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { RandomWorld } from '../../system/felix/random-world.ts';

const seed = Number(process.env['SEED'] ?? 3);
const random = seededRandom(seed);
const ROUNDS = Number(process.env['ROUNDS'] ?? 80);
const garbage: readonly unknown[] = ['no sense', -1, 70_000, 1.5, true, ['x y'], { x: 'y' }, '10.0.0.0/99', 'app =='];

const pods = ['a', 'b', 'c', 'd'].map((name, i) => ({
  namespace: i < 2 ? 'n1' : 'n2',
  name,
  interfaceName: `cali${name}`,
  addresses: [`10.65.0.${i + 1}/32`, `fd00:65::${i + 1}/128`],
}));

/** Replaces one value, anywhere below the object. */
function corrupted(value: unknown): unknown {
  if (random() < 0.25 || typeof value !== 'object' || value === null) return garbage[randomInt(random, garbage.length)];
  if (Array.isArray(value)) {
    if (value.length === 0) return garbage[randomInt(random, garbage.length)];
    const at = randomInt(random, value.length);
    return value.map((item, i) => (i === at ? corrupted(item) : item));
  }
  const keys = Object.keys(value);
  const key = keys[randomInt(random, keys.length)];
  if (key === undefined) return garbage[randomInt(random, garbage.length)];
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, name === key ? corrupted(inner) : inner]),
  );
}

/** A profile keeps its labels: they also say who is meant by others' rules, and where they are lost, that is lost. */
function withGarbage(text: string, isProfile: boolean): string {
  const given = JSON.parse(text);
  if (!isProfile) {
    if (random() < 0.1) return text.slice(0, randomInt(random, text.length));
    return JSON.stringify({ ...given, spec: corrupted(given.spec) });
  }
  const direction = random() < 0.5 ? 'ingress' : 'egress';
  return JSON.stringify({ ...given, spec: { ...given.spec, [direction]: corrupted(given.spec[direction]) } });
}

function flows(entries: ReadonlyMap<string, string>): { readonly all: Map<string, Flow>; readonly faults: number } {
  const world = new PolicyWorld([...entries].map(([key, value]) => ({ key, value, revision: 1 })));
  const ends = ['10.65.0.1', '10.65.0.2', '10.65.0.3', '10.65.0.4', '192.0.2.9'].map((address): End => {
    const end = world.end(address);
    if (end.kind === 'problem') throw new Error(end.problem);
    return end.end;
  });
  const all = new Map<string, Flow>();
  for (const source of ends) {
    for (const destination of ends) {
      for (const traffic of [
        { protocol: 6, sourcePort: 20_001, destinationPort: 80 },
        { protocol: 6, sourcePort: 40_001, destinationPort: 8080 },
        { protocol: 17, sourcePort: 20_001, destinationPort: 81 },
        { protocol: 1, icmpType: 8, icmpCode: 0 },
      ]) {
        const result = world.flow(source, destination, traffic);
        if (result.kind === 'problem') throw new Error(result.problem);
        all.set(`${source.name} ${destination.name} ${JSON.stringify(traffic)}`, result.flow);
      }
    }
  }
  return { all, faults: [...world.faults()].length };
}

describe('failing closed', function () {
  this.timeout(60_000);
  it('opens nothing when a policy or a profile cannot be read', () => {
    let unreadable = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const world = new RandomWorld(seed * 1000 + (round >> 3), pods, ['192.0.2.9/32']);
      for (let i = round & 7; i > 0; i--) world.step();
      const keys = [...world.entries.keys()].filter((key) => /(networkpolicies|profiles)\//.test(key));
      const key = keys[randomInt(random, keys.length)];
      const before = key && world.entries.get(key);
      if (!key || !before) continue;
      const after = withGarbage(before, key.includes('profiles'));
      const intact = flows(world.entries);
      const broken = flows(new Map(world.entries).set(key, after));
      // What is still valid means something else, and may.
      if (broken.faults === intact.faults) continue;
      unreadable++;
      for (const [what, flow] of broken.all) {
        const wasAllowed = intact.all.get(what)?.allowed;
        assert.ok(!flow.allowed || wasAllowed, `seed ${seed}, round ${round}: ${what} passes\n${before}\n${after}`);
      }
    }
    assert.ok(unreadable > ROUNDS / 4, `only ${unreadable} resources were unreadable`);
  });
});
