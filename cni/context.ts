// What the verbs work with: the agent's parts, and one attachment at a time.

import type { KvStore } from '../datastore/kv.ts';
import type { Allocator } from '../ipam/allocator.ts';
import type { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import type { Logger } from '../runtime/log.ts';

export interface CniServerSettings {
  readonly store: KvStore;
  readonly allocator: Allocator;
  readonly nodeName: string;
  readonly socketPath: string;
  /**
   * Resolves when the endpoint `<namespace>/<name>`, at this revision or a later one, has its policy and route in the
   * kernel. Rejects with an Error whose message says why not.
   */
  readonly awaitEndpoint: (id: string, revision: number, timeoutMs: number) => Promise<void>;
  /** Why no pod can be added now; undefined when one can. */
  readonly ready?: () => string | undefined;
  /** Why policy would not get into the kernel now; undefined when it would. Asked by STATUS. */
  readonly policyStatus?: () => Promise<string | undefined>;
  readonly log: Logger;
  /** MTU of pods; default: that of the node's uplink. */
  readonly mtu?: number;
}

export interface CniContext extends CniServerSettings {
  /** The node's own links and routes. */
  readonly host: Rtnetlink;
  /** Runs work on one attachment after other work on it: keys are WorkloadEndpoint keys. */
  inTurn<T>(key: string, work: () => Promise<T>): Promise<T>;
}

/** A queue for each key, which disappears when it is empty. */
export function createTurns(): CniContext['inTurn'] {
  const last = new Map<string, Promise<unknown>>();
  return (key, work) => {
    const turn = (last.get(key) ?? Promise.resolve()).then(work);
    const settled = turn
      .catch(() => {})
      .then(() => {
        if (last.get(key) === settled) last.delete(key);
      });
    last.set(key, settled);
    return turn;
  };
}
