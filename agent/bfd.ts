// The bfd child: BFD sessions for the bgp child, which may die and come back without any peer noticing. It knows nothing
// but what the bgp child tells it over its socket, and does so little that there is little for it to die of.
//
// It is started when the bgp child first needs it, and ends by itself, with code 0, when it has had nothing to do for a
// while. Ended on purpose, by a signal or with its supervisor, it tells the peers so: they then know that this is no
// failure (RFC 5882 §3.2). BIRD and FRR take even that for one while the BGP session is up, so bgp goes first.

import { BfdService } from '../bgp/bfd/service.ts';
import { outliveOthers, runBeforeOthers, threadsOfProcess } from '../linux/scheduling.ts';
import { serveControl } from '../runtime/control.ts';
import { createLogger } from '../runtime/log.ts';
import { bfdSocket, type NodeOptions } from './options.ts';
import { onSupervisorGone } from './supervisor.ts';

const idleMs = 30_000;
/** The bgp child notices too that the supervisor is gone, and peers see its connections close. */
const bgpGoesFirstMs = 1000;
/** The last packets are with the kernel by then. */
const farewellMs = 50;

export async function runBfd(options: NodeOptions): Promise<void> {
  const log = createLogger('bfd', options.logLevel);
  // Some packets a second must leave in time on a machine that is short of everything.
  const priority = runBeforeOthers(threadsOfProcess());
  outliveOthers();
  const service = new BfdService();
  let idleTimer: NodeJS.Timeout | undefined;
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
    onSupervisorGone(() => setTimeout(() => resolve('supervisor gone'), bgpGoesFirstMs));
    const whenIdle = (sessions: number): void => {
      clearTimeout(idleTimer);
      if (sessions === 0) idleTimer = setTimeout(() => resolve('nothing to do'), idleMs);
    };
    service.onConfigured = whenIdle;
    whenIdle(0);
  });
  const server = await serveControl(bfdSocket(options), service.routes);
  log.info({ priority }, 'bfd started');
  log.info({ why: await stopped }, 'stopping, peers are told');
  clearTimeout(idleTimer);
  server.close();
  server.closeAllConnections();
  service.close();
  await new Promise((resolve) => setTimeout(resolve, farewellMs));
}
