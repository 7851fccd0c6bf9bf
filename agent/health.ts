// Health over HTTP, for kubelet probes and Prometheus: /liveness, /readiness, /metrics.
//
// Alive: this process answers and its children exist or are being started again. Ready: felix has programmed the kernel
// once and the CNI socket is served; sessions that are down make a node degraded, not unready, as pods on it still talk.

import { createServer, type Server } from 'node:http';
import { ControlError, callControl } from '../runtime/control.ts';
import type { ChildStatus } from './supervisor.ts';

export interface Readiness {
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reasons: readonly string[];
}

export interface HealthSources {
  readonly children: () => readonly ChildStatus[];
  readonly felixSocket: string;
  readonly bgpSocket: string;
  readonly cniServing: () => boolean;
}

const isReady = (status: unknown): boolean =>
  typeof status === 'object' && status !== null && 'ready' in status && status.ready === true;

const reasonOf = (status: unknown): string =>
  typeof status === 'object' && status !== null && 'reason' in status ? String(status.reason) : 'not yet in sync';

export async function readiness(sources: HealthSources): Promise<Readiness> {
  const reasons: string[] = [];
  if (!sources.cniServing()) reasons.push('cni: socket not served yet');
  // Without BFD sessions live by their hold timers.
  const sockets = { felix: sources.felixSocket, bgp: sources.bgpSocket, bfd: undefined };
  for (const { role } of sources.children()) {
    const socket = sockets[role];
    if (socket === undefined) continue;
    try {
      const status = await callControl(socket, '/v1/status', { timeoutMs: 2000 });
      if (!isReady(status)) reasons.push(`${role}: ${reasonOf(status)}`);
    } catch (error) {
      reasons.push(`${role}: ${error instanceof ControlError ? error.message : String(error)}`);
    }
  }
  return { ready: reasons.length === 0, reasons };
}

async function metrics(sources: HealthSources): Promise<string> {
  const own = sources
    .children()
    .flatMap(({ role, pid, restarts }) => [
      `twill_child_up{child="${role}"} ${pid === undefined ? 0 : 1}`,
      `twill_child_restarts_total{child="${role}"} ${restarts}`,
    ]);
  const parts = [`${own.join('\n')}\n`];
  for (const socket of [sources.felixSocket, sources.bgpSocket]) {
    // A child without metrics, or none at all, shows in twill_child_up.
    const text = await callControl(socket, '/metrics', { timeoutMs: 2000 }).catch(() => '');
    if (typeof text === 'string') parts.push(text);
  }
  return parts.join('');
}

/** Serves on 127.0.0.1. Rejects when the port is taken. */
export async function serveHealth(port: number, sources: HealthSources): Promise<Server> {
  const server = createServer((request, response) => {
    const reply = (status: number, text: string): void =>
      void response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
    const answer = async (): Promise<void> => {
      switch (request.url) {
        case '/liveness':
          return reply(200, 'alive\n');
        case '/readiness': {
          const { ready, reasons } = await readiness(sources);
          return reply(ready ? 200 : 503, ready ? 'ready\n' : `${reasons.join('\n')}\n`);
        }
        case '/metrics':
          return reply(200, await metrics(sources));
        default:
          return reply(404, 'there are /liveness, /readiness and /metrics\n');
      }
    };
    answer().catch((error: unknown) => reply(500, `${String(error)}\n`));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}
