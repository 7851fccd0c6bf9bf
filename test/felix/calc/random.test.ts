// Shows that after any sequence of random changes the graph's output is that of a fresh graph given the same state, and
// that its IP sets hold what comparing every selector with every endpoint and network set gives.

import assert from 'node:assert/strict';
import { evaluate, parseSelector, selectorId } from '../../../datastore/model/index.ts';
import { createCalcGraph } from '../../../felix/calc/graph.ts';
import { entitySelector } from '../../../felix/calc/selectors.ts';
import { formatPrefix, type Prefix, parsePrefixOrAddress, prefixCovers } from '../../../net/prefix.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { OutputState } from './output-state.ts';
import { entry, key, pod, steps, type World } from './world.ts';

const selectors = [
  "a == '1'",
  "a in {'1', '2'}",
  'has(b)',
  '!has(b)',
  'all()',
  "a == '1' && b == '2'",
  "b starts with '2'",
];
const namespaceSelectors = [undefined, 'all()', 'global()', "n == '1'", '!has(n)'];

class RandomWorld {
  readonly entries = new Map<string, string>();
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  below(limit: number): number {
    return randomInt(this.#random, limit);
  }
  pick<T>(values: readonly T[]): T {
    const [only] = values.slice(this.below(values.length));
    return only as T;
  }
  chance(part: number): boolean {
    return this.#random() < part;
  }

  labels(names: readonly string[]): Record<string, string> {
    const labels: Record<string, string> = {};
    for (const name of names) if (this.chance(0.5)) labels[name] = String(1 + this.below(3));
    return labels;
  }

  /** Changes, adds or removes one resource. */
  step(): void {
    const [at, value] = this.#any();
    if (this.entries.has(at) && this.chance(0.4)) this.entries.delete(at);
    else
      this.entries.set(
        at,
        this.chance(0.02) ? value.replace('"spec":{', '"spec":{"order":"x","nets":["y"],"mac":"z",') : value,
      );
  }

  #any(): [string, string] {
    const namespace = this.pick(['n1', 'n2']);
    switch (this.below(10)) {
      case 0:
        return pod(
          this.pick(['here', 'there']),
          `${namespace}/p${this.below(4)}`,
          `10.0.0.${this.below(6)}`,
          this.labels(['a', 'b']),
        );
      case 1:
        return pod(
          'here',
          `${namespace}/q${this.below(3)}`,
          `10.0.0.${this.below(6)},fd00::${this.below(4)}`,
          this.labels(['a', 'b']),
          {
            ports: this.chance(0.5) ? [{ name: 'http', protocol: 'TCP', port: 8000 + this.below(3) }] : [],
            profiles: this.pick([[], ['kns.n1'], ['kns.n2', 'extra']]),
          },
        );
      case 2:
        return entry('Profile', this.pick(['kns.n1', 'kns.n2', 'extra']), {
          spec: {
            ingress: this.chance(0.5) ? [{ action: 'Allow', source: { selector: this.pick(selectors) } }] : [],
            labelsToApply: { ...this.labels(['a']), 'pcns.n': String(1 + this.below(2)) },
          },
        });
      case 3:
        return entry('GlobalNetworkSet', `s${this.below(3)}`, {
          labels: this.labels(['a', 'b']),
          spec: { nets: this.#nets() },
        });
      case 4:
        return entry('NetworkSet', `${namespace}/s${this.below(3)}`, {
          labels: this.labels(['a', 'b']),
          spec: { nets: this.#nets() },
        });
      case 5:
        return entry('Tier', this.pick(['t1', 't2']), {
          spec: { order: this.below(4), defaultAction: this.pick(['Deny', 'Pass']) },
        });
      case 6:
        return entry('HostEndpoint', `h${this.below(3)}`, {
          labels: this.labels(['a', 'b']),
          spec: {
            node: this.pick(['here', 'there']),
            ...(this.chance(0.5) ? { interfaceName: this.pick(['*', 'eth0']) } : {}),
            expectedIPs: [`192.0.2.${this.below(3)}`],
            profiles: this.pick([[], ['extra']]),
          },
        });
      case 7:
        return entry('StagedNetworkPolicy', `${namespace}/g${this.below(2)}`, { spec: this.#policySpec(false) });
      case 8:
        return entry('GlobalNetworkPolicy', `g${this.below(4)}`, { spec: this.#policySpec(true) });
      default:
        return entry('NetworkPolicy', `${namespace}/g${this.below(4)}`, { spec: this.#policySpec(false) });
    }
  }

  #nets(): string[] {
    return Array.from({ length: this.below(4) }, () =>
      this.pick([
        '10.0.0.0/8',
        `10.0.0.${this.below(8)}`,
        '10.0.0.0/30',
        '0.0.0.0/0',
        'fd00::/64',
        `fd00::${this.below(4)}`,
      ]),
    );
  }

  #policySpec(global: boolean): Record<string, unknown> {
    return {
      tier: this.pick(['default', 't1', 't2']),
      ...(this.chance(0.7) && { order: this.below(3) }),
      selector: this.pick(selectors),
      ...(global && this.chance(0.3) && { namespaceSelector: "n == '1'" }),
      ...(global && this.chance(0.3) && { applyOnForward: true, ...(this.chance(0.5) && { doNotTrack: true }) }),
      types: this.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]),
      ingress: Array.from({ length: this.below(3) }, () => this.#rule()),
      egress: Array.from({ length: this.below(3) }, () => this.#rule()),
    };
  }

  #rule(): Record<string, unknown> {
    const namespaceSelector = this.pick(namespaceSelectors);
    return {
      action: this.pick(['Allow', 'Deny', 'Pass', 'Log']),
      protocol: 'TCP',
      source: { selector: this.pick(selectors), ...(namespaceSelector && { namespaceSelector }) },
      destination: { ports: this.pick([['http'], [80], ['http', 80]]) },
    };
  }
}

/** Members by set id for every selector that a rule can have, worked out the slow way. */
function obviousMembers(world: World): Map<string, string[]> {
  const labelled = [...labelledSources(world)];
  const members = new Map<string, string[]>();
  for (const text of selectors) {
    for (const namespaceSelector of namespaceSelectors) {
      for (const namespace of ['', 'n1', 'n2']) {
        const selector = entitySelector({ selector: text, namespaceSelector }, namespace);
        if (!selector) continue;
        const prefixes = labelled
          .filter(({ labels }) => evaluate(selector.expression, labels))
          .flatMap((source) => source.prefixes);
        const outer = prefixes.filter(
          (inner) => !prefixes.some((other) => other.length < inner.length && prefixCovers(other, inner)),
        );
        members.set(selectorId(selector), [...new Set(outer.map(formatPrefix))].sort());
      }
    }
  }
  return members;
}

function* labelledSources(
  world: World,
): Iterable<{ labels: ReadonlyMap<string, string>; prefixes: readonly Prefix[] }> {
  for (const value of world.values()) {
    const { kind, metadata, spec } = JSON.parse(value);
    const inherited: Record<string, string>[] = [];
    const own: Record<string, string> = { ...metadata.labels };
    if (!['WorkloadEndpoint', 'NetworkSet', 'GlobalNetworkSet', 'HostEndpoint'].includes(kind)) continue;
    if (kind === 'WorkloadEndpoint' && spec.mac && spec.node === 'here') continue;
    if (metadata.namespace) own['projectcalico.org/namespace'] = metadata.namespace;
    if (kind === 'WorkloadEndpoint') own['projectcalico.org/orchestrator'] = 'k8s';
    const parents: string[] = kind === 'NetworkSet' ? [`kns.${metadata.namespace}`] : (spec.profiles ?? []);
    for (const parent of parents) {
      const profile = world.get(key('Profile', parent));
      if (profile) inherited.push(JSON.parse(profile).spec.labelsToApply);
    }
    const texts: string[] = spec.ipNetworks ?? spec.expectedIPs ?? spec.nets ?? [];
    yield {
      labels: new Map([...inherited.reverse(), own].flatMap((labels) => Object.entries(labels))),
      prefixes: texts.flatMap((text) => parsePrefixOrAddress(text) ?? []),
    };
  }
}

describe('calc graph, random changes', function () {
  this.timeout(60_000);
  for (let seed = 1; seed <= 4; seed++) {
    it(`gives what a fresh graph gives, seed ${seed}`, () => {
      const random = new RandomWorld(seed);
      const graph = createCalcGraph({ nodeName: 'here' });
      const output = new OutputState();
      graph.onInSync();
      let before: World = new Map();
      for (let round = 0; round < 250; round++) {
        random.step();
        const now = new Map(random.entries);
        graph.onUpdates(steps(before, now, round));
        before = now;
        if (random.chance(0.3)) continue;
        output.apply(graph.flush());
        const fresh = createCalcGraph({ nodeName: 'here' });
        const freshOutput = new OutputState();
        fresh.onInSync();
        fresh.onUpdates(steps(new Map(), now, 1));
        freshOutput.apply(fresh.flush());
        assert.deepEqual(output.snapshot(), freshOutput.snapshot(), `seed ${seed}, round ${round}`);
        assert.deepEqual([...graph.faults.keys()].sort(), [...fresh.faults.keys()].sort());
        const obvious = obviousMembers(now);
        for (const [id, members] of output.ipSets) {
          if (!id.startsWith('s:')) continue;
          assert.deepEqual([...members].sort(), obvious.get(id), `seed ${seed}, round ${round}, ${id}`);
        }
      }
      assert.ok(output.workloads.size > 0 && output.ipSets.size > 0, 'the world is not empty');
    });
  }

  it('uses selectors that parse', () => {
    for (const text of selectors) assert.equal(parseSelector(text).kind, 'selector');
  });
});
