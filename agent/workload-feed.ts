// The bgp child's second look at the datastore: the workloads of all nodes, of which it keeps its own, and only while a
// BGPPeer selects workloads. In a large cluster they are most of what there is.

import type { BgpCollector } from '../bgp/config/collector.ts';
import type { KvStore } from '../datastore/kv.ts';
import { type Syncer, startSyncer } from '../datastore/syncer.ts';
import type { Logger } from '../runtime/log.ts';

export class WorkloadFeed {
  readonly #store: KvStore;
  readonly #collector: BgpCollector;
  readonly #onChange: () => void;
  readonly #log: Logger;
  #syncer: Syncer | undefined;

  constructor(store: KvStore, collector: BgpCollector, onChange: () => void, log: Logger) {
    this.#store = store;
    this.#collector = collector;
    this.#onChange = onChange;
    this.#log = log;
  }

  /** Follows them or stops; true when what is wanted is there. */
  get isReady(): boolean {
    if (!this.#collector.wantsWorkloads) {
      this.#stop();
      return true;
    }
    this.#syncer ??= startSyncer({
      store: this.#store,
      prefixes: this.#collector.workloadPrefixes(),
      handlers: {
        onUpdates: (updates) => {
          this.#collector.onUpdates(updates);
          this.#onChange();
        },
        onStatus: () => this.#onChange(),
        onError: ({ code, message }) => this.#log.warn({ code, reason: message }, 'workloads can not be read'),
      },
    });
    return this.#syncer.status === 'in-sync';
  }

  close(): void {
    this.#syncer?.close();
  }

  #stop(): void {
    if (!this.#syncer) return;
    this.#syncer.close();
    this.#syncer = undefined;
    this.#collector.forgetWorkloads();
  }
}
