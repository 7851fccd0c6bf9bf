// BFD as a process of its own serves it: sessions that go on when the routing process dies, so that its death is not taken
// for that of the forwarding plane (RFC 5880 §4.1, RFC 5882 §4.3). service-client.ts is the other end.
//
//     POST /v1/sessions {peers}  these are the sessions from now on; without the call they stay as they were
//     GET /v1/sessions           what they do
//     GET /v1/watch              a line for the state of each, then one for each change

import { ControlError, type ControlRoutes, JsonLines } from '../../runtime/control.ts';
import { bfdPeersFromJson, sessionsPath, watchPath } from './api.ts';
import { BfdEngine, type BfdOptions, type BfdStateChange } from './engine.ts';

export class BfdService {
  readonly #engine: BfdEngine;
  readonly #watchers = new Set<(change: BfdStateChange) => void>();
  /** Told how many sessions there are whenever somebody has configured them. */
  onConfigured: (sessions: number) => void = () => {};

  constructor(options: Omit<BfdOptions, 'independent'> = {}) {
    this.#engine = new BfdEngine((change) => this.#tell(change), { ...options, independent: true });
  }

  get routes(): ControlRoutes {
    return {
      [`POST ${sessionsPath}`]: ({ body }) => this.#configure(body),
      [`GET ${sessionsPath}`]: () => this.#engine.reports(),
      [`GET ${watchPath}`]: ({ signal }) => this.#watch(signal),
    };
  }

  /** Tells the peers that we stop on purpose. */
  close(): void {
    this.#engine.close();
  }

  #configure(body: unknown): { readonly sessions: number } {
    const peers = bfdPeersFromJson(body);
    if (!peers) throw new ControlError(400, 'peers: a list of BFD peers is needed');
    this.#engine.configure(peers);
    this.onConfigured(peers.length);
    return { sessions: peers.length };
  }

  #watch(signal: AbortSignal): JsonLines {
    return new JsonLines((emit) => {
      for (const change of this.#engine.states()) emit(change);
      return new Promise((resolve) => {
        this.#watchers.add(emit);
        signal.addEventListener('abort', () => {
          this.#watchers.delete(emit);
          resolve();
        });
      });
    });
  }

  #tell(change: BfdStateChange): void {
    for (const emit of this.#watchers) emit(change);
  }
}
