// BFD as the speaker sees it: sessions to run, and a call when one goes up or down. The sessions live in a thread of their
// own, which is started with the first one.

import type { Worker } from 'node:worker_threads';
import type { NetnsRef } from '../../linux/netns.ts';
import type { Logger } from '../../runtime/log.ts';
import { startWorker } from '../../runtime/worker.ts';
import type { BfdPeer, BfdReport, BfdStateChange } from './engine.ts';
import type { FromBfdWorker, ToBfdWorker } from './worker.ts';

export interface BfdClientOptions {
  readonly log: Logger;
  readonly netns?: NetnsRef;
}

export class BfdClient {
  onState: (change: BfdStateChange) => void = () => {};
  readonly #options: BfdClientOptions;
  #worker: Worker | undefined;
  #reports: ((reports: readonly BfdReport[]) => void)[] = [];

  constructor(options: BfdClientOptions) {
    this.#options = options;
  }

  configure(peers: readonly BfdPeer[]): void {
    if (peers.length === 0 && !this.#worker) return;
    this.#worker ??= this.#start();
    this.#say({ kind: 'configure', peers });
  }

  reports(): Promise<readonly BfdReport[]> {
    if (!this.#worker) return Promise.resolve([]);
    return new Promise((resolve) => {
      this.#reports.push(resolve);
      this.#say({ kind: 'report' });
    });
  }

  /** Peers are told that BFD stops here on purpose. */
  async close(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = undefined;
    const gone = new Promise((resolve) => worker.once('exit', resolve));
    worker.postMessage({ kind: 'close' } satisfies ToBfdWorker);
    await gone;
  }

  #start(): Worker {
    const { log, netns } = this.#options;
    const worker = startWorker(new URL('./worker.ts', import.meta.url), {
      name: 'bfd',
      workerData: netns === undefined ? {} : { netns },
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on('message', (message: FromBfdWorker) => {
      switch (message.kind) {
        case 'state':
          this.onState(message.change);
          break;
        case 'report':
          this.#reports.shift()?.(message.reports);
          break;
        case 'failed':
          log.error({ error: message.error }, 'BFD can not run');
          break;
      }
    });
    worker.once('error', (error) => {
      // Without it sessions live by their hold timers.
      log.error({ error: error.message }, 'BFD has ended');
      this.#worker = undefined;
    });
    return worker;
  }

  #say(message: ToBfdWorker): void {
    this.#worker?.postMessage(message);
  }
}
