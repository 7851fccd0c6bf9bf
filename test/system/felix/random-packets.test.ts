// Shows that evaluator and kernel agree about single packets of every protocol that the language knows, sent raw, by what arrives at
// the other end: TCP, UDP, SCTP, UDP-Lite, ICMP and ICMPv6 with types and codes, and one by its number, to pods and the node, from
// pods, the node and outside; with untracked and pre-DNAT policies and host endpoints by name, by address and for all interfaces.
//
// A failure prints its seed; SEED=<n> ROUNDS=<n> repeats it.

import assert from 'node:assert/strict';
import type { Traffic } from '../../../felix/explain/packet.ts';
import { Evaluated } from './evaluated.ts';
import type { TestNode } from './node.ts';
import { ICMP, ICMPV6, type Probe, SCTP, TCP, UDP, UDPLITE } from './packets.ts';
import { outsideAddresses, startRandomSite } from './random-site.ts';
import type { RandomWorld } from './random-world.ts';
import type { ResourceFeed } from './resource-feed.ts';
import { OSPF, type Sending, type Station, Wire } from './wire.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const rounds = Number(process.env['ROUNDS'] ?? 8);
const CELLS_PER_ROUND = 250;
/** Some of them failsafe ports. */
const ports = [80, 81, 8080, 8443, 22, 53, 179];

interface Cell extends Sending {
  readonly probe: Probe & Traffic;
}

describe('evaluator and kernel, packet by packet', function () {
  this.timeout(180_000);
  let node: TestNode;
  let feed: ResourceFeed;
  const stations: Station[] = [];
  let world: RandomWorld;
  let wire: Wire;

  before(async () => {
    const site = await startRandomSite(seed, { singlePackets: true });
    ({ node, world, feed } = site);
    stations.push(...site.ends);
    wire = new Wire(node.name);
    for (const { netns } of stations) wire.addStation(netns);
  });

  after(async () => {
    wire.close();
    await node.remove();
  });

  function randomCell(): Cell {
    const [outsideHost, nodeItself] = stations.slice(5);
    const ofNode = world.chance(0.3) && outsideHost && nodeItself;
    const pair = ofNode ? [outsideHost, nodeItself] : stations;
    const source = world.pick(ofNode || world.chance(0.4) ? pair : stations.slice(0, 5));
    const target = world.pick(pair.filter((station) => station !== source));
    const family = world.below(2);
    const [from = '', to = ''] = [source.addresses[family], target.addresses[family]];
    const serial = wire.nextSerial();
    if (world.chance(0.2)) {
      const [protocol, icmpType] = family === 0 ? [ICMP, 8] : [ICMPV6, 128];
      const probe = { protocol, icmpType, icmpCode: world.below(3), icmpId: serial };
      return { source, target, from, to, probe };
    }
    const protocol = world.pick([TCP, TCP, UDP, UDP, SCTP, UDPLITE, OSPF]);
    const probe = { protocol, sourcePort: serial, destinationPort: world.pick(ports) };
    return { source, target, from, to, probe };
  }

  /** What policy looks at of it: OSPF has no ports. */
  const trafficOf = ({ probe: { icmpId: _, ...traffic } }: Cell): Traffic =>
    traffic.protocol === OSPF ? { protocol: OSPF } : traffic;

  /** Sends all, and returns those about which kernel and expectation differ. */
  async function differing(cells: readonly Cell[], expected: ReadonlyMap<Cell, boolean>): Promise<Cell[]> {
    const arrived = await wire.send(
      cells,
      cells.map((cell) => expected.get(cell) ?? false),
    );
    return cells.filter((cell, i) => arrived[i] !== expected.get(cell));
  }

  /** One packet between two stations is enough for protocols that connection tracking knows by addresses alone. */
  function withoutAnswers(cells: readonly Cell[]): Cell[] {
    const pairs = new Set<string>();
    return cells.filter(({ from, to, probe }) => {
      const pair = [from, to].sort().join();
      if (probe.protocol !== OSPF) return true;
      return !pairs.has(pair) && pairs.add(pair);
    });
  }

  it(`agree about every packet (seed ${seed}, ${rounds} rounds)`, async () => {
    const counts = { cells: 0, allowed: 0 };
    for (let round = 0; round < rounds; round++) {
      world.step();
      const now = new Map(world.entries);
      await feed.set(now);

      const evaluated = new Evaluated(now, outsideAddresses);
      const cells = withoutAnswers(Array.from({ length: CELLS_PER_ROUND }, randomCell));
      const expected = new Map(cells.map((cell) => [cell, evaluated.allows(cell.from, cell.to, trafficOf(cell))]));
      counts.cells += cells.length;
      counts.allowed += [...expected.values()].filter((allowed) => allowed).length;
      // Neighbours may still have to be found: what differs is sent once more.
      for (const cell of await differing(await differing(cells, expected), expected)) {
        const answer = evaluated.explain(cell.from, cell.to, trafficOf(cell));
        const cellText = JSON.stringify({ ...trafficOf(cell), from: cell.from, to: cell.to });
        assert.fail(
          `seed ${seed}, round ${round}: the kernel decides otherwise than\n${answer}\n${cellText}\n${node.ruleset()}`,
        );
      }
    }
    assert.ok(counts.allowed > counts.cells * 0.1, `${counts.allowed} of ${counts.cells} packets are allowed`);
    assert.ok(counts.allowed < counts.cells * 0.9, `${counts.allowed} of ${counts.cells} packets are allowed`);
  });
});
