// The program in every pod, and in the outside client: it serves, and it probes others when the lab asks.
//
//   main.ts <name> <control socket> <port>…
//
// On each port it answers a TCP connection with one line that names it and the source address that it saw, as an HTTP
// response so that curl works too, and counts UDP datagrams by source. It can be started before its namespace has any
// interface: it listens on all addresses that come.

import { createSocket } from 'node:dgram';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { ConnectResult, FloodResult, Received, Request, Target, Turn, WatchResult } from './protocol.ts';

const [name = '', controlSocket = '', ...ports] = process.argv.slice(2);
const received = new Map<string, number>();
let ongoing: { stop(): WatchResult | FloodResult } | undefined;

for (const port of ports.map(Number)) {
  serveTcp(port);
  countUdp(port);
}
serveControl();

function serveTcp(port: number): void {
  createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`HTTP/1.0 200 OK\r\n\r\n${name} sees ${socket.remoteAddress}\n`);
  }).listen(port, '0.0.0.0');
}

function countUdp(port: number): void {
  const socket = createSocket('udp4');
  socket.on('message', (_data, { address }) => received.set(address, (received.get(address) ?? 0) + 1));
  socket.bind(port, '0.0.0.0');
}

function serveControl(): void {
  rmSync(controlSocket, { force: true });
  createServer((socket) => {
    socket.on('error', () => {});
    createInterface({ input: socket }).on('line', async (line) => {
      socket.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
    });
  }).listen(controlSocket);
}

async function answer(request: Request): Promise<unknown> {
  switch (request.kind) {
    case 'connect':
      return await Promise.all(request.targets.map((target) => connectOnce(target, request.timeoutMs)));
    case 'watch':
      ongoing?.stop();
      ongoing = watch(request.target, request.everyMs, request.timeoutMs);
      return null;
    case 'flood':
      ongoing?.stop();
      ongoing = flood(request.addresses, request.port, request.everyMs);
      return null;
    case 'stop': {
      const result = ongoing?.stop();
      ongoing = undefined;
      return result ?? null;
    }
    case 'received':
      return [...received].map(([source, count]): Received => ({ source, count }));
  }
}

function connectOnce(target: Target, timeoutMs: number): Promise<ConnectResult> {
  return new Promise((resolve) => {
    let text = '';
    const socket: Socket = connect({ host: target.address, port: target.port });
    const finish = (connected: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      const seenAs = text.match(/ sees (\S+)/)?.[1];
      resolve({ target, connected, ...(seenAs === undefined ? {} : { seenAs }) });
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => finish(false));
    socket.on('end', () => finish(true));
  });
}

const now = (): number => performance.timeOrigin + performance.now();

/** Notes when it begins and when it ceases to connect. An attempt counts from when it began. */
function watch(target: Target, everyMs: number, timeoutMs: number): { stop(): WatchResult } {
  const turns: Turn[] = [];
  let attempts = 0;
  let newest = 0;
  const timer = setInterval(async () => {
    const began = now();
    attempts++;
    const { connected } = await connectOnce(target, timeoutMs);
    // A refused attempt is known only after its timeout; by then later ones may have ended.
    if (began < newest) return;
    newest = began;
    if (turns.at(-1)?.connected !== connected) turns.push({ at: connected ? now() : began, connected });
  }, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      return { attempts, turns };
    },
  };
}

function flood(addresses: readonly string[], port: number, everyMs: number): { stop(): FloodResult } {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  let sent = 0;
  const timer = setInterval(() => {
    for (const address of addresses) socket.send(name, port, address, () => {});
    sent += addresses.length;
  }, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      socket.close();
      return { sent };
    },
  };
}
