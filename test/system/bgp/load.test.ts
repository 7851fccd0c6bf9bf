// Shows twill-bgp, as a process of its own, under load: a thousand peers that connect at once, a session of 3 s hold time
// beside a table of a million routes, and a peer that reads nothing. Needs no privileges: everything is on 127.0.0.0/8.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { announcements, RawPeer } from './raw-peer.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const OWN_AS = 65000;
const folder = mkdtempSync(join(tmpdir(), 'tw-bgp-load-'));

describe('twill-bgp under load', function () {
  this.timeout(120_000);
  let speaker: ChildProcess | undefined;
  let peers: RawPeer[] = [];
  let port = 0;

  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(async () => {
    for (const peer of peers) peer.close();
    peers = [];
    speaker?.kill('SIGKILL');
    await new Promise((resolve) => speaker?.once('exit', resolve));
  });

  async function start(neighbors: readonly object[]): Promise<void> {
    port = await freePort();
    const file = join(folder, 'bgp.json');
    const listen = [{ address: '127.0.0.1', port }];
    writeFileSync(file, JSON.stringify({ routerId: '10.0.0.1', asn: OWN_AS, listen, neighbors, restartTime: 0 }));
    const argv = ['--import', 'tsx', join(root, 'bgp/main.ts'), '--config', file, '--log-level', 'info'];
    const child = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
    speaker = child;
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`twill-bgp ended with ${code}`)));
      child.stderr?.on('data', (bytes) => String(bytes).includes('twill-bgp started') && resolve());
    });
  }

  function connect(number: number, asn: number, holdTimeSec: number): RawPeer {
    const address = addressOf(number);
    const peer = new RawPeer({ port, address, asn, routerId: 0x0b000000 + number, holdTimeSec });
    peers.push(peer);
    return peer;
  }

  it('takes a thousand peers with four routes each, all connecting at once', async () => {
    const count = 1000;
    const numbers = Array.from({ length: count }, (_, i) => i + 1);
    await start(numbers.map((i) => neighbor(i, OWN_AS, { routeReflectorClient: true })));
    const started = performance.now();
    for (const i of numbers) connect(i, OWN_AS, 90);
    await until(() => peers.every((peer) => peer.established), 'all sessions');
    const established = performance.now();
    for (const [i, peer] of peers.entries()) peer.send(clientRoutes(4, i * 4));
    await until(() => peers.every(({ announced }) => announced >= (count - 1) * 4), 'all routes at all peers');
    const [sessions, routes] = [established - started, performance.now() - established];
    console.log(`        sessions in ${sessions.toFixed(0)} ms, routes in ${routes.toFixed(0)} ms more`);
    const before = cpuTicks(speaker);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const idle = cpuTicks(speaker) - before;
    console.log(`        idle: ${(idle / 3).toFixed(1)} % of a CPU`);
    assert.ok(idle < 60, `${idle} ticks in 3 s`);
  });

  it('keeps a session of 3 s hold time while another brings a million routes', async () => {
    await start([neighbor(1, 64601), neighbor(2, 64602), neighbor(3, 64603)]);
    const quick = connect(1, 64601, 3);
    const source = connect(2, 64602, 90);
    await until(() => peers.every((peer) => peer.established), 'sessions');
    source.send(announcements(1_000_000, 64602));
    await until(() => quick.announced >= 1_000_000, 'a million routes', 60_000);
    const late = connect(3, 64603, 3);
    await until(() => late.announced >= 1_000_000, 'a million routes at the late one', 60_000);
    assert.equal(quick.closed, undefined);
    assert.ok(quick.longestSilenceMs < 3000, `${quick.longestSilenceMs} ms of silence`);
  });

  it('is not held up by a peer that reads nothing, and keeps little for it', async () => {
    await start([neighbor(1, 64601), neighbor(2, 64602), neighbor(3, 64603)]);
    const source = connect(1, 64601, 90);
    const stuck = connect(2, 64602, 90);
    const sink = connect(3, 64603, 90);
    await until(() => peers.every((peer) => peer.established), 'sessions');
    stuck.stall();
    const table = announcements(500_000, 64601);
    source.send(table);
    await until(() => sink.announced >= 500_000, 'the table at the sink', 60_000);
    for (let round = 0; round < 4; round++) {
      source.send(announcements(500_000, 64601, 500_000));
      source.send(table);
    }
    await until(() => sink.announced >= 1_000_000, 'all at the sink', 60_000);
    const rss = residentMib(speaker);
    console.log(`        resident: ${rss} MiB`);
    assert.ok(rss < 450, `${rss} MiB`);
    stuck.resume();
    await until(() => stuck.announced >= 1_000_000, 'all at the peer that was stuck', 60_000);
    assert.equal(stuck.closed, undefined);
  });
});

const addressOf = (number: number): string => `127.7.${number >> 8}.${number & 255}`;

const neighbor = (number: number, asn: number, rest: object = {}): object => ({
  address: addressOf(number),
  asn,
  passive: true,
  ...rest,
});

/** iBGP routes: as announcements(), with LOCAL_PREF in place of the path's own AS numbers. */
function clientRoutes(count: number, first: number): Uint8Array {
  const nlri: number[] = [];
  for (let i = first; i < first + count; i++) nlri.push(26, 10, i >> 10, i >> 2, (i & 3) << 6);
  const attributes = [0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 127, 0, 0, 9, 0x40, 5, 4, 0, 0, 0, 100];
  const length = 19 + 4 + attributes.length + nlri.length;
  const head = [...new Array<number>(16).fill(255), length >> 8, length & 255, 2, 0, 0, 0, attributes.length];
  return Uint8Array.from([...head, ...attributes, ...nlri]);
}

async function until(condition: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** User and system time in hundredths of a second. */
function cpuTicks(child: ChildProcess | undefined): number {
  const fields = readFileSync(`/proc/${child?.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function residentMib(child: ChildProcess | undefined): number {
  const status = readFileSync(`/proc/${child?.pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}
