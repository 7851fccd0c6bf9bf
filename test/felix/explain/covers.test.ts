// Shows that a rule which is said to cover another matches every packet that the other matches: random rules and packets.

import assert from 'node:assert/strict';
import { outermost } from '../../../felix/calc/compile.ts';
import type { CalcEntity, CalcRule } from '../../../felix/calc/output.ts';
import { ruleCovers } from '../../../felix/explain/covers.ts';
import { mismatches } from '../../../felix/explain/match.ts';
import type { Packet } from '../../../felix/explain/packet.ts';
import { Picture } from '../../../felix/explain/picture.ts';
import { hostPrefix } from '../../../net/prefix.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

const seed = Number(process.env['SEED'] ?? 5);
const random = seededRandom(seed);
const chance = (part: number): boolean => random() < part;
const base = 0x0a000000;

function pick<T>(values: readonly [T, ...T[]]): T {
  return values[randomInt(random, values.length)] ?? values[0];
}

const nets = (part: number) =>
  chance(part) ? outermost([pick(['10.0.0.0/30', '10.0.0.0/31', '10.0.0.2/32', '10.0.0.0/29', '0.0.0.0/0'])]) : [];
const ranges = (part: number) => {
  const first = 1 + randomInt(random, 4);
  return chance(part) ? [{ first, last: first + randomInt(random, 3) }] : [];
};
const sets = (part: number): string[] => (chance(part) ? [pick(['s:0', 's:1', 's:2'])] : []);

const entity = (): CalcEntity => ({
  prefixes: nets(0.4),
  notPrefixes: nets(0.2),
  ipSets: sets(0.3),
  notIpSets: sets(0.2),
  ports: ranges(0.3),
  namedPortSets: chance(0.1) ? ['n:0'] : [],
  notPorts: ranges(0.2),
  notNamedPortSets: chance(0.1) ? ['n:0'] : [],
});

const rule = (): CalcRule => ({
  action: 'allow',
  origin: '',
  ...(chance(0.1) && { family: 4 }),
  ...(chance(0.5) && { protocol: pick([6, 17]) }),
  ...(chance(0.2) && { notProtocol: pick([6, 17]) }),
  source: chance(0.5) ? entity() : { ...entity(), ports: [], notPorts: [], namedPortSets: [], notNamedPortSets: [] },
  destination: entity(),
});

const packet = (): Packet => ({
  source: base + randomInt(random, 8),
  destination: base + randomInt(random, 8),
  protocol: pick([6, 17]),
  sourcePort: 1 + randomInt(random, 8),
  destinationPort: 1 + randomInt(random, 8),
});

describe('rule coverage', function () {
  this.timeout(60_000);
  it('is never claimed wrongly', () => {
    const picture = new Picture();
    for (let i = 0; i < 3; i++) {
      const members = [0, 1, 2, 3, 4, 5, 6, 7].filter(() => chance(0.5));
      picture.apply([
        {
          kind: 'ip-set',
          id: `s:${i}`,
          type: 'prefixes',
          members: members.map((member) => ({ kind: 'prefix', prefix: hostPrefix(base + member) })),
        },
      ]);
    }
    const member = { kind: 'address-port', address: base + 1, protocol: 6, port: 2 } as const;
    picture.apply([{ kind: 'ip-set', id: 'n:0', type: 'address-ports', members: [member] }]);
    const matches = (one: CalcRule, sent: Packet): boolean =>
      mismatches(one, sent, picture, () => undefined).length === 0;
    const packets = Array.from({ length: 120 }, packet);
    let claims = 0;
    for (let round = 0; round < 30_000; round++) {
      const [outer, inner] = [rule(), rule()];
      if (!ruleCovers(outer, inner)) continue;
      claims++;
      for (const sent of packets) {
        assert.ok(
          !matches(inner, sent) || matches(outer, sent),
          `seed ${seed}: ${JSON.stringify({ outer, inner, sent })}`,
        );
      }
    }
    assert.ok(claims > 100, `only ${claims} pairs cover each other`);
    for (let i = 0; i < 1000; i++) {
      const one = rule();
      assert.ok(ruleCovers(one, one), `a rule covers itself: ${JSON.stringify(one)}`);
    }
  });
});
