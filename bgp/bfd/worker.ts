// The thread that BFD runs in. Messages in: what to do; out: state changes and answers. client.ts is the other end.

import { parentPort, workerData } from 'node:worker_threads';
import type { NetnsRef } from '../../linux/netns.ts';
import { callingThread, runBeforeOthers } from '../../linux/scheduling.ts';
import { BfdEngine, type BfdPeer, type BfdReport, type BfdStateChange } from './engine.ts';

export type ToBfdWorker =
  | { readonly kind: 'configure'; readonly peers: readonly BfdPeer[] }
  | { readonly kind: 'report' }
  | { readonly kind: 'close' };

export type FromBfdWorker =
  | { readonly kind: 'state'; readonly change: BfdStateChange }
  | { readonly kind: 'report'; readonly reports: readonly BfdReport[] }
  | { readonly kind: 'failed'; readonly error: string };

export interface BfdWorkerData {
  readonly netns?: NetnsRef;
}

const port = parentPort;
if (port) {
  runBeforeOthers(callingThread);
  const say = (message: FromBfdWorker): void => port.postMessage(message);
  const { netns }: BfdWorkerData = workerData ?? {};
  const engine = new BfdEngine((change) => say({ kind: 'state', change }), netns === undefined ? {} : { netns });
  port.on('message', (message: ToBfdWorker) => {
    switch (message.kind) {
      case 'configure':
        try {
          engine.configure(message.peers);
        } catch (error) {
          say({ kind: 'failed', error: error instanceof Error ? error.message : String(error) });
        }
        break;
      case 'report':
        say({ kind: 'report', reports: engine.reports() });
        break;
      case 'close':
        engine.close();
        // Once the last packets are out.
        setTimeout(() => process.exit(0), 50);
        break;
    }
  });
}
