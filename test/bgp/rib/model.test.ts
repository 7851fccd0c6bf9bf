// Random announcements, withdrawals, late, slow and leaving peers, against a slow and obvious twin: after each flush every
// peer holds exactly what the twin says. And the decision against a reference, in every insertion order.

import assert from 'node:assert/strict';
import { explain } from '../../../bgp/rib/decision.ts';
import { internPrefix } from '../../../bgp/rib/prefixes.ts';
import type { PathAttributes } from '../../../bgp/wire/attributes.ts';
import { attributes, ipv4, Lab, prefix, type TestPeer } from './harness.ts';

/** mulberry32: small, seeded. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Path {
  readonly peer: TestPeer;
  readonly external: boolean;
  readonly routerId: number;
  readonly address: number;
  readonly attributes: PathAttributes;
}

const lengthOf = (path: Path): number =>
  (path.attributes.asPath ?? []).reduce((sum, { kind, asns }) => sum + (kind === 'set' ? 1 : asns.length), 0);
const neighborOf = (path: Path): number => path.attributes.asPath?.[0]?.asns[0] ?? 0;
const medOf = (path: Path): number => path.attributes.med ?? 0;

/** RFC 4271 §9.1.2.2 and RFC 4456 §9, word for word. */
function reference(paths: readonly Path[]): Path | undefined {
  let left = [...paths];
  const keepLeast = (value: (path: Path) => number): void => {
    const best = Math.min(...left.map(value));
    left = left.filter((path) => value(path) === best);
  };
  keepLeast((path) => -(path.attributes.localPref ?? 100));
  keepLeast(lengthOf);
  keepLeast((path) => path.attributes.origin ?? 0);
  left = left.filter(
    (path) => !left.some((other) => neighborOf(other) === neighborOf(path) && medOf(other) < medOf(path)),
  );
  keepLeast((path) => (path.external ? 0 : 1));
  keepLeast((path) => path.attributes.originatorId ?? path.routerId);
  keepLeast((path) => path.attributes.clusterList?.length ?? 0);
  keepLeast((path) => path.address);
  return left[0];
}

const neighbors = [64601, 64602];

function randomAttributes(random: (below: number) => number, external: boolean, asn: number): PathAttributes {
  const first = external ? asn : (neighbors[random(2)] ?? 1);
  const rest = Array.from({ length: random(2) }, () => 1 + random(2));
  return attributes({
    origin: random(4) === 0 ? 2 : 0,
    asPath: [{ kind: 'sequence', asns: [first, ...rest] }],
    med: random(3),
    ...(external ? {} : { localPref: 100 + (random(5) === 0 ? 1 : 0) }),
    ...(!external && random(3) === 0 ? { originatorId: 1000 + random(3), clusterList: [1, 2].slice(random(2)) } : {}),
  });
}

describe('decision process', () => {
  it('agrees with the reference in every insertion order', () => {
    const random = randomFrom(7);
    for (let round = 0; round < 60; round++) {
      const drafts = Array.from({ length: 2 + random(3) }, (_, i) => {
        const external = random(2) === 0;
        const asn = external ? (neighbors[random(2)] ?? 1) : 65000;
        return {
          external,
          asn,
          routerId: 1 + random(3),
          address: 50 + i,
          attributes: randomAttributes(random, external, asn),
        };
      });
      const winners = new Set<number>();
      for (const order of permutations(drafts.map((_, i) => i))) {
        const lab = new Lab();
        const paths = drafts.map(({ asn, routerId, address, ...rest }) => {
          const peer = lab.peer({ asn, routerId, client: true, address: `10.0.0.${address}` });
          return { ...rest, routerId, address: ipv4(`10.0.0.${address}`), peer };
        });
        for (const i of order) paths[i]?.peer.announce('10.0.0.0/8', paths[i].attributes);
        lab.rib.flush();
        const rib = lab.rib.family('ipv4-unicast');
        const id = internPrefix(rib.prefixes, prefix('10.0.0.0/8'));
        const chosen = rib.store.source[rib.best[id] ?? 0];
        const expected = reference(paths);
        assert.equal(chosen, expected?.peer.source, `round ${round}, order ${order.join(' ')}`);
        winners.add(chosen ?? 0);
        const explained = explain(id, rib);
        assert.equal(rib.paths.sourceOf(explained[0]?.path ?? 0), chosen);
        assert.ok(explained.slice(1).every(({ reason }) => reason !== undefined));
      }
      assert.equal(winners.size, 1);
    }
  });
});

function permutations(items: readonly number[]): number[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}

describe('RIBs against a twin', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`hold the same after every flush (seed ${seed})`, () => runTwins(seed, 400));
  }
});

