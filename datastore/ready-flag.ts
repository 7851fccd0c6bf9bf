// ClusterInformation's datastoreReady, as a follower of the datastore sees it: false while an operator or a migration has locked
// the datastore. What is in it then may be half of the truth: agents keep what they have, and nobody gets an address.

import { decodeResource, resourceKey } from './model/index.ts';
import type { SyncerUpdate } from './sync-cache.ts';

export class ReadyFlag {
  /** What the syncer must follow. */
  static readonly key = resourceKey({ kind: 'ClusterInformation', name: 'default' });
  #locked = false;

  /** Only where somebody has said so: a datastore that does not say anything is ready. */
  get locked(): boolean {
    return this.#locked;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { key, value, revision } of updates) {
      if (key !== ReadyFlag.key) continue;
      const decoded =
        value === undefined ? undefined : decodeResource('ClusterInformation', { value, modRevision: revision });
      // What can not be read says nothing, and changes nothing.
      if (decoded?.kind !== 'invalid') this.#locked = decoded?.resource.spec.datastoreReady === false;
    }
  }
}

export const LOCKED_REASON = 'the datastore is locked (to unlock it: twillctl datastore migrate unlock)';
