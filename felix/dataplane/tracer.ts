// Follows the packets of one endpoint for a while. One at a time; what marks the packets is gone at the end, however it
// comes (see nft/trace-table.ts).

import type { LinuxError } from '../../linux/errors.ts';
import { Monitor } from '../../linux/monitor.ts';
import { NftBatchSocket } from '../../linux/netlink/nftables-batch.ts';
import type { NetnsRef } from '../../linux/netns.ts';
import { type TraceTarget, traceTable } from '../nft/trace-table.ts';
import { type TraceDecision, TraceReader, type TraceSource } from './trace.ts';

export type TraceStart =
  | { readonly kind: 'started'; readonly trace: RunningTrace }
  | { readonly kind: 'busy' }
  | { readonly kind: 'refused'; readonly error: LinuxError };

export interface RunningTrace {
  /** Resolves when the time is over, or the signal or close() ended it; then nothing is marked any more. */
  run(onEvent: (event: TraceEvent) => void, seconds: number, signal: AbortSignal): Promise<void>;
}

/** `lost`: the kernel had more to report than we could fetch. */
export type TraceEvent = ({ readonly kind: 'decision' } & TraceDecision) | { readonly kind: 'lost' };

export class Tracer {
  private readonly netns: NetnsRef | undefined;
  private readonly source: TraceSource;
  /** Ends the trace that is running. */
  private stop: (() => void) | undefined;
  /** Of the last one. */
  private ended = Promise.resolve();

  constructor(source: TraceSource, netns?: NetnsRef) {
    this.source = source;
    this.netns = netns;
  }

  start(target: TraceTarget): TraceStart {
    if (this.stop) return { kind: 'busy' };
    const where = this.netns === undefined ? {} : { netns: this.netns };
    const reader = new TraceReader(this.source);
    let onEvent: (event: TraceEvent) => void = () => {};
    const monitor = new Monitor({
      ...where,
      watch: ['traces'],
      onEvents: (events) => {
        for (const event of events) {
          if (event.kind === 'resync') onEvent({ kind: 'lost' });
          const decision = event.kind === 'trace' ? reader.read(event.trace) : undefined;
          if (decision) onEvent({ kind: 'decision', ...decision });
        }
      },
    });
    // A socket for this alone: closing it removes the table.
    const socket = new NftBatchSocket(where);
    const [error] = socket.run(traceTable(target));
    let stop = (): void => {};
    const ended = new Promise<void>((resolve) => {
      stop = () => {
        socket.close();
        if (this.stop === stop) this.stop = undefined;
        resolve();
      };
    }).then(() => monitor.close());
    if (error) {
      stop();
      // Somebody else's process, in the same namespace.
      return error.code === 'EEXIST' || error.code === 'EPERM' ? { kind: 'busy' } : { kind: 'refused', error };
    }
    this.stop = stop;
    this.ended = ended;
    const run: RunningTrace['run'] = async (listener, seconds, signal) => {
      onEvent = listener;
      const timer = setTimeout(stop, seconds * 1000);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      await ended;
      clearTimeout(timer);
    };
    return { kind: 'started', trace: { run } };
  }

  async close(): Promise<void> {
    this.stop?.();
    await this.ended;
  }
}
