// Shows that the evaluator behind `twillctl policy why` and the rules in the kernel agree: random policies on real pods,
// and for thousands of real TCP, UDP and ICMP packets the evaluator's verdict against what arrives.
//
// A failure prints its seed; SEED=<n> ROUNDS=<n> repeats it.

import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Evaluated } from './evaluated.ts';
import { type TestNode, until } from './node.ts';
import type { Probe, ProbeRequest } from './prober.ts';
import { type End, outsideAddresses, startRandomSite } from './random-site.ts';
import { ports, type RandomWorld } from './random-world.ts';
import type { ResourceFeed } from './resource-feed.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const rounds = Number(process.env['ROUNDS'] ?? 12);
const CELLS_PER_ROUND = 240;
const PINGS_PER_ROUND = 10;

/** A prober process in a namespace. */
class Prober {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (results: readonly boolean[]) => void>();
  #text = '';
  #nextId = 1;
  ready = false;

  constructor(netns: string) {
    const script = fileURLToPath(new URL('./prober.ts', import.meta.url));
    const node = [process.execPath, '--import', 'tsx', script, ...ports.map(String)];
    this.#process = spawn('ip', ['netns', 'exec', netns, ...node]);
    this.#process.stderr.resume();
    this.#process.stdout.on('data', (chunk) => this.#read(String(chunk)));
  }

  #read(chunk: string): void {
    const lines = (this.#text + chunk).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      const { id, results, ready } = JSON.parse(line);
      if (ready) this.ready = true;
      this.#waiting.get(id)?.(results);
      this.#waiting.delete(id);
    }
  }

  run(probes: readonly Probe[], timeoutMs: number): Promise<readonly boolean[]> {
    if (probes.length === 0) return Promise.resolve([]);
    const request: ProbeRequest = { id: this.#nextId++, timeoutMs, probes };
    return new Promise((resolve) => {
      this.#waiting.set(request.id, resolve);
      this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  stop(): void {
    this.#process.stdin.end();
    this.#process.kill();
  }
}

interface Station extends End {
  readonly prober: Prober;
}

interface Cell {
  readonly source: Station;
  readonly from: string;
  readonly to: string;
  readonly protocol: 6 | 17;
  readonly port: number;
}

describe('evaluator and kernel', function () {
  this.timeout(180_000);
  let node: TestNode;
  let feed: ResourceFeed;
  const stations: Station[] = [];
  let world: RandomWorld;
  let sourcePort = 20_000;

  before(async () => {
    const site = await startRandomSite(seed);
    ({ node, world, feed } = site);
    for (const end of site.ends) stations.push({ ...end, prober: new Prober(end.netns) });
    await until('all probers listen', () => stations.every(({ prober }) => prober.ready), 20_000);
  });

  after(async () => {
    for (const { prober } of stations) prober.stop();
    await node.remove();
  });

  /** Two of the pods, the outside host and the node, in one IP version. */
  function randomCell(): Cell {
    const [outsideHost, nodeItself] = stations.slice(5);
    const ofNode = world.chance(0.15) && outsideHost && nodeItself;
    const pair = ofNode ? [outsideHost, nodeItself] : stations;
    const source = world.pick(ofNode || world.chance(0.3) ? pair : stations.slice(0, 5));
    const target = world.pick(pair.filter((station) => station !== source));
    const family = world.below(2);
    return {
      source,
      from: source.addresses[family] ?? '',
      to: target.addresses[family] ?? '',
      protocol: world.pick([6, 17]),
      port: world.pick(ports),
    };
  }

  const nextSourcePort = (): number => {
    sourcePort = sourcePort >= 59_000 ? 20_000 : sourcePort + 1;
    return sourcePort;
  };

  async function seen(
    cells: readonly (Cell & { sourcePort: number })[],
    timeoutMs: number,
  ): Promise<readonly boolean[]> {
    const results = new Array<boolean>(cells.length).fill(false);
    await Promise.all(
      stations.map(async ({ prober, name }) => {
        const own = cells.flatMap((cell, i) => (cell.source.name === name ? [{ cell, i }] : []));
        const probes = own.map(({ cell }) => ({
          protocol: cell.protocol,
          address: cell.to,
          port: cell.port,
          sourcePort: cell.sourcePort,
        }));
        const answers = await prober.run(probes, timeoutMs);
        for (const [at, { i }] of own.entries()) results[i] = answers[at] ?? false;
      }),
    );
    return results;
  }

  it(`agree about every packet (seed ${seed}, ${rounds} rounds)`, async () => {
    const counts = { cells: 0, allowed: 0 };
    for (let round = 0; round < rounds; round++) {
      world.step();
      const now = new Map(world.entries);
      await feed.set(now);

      const evaluated = new Evaluated(now, outsideAddresses);
      const wrong = async (cells: readonly Cell[], timeoutMs: number): Promise<Cell[]> => {
        const sent = cells.map((cell) => ({ ...cell, sourcePort: nextSourcePort() }));
        const results = await seen(sent, timeoutMs);
        return sent.filter((cell, i) => {
          const { protocol, port } = cell;
          const expected = evaluated.allows(cell.from, cell.to, {
            protocol,
            destinationPort: port,
            sourcePort: cell.sourcePort,
          });
          if (expected) counts.allowed++;
          return results[i] !== expected;
        });
      };
      const cells = Array.from({ length: CELLS_PER_ROUND }, randomCell);
      counts.cells += cells.length;
      // On a busy machine an answer may come late: what disagrees is asked once more, with patience.
      const disagreeing = await wrong(await wrong(cells, 250), 1500);
      for (const cell of disagreeing) {
        const answer = evaluated.explain(cell.from, cell.to, {
          protocol: cell.protocol,
          destinationPort: cell.port,
          sourcePort: 50_000,
        });
        assert.fail(`seed ${seed}, round ${round}: the kernel decides otherwise than\n${answer}\n${node.ruleset()}`);
      }
      await Promise.all(
        Array.from({ length: PINGS_PER_ROUND }, async () => {
          const { source, from, to } = randomCell();
          const icmp = from.includes(':')
            ? { protocol: 58, icmpType: 128, icmpCode: 0 }
            : { protocol: 1, icmpType: 8, icmpCode: 0 };
          const expected = evaluated.allows(from, to, icmp);
          const arrives = await pings(source.netns, to, expected ? 3 : 0.3);
          assert.equal(arrives, expected, `seed ${seed}, round ${round}: ping from ${from} to ${to}`);
        }),
      );
      counts.cells += PINGS_PER_ROUND;
    }
    assert.ok(counts.allowed > counts.cells * 0.1, `${counts.allowed} of ${counts.cells} packets are allowed`);
    assert.ok(counts.allowed < counts.cells * 0.9, `${counts.allowed} of ${counts.cells} packets are allowed`);
  });
});

/** Sends until an answer comes or the time is over. */
function pings(netns: string, address: string, timeoutSec: number): Promise<boolean> {
  const args = [
    'netns',
    'exec',
    netns,
    'timeout',
    `${timeoutSec}`,
    'ping',
    '-c',
    '1',
    '-i',
    '0.2',
    '-W',
    `${timeoutSec}`,
  ];
  return new Promise((resolve) => {
    spawn('ip', [...args, address], { stdio: 'ignore' }).on('exit', (code) => resolve(code === 0));
  });
}