interface Twin {
  readonly peer: TestPeer;
  readonly external: boolean;
  readonly asn: number;
  readonly routerId: number;
  readonly address: number;
  readonly client: boolean;
  /** RFC 7911: is sent all paths. */
  readonly addPath: boolean;
  readonly routes: Map<string, PathAttributes>;
  readonly attributes: PathAttributes;
}

function runTwins(seed: number, steps: number): void {
  const random = randomFrom(seed);
  const lab = new Lab();
  let twins: Twin[] = [];
  let address = 10;
  const join = (): void => {
    const external = random(2) === 0;
    const asn = external ? (neighbors[random(2)] ?? 1) : 65000;
    const client = !external && random(2) === 0;
    const routerId = 1 + random(4);
    address++;
    const text = `10.0.${address >> 8}.${address & 255}`;
    const addPath = random(3) === 0;
    const peer = lab.peer({ asn, routerId, client, address: text, treatment: { addPath } });
    twins.push({
      peer,
      external,
      asn,
      routerId,
      address: ipv4(text),
      client,
      addPath,
      routes: new Map(),
      attributes: {},
    });
  };
  for (let i = 0; i < 4; i++) join();
  for (let step = 0; step < steps; step++) {
    const twin = twins[random(twins.length)];
    if (!twin) continue;
    const text = `192.0.${random(12)}.0/24`;
    switch (random(16)) {
      case 0:
        if (twins.length < 8) join();
        break;
      case 1:
        if (twins.length > 2) twins = leave(lab, twin, twins);
        break;
      case 2:
        twin.peer.queuedBytes = 1 << 30;
        break;
      case 3:
        lab.rib.flush();
        twin.peer.drain();
        break;
      case 4:
      case 5:
      case 6:
        twin.peer.withdraw(text);
        twin.routes.delete(text);
        break;
      case 7:
      case 8:
        lab.rib.flush();
        compare(lab, twins, `seed ${seed}, step ${step}`);
        break;
      default: {
        // Some next hops are addresses of peers, present and to come.
        const nextHop = ipv4(random(2) === 0 ? '10.0.0.1' : `10.0.0.${11 + random(10)}`);
        const chosen = { ...randomAttributes(random, twin.external, twin.asn), nextHop };
        twin.peer.announce(text, chosen);
        twin.routes.set(text, chosen);
      }
    }
  }
  lab.rib.flush();
  for (const { peer } of twins) peer.drain();
  compare(lab, twins, `seed ${seed}, end`);
}

function leave(lab: Lab, twin: Twin, twins: readonly Twin[]): Twin[] {
  for (const group of twin.peer.groups) lab.rib.leave(twin.peer.source, group);
  lab.rib.retire(twin.peer.source);
  return twins.filter((other) => other !== twin);
}

/** Each peer that keeps up has exactly the best paths of others that may go to it. */
function compare(lab: Lab, twins: readonly Twin[], where: string): void {
  const prefixes = new Set(twins.flatMap(({ routes }) => [...routes.keys()]));
  const best = new Map<string, Path & { readonly client: boolean }>();
  for (const text of prefixes) {
    const paths = twins.flatMap(({ routes, ...rest }) => {
      const found = routes.get(text);
      return found ? [{ ...rest, attributes: found }] : [];
    });
    const chosen = reference(paths);
    const full = paths.find((path) => path === chosen);
    if (full) best.set(text, full);
  }
  for (const twin of twins) {
    const { peer, external } = twin;
    if (peer.queuedBytes > 0) continue;
    const paths = twin.addPath ? allPaths(twins) : [...best];
    const expected = paths
      .filter(([, path]) => path.peer !== peer && (external || path.external || path.client || twin.client))
      // RFC 4271 §5.1.3; towards other ASs this speaker is the next hop.
      .filter(([, path]) => external || path.attributes.nextHop !== twin.address)
      .map(([text, path]) => `${text} ${pathText(path.attributes, 0)}`);
    const held = [...peer.table].map(([key, held]) => `${key.split(' ')[0]} ${pathText(held, external ? 1 : 0)}`);
    assert.deepEqual(held.sort(), expected.sort(), where);
    assert.equal(peer.groups[0]?.countFor(peer.source), expected.length, where);
  }
  assert.equal(lab.rib.family('ipv4-unicast').count, best.size, where);
}

const allPaths = (twins: readonly Twin[]): [string, Twin][] =>
  twins.flatMap((twin) =>
    [...twin.routes].map(([text, found]): [string, Twin] => [text, { ...twin, attributes: found }]),
  );

const pathText = ({ asPath = [] }: PathAttributes, skip: number): string =>
  asPath
    .flatMap(({ asns }) => asns)
    .slice(skip)
    .join(' ');
