// A process inside a namespace that sends and answers many small probes at once: TCP connections and UDP datagrams, each
// from a port of its own, so that no probe meets the conntrack entry of another.
//
//   → {"id":1,"timeoutMs":300,"probes":[{"protocol":6,"address":"10.65.0.2","port":80,"sourcePort":20001}]}
//   ← {"id":1,"results":[true]}
//
// It starts with the ports to answer on as its arguments, and says {"ready":true} when it listens.

import { createSocket } from 'node:dgram';
import { createServer, Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface Probe {
  readonly protocol: 6 | 17;
  readonly address: string;
  readonly port: number;
  readonly sourcePort: number;
}

export interface ProbeRequest {
  readonly id: number;
  readonly timeoutMs: number;
  readonly probes: readonly Probe[];
}

function listen(port: number): Promise<unknown> {
  const server = createServer((socket) => socket.on('error', () => {}).end('ok'));
  const tcp = new Promise((resolve) => server.listen({ port, host: '::' }, () => resolve(undefined)));
  const udp = (['udp4', 'udp6'] as const).map((type) => {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    return new Promise((resolve) => socket.bind(port, () => resolve(undefined)));
  });
  return Promise.all([tcp, ...udp]);
}

function tcpProbe({ address, port, sourcePort }: Probe, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const finish = (result: boolean): void => {
      // A reset leaves nothing behind, neither here nor in conntrack's way.
      socket.resetAndDestroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.once('data', () => {
      clearTimeout(timer);
      finish(true);
    });
    socket.once('error', () => {
      clearTimeout(timer);
      finish(false);
    });
    socket.connect({ host: address, port, localPort: sourcePort });
  });
}

function udpProbe({ address, port, sourcePort }: Probe, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const finish = (result: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.once('message', () => finish(true));
    socket.once('error', () => finish(false));
    socket.bind(sourcePort, () => socket.send('probe', port, address));
  });
}

async function main(ports: readonly string[]): Promise<void> {
  await Promise.all(ports.map((port) => listen(Number(port))));
  process.stdout.write('{"ready":true}\n');
  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const { id, timeoutMs, probes }: ProbeRequest = JSON.parse(line);
      const results = await Promise.all(
        probes.map((probe) => (probe.protocol === 6 ? tcpProbe(probe, timeoutMs) : udpProbe(probe, timeoutMs))),
      );
      process.stdout.write(`${JSON.stringify({ id, results })}\n`);
    })
    .on('close', () => process.exit(0));
}

if (process.argv[1]?.endsWith('prober.ts')) void main(process.argv.slice(2));
