// Shows that folding changes neither which rule matches first nor what a packet's verdict is: random runs of rules against
// a walk through them one by one, and that a big run becomes one lookup.

import { strict as assert } from 'node:assert';
import type { CalcRule } from '../../../felix/calc/output.ts';
import { type CountedClause, fold, type Step } from '../../../felix/rules/fold.ts';
import { type Clause, clausesOf } from '../../../felix/rules/match.ts';
import { formatIpv4, parseIpv4 } from '../../../net/address.ts';
import { prefixOf } from '../../../net/prefix.ts';
import { port, prefix, rule } from '../updates.ts';

interface Packet {
  readonly source: number;
  readonly protocol: number;
  readonly port: number;
}

const noSets = new Set<never>();
const counted = (rules: readonly CalcRule[]): CountedClause[] =>
  rules.flatMap((one, i) =>
    clausesOf(one, () => noSets).map((clause) => ({ clause, counter: `c${i}`, origin: `ingress[${i}]` })),
  );

function clauseMatches({ family, box, rest }: Clause, packet: Packet): boolean {
  assert.deepEqual(rest, []);
  const within = (ranges: readonly { first: number | bigint; last: number | bigint }[] | undefined, value: number) =>
    !ranges || ranges.some(({ first, last }) => first <= value && value <= last);
  return (
    family !== 6 &&
    within(box.source, packet.source) &&
    (box.protocol === undefined || box.protocol === packet.protocol) &&
    within(box.destinationPorts, packet.port)
  );
}

/** Reads a lookup's keys back from their texts, as the kernel would. */
function lookup(step: Step & { kind: 'lookup' }, packet: Packet): string | undefined {
  const fields = step.expression.split(' . ');
  const hits = [...step.elements].filter(([key]) =>
    key.split(' . ').every((text, i) => {
      const field = fields[i] ?? '';
      if (field.endsWith('saddr')) return addressWithin(text, packet.source);
      const value = field === 'meta l4proto' ? packet.protocol : packet.port;
      const [first, last = first] = text.split('-').map(Number);
      return Number(first) <= value && value <= Number(last);
    }),
  );
  assert.ok(hits.length <= 1, `overlapping keys: ${hits.join(' | ')}`);
  return hits[0]?.[1];
}

function addressWithin(text: string, address: number): boolean {
  if (text.includes('/')) {
    const { address: network, length } = prefix(text);
    return prefixOf(address, length).address === network;
  }
  const [first, last = first] = text.split('-').map((part) => Number(parseIpv4(part)));
  return Number(first) <= address && address <= Number(last);
}

function firstMatch(steps: readonly Step[], packet: Packet): string | undefined {
  for (const step of steps) {
    if (step.kind === 'lookup') {
      const counter = lookup(step, packet);
      if (counter !== undefined) return counter;
    } else if (clauseMatches(step.clause.clause, packet)) return step.clause.counter;
  }
  return undefined;
}

/** A small generator, so that a failure can be run again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function randomRule(random: (below: number) => number): CalcRule {
  const network = (): string => `10.0.${random(4)}.${random(8) * 32}/${27 + random(4)}`;
  const prefixes = Array.from({ length: random(3) }, () => {
    const { address, length } = { address: Number(parseIpv4(network().split('/')[0] ?? '')), length: 27 + random(6) };
    return prefixOf(address, length);
  });
  const first = 80 + random(6);
  const ports = random(3) === 0 ? [] : [port(first, first + random(3))];
  return rule('allow', { protocol: random(5) === 0 ? 17 : 6, source: { prefixes }, destination: { ports } });
}

describe('folding of rules', () => {
  it('keeps the first match of every packet, for random runs', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomFrom(seed);
      const rules = Array.from({ length: 1 + random(24) }, () => randomRule(random));
      const clauses = counted(rules);
      const steps = fold(clauses);
      for (let i = 0; i < 100; i++) {
        const packet: Packet = {
          source: Number(parseIpv4(`10.0.${random(4)}.${random(256)}`)),
          protocol: random(3) === 0 ? 17 : 6,
          port: 79 + random(10),
        };
        const expected = clauses.find(({ clause }) => clauseMatches(clause, packet))?.counter;
        assert.equal(
          firstMatch(steps, packet),
          expected,
          `seed ${seed}: ${formatIpv4(packet.source)} ${packet.protocol} ${packet.port}`,
        );
      }
    }
  });

  it('makes one lookup of 5,000 rules', () => {
    const rules = Array.from({ length: 5000 }, (_, i) =>
      rule('allow', {
        protocol: 6,
        source: { prefixes: [prefix(`10.${i >> 8}.${i & 255}.0/24`)] },
        destination: { ports: [port(80, 90)] },
      }),
    );
    const steps = fold(counted(rules));
    assert.equal(steps.length, 1);
    assert.ok(steps[0]?.kind === 'lookup' && steps[0].interval && steps[0].elements.size === 5000);
  });

  it('uses a hash where all keys are points', () => {
    const rules = Array.from({ length: 100 }, (_, i) =>
      rule('allow', { protocol: 6, source: { prefixes: [prefix(`10.0.0.${i}`)] }, destination: { ports: [port(80)] } }),
    );
    const [step, ...more] = fold(counted(rules));
    assert.deepEqual(more, []);
    assert.ok(step?.kind === 'lookup' && !step.interval);
  });

  it('leaves short runs, and products that are too big, as rules of their own', () => {
    const wide = rule('allow', {
      protocol: 6,
      source: { prefixes: Array.from({ length: 20 }, (_, i) => prefix(`10.0.${2 * i}.0/24`)) },
      destination: { ports: Array.from({ length: 10 }, (_, i) => port(2 * i + 1)) },
    });
    assert.deepEqual(
      fold(counted([wide, wide, wide, wide, wide])).map((step) => step.kind),
      ['single', 'single', 'single', 'single', 'single'],
    );
    assert.equal(fold(counted([rule('allow', { protocol: 6 })]))[0]?.kind, 'single');
  });
});
