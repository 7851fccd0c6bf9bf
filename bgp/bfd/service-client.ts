// BFD as the speaker sees it where a process of its own does it. That process keeps its sessions while this one is away,
// and tells their states when it is back.
//
// When the BFD process is gone, nothing is known of any peer: sessions then live by their hold timers, and it is told
// anew what to watch when it answers again.

import { callControl, callControlLines } from '../../runtime/control.ts';
import type { Logger } from '../../runtime/log.ts';
import { bfdPeersToJson, sessionsPath, stateChangeFromJson, watchPath } from './api.ts';
import type { BfdPeer, BfdStateChange } from './engine.ts';

export interface BfdServiceClientOptions {
  readonly socketPath: string;
  /** Asks for the process to be started; called again as long as it does not answer. */
  readonly wake: () => void;
  readonly log: Logger;
}

const retryMs = 100;

export class BfdServiceClient {
  onState: (change: BfdStateChange) => void = () => {};
  readonly #options: BfdServiceClientOptions;
  readonly #closing = new AbortController();
  #peers: readonly BfdPeer[] = [];
  /** What the process was told last, as text. */
  #told: string | undefined;
  #running = false;
  readonly #up = new Set<string>();

  constructor(options: BfdServiceClientOptions) {
    this.#options = options;
  }

  configure(peers: readonly BfdPeer[]): void {
    this.#peers = peers;
    if (peers.length === 0 && !this.#running) {
      void this.#endLeftSessions();
      return;
    }
    if (this.#running) void this.#tell();
    else void this.#run();
  }

  /** The process goes on. */
  close(): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  /** A predecessor of this process may have had peers; if nobody listens, none did. */
  async #endLeftSessions(): Promise<void> {
    await callControl(this.#options.socketPath, sessionsPath, { body: bfdPeersToJson([]) }).catch(() => {});
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { signal } = this.#closing;
    let isKnownGone = true;
    while (!signal.aborted) {
      this.#told = undefined;
      try {
        await this.#tell(true);
        if (!isKnownGone) this.#options.log.info('BFD answers again');
        isKnownGone = true;
        await callControlLines(this.#options.socketPath, watchPath, (line) => this.#onLine(line), signal);
        throw new Error('BFD has ended');
      } catch (error) {
        if (signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.log[isKnownGone ? 'info' : 'debug']({ reason }, 'BFD does not answer, asking for it');
        isKnownGone = false;
        this.#forget();
        this.#options.wake();
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** Failures show when the watch ends, unless `orThrow`. */
  async #tell(orThrow = false): Promise<void> {
    const body = bfdPeersToJson(this.#peers);
    const text = JSON.stringify(body);
    if (text === this.#told) return;
    this.#told = text;
    try {
      await callControl(this.#options.socketPath, sessionsPath, { body });
    } catch (error) {
      this.#told = undefined;
      if (orThrow) throw error;
      this.#options.log.warn({ reason: String(error) }, 'BFD was not told what to watch');
    }
  }

  /** Sessions of a new process begin as being down, which says nothing of the peers. */
  #forget(): void {
    for (const key of this.#up) {
      const reason = 'BFD is being started again';
      this.onState({ key, state: 'Down', byAdministrator: true, remoteIndependent: false, reason });
    }
    this.#up.clear();
  }

  #onLine(line: unknown): void {
    const change = stateChangeFromJson(line);
    if (!change || this.#closing.signal.aborted) return;
    if (change.state === 'Up') this.#up.add(change.key);
    else this.#up.delete(change.key);
    this.onState(change);
  }
}
