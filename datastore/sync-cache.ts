// What a syncer has delivered so far, so that after a resync it can deliver the difference and nothing else. Pure.
//
// A resync is: beginResync(), list() with every entry that the store has, endResync(). Between resyncs event() filters
// what the watches say. The cache remembers per key its revision and a hash of its value, not the value: a quarter of a
// million endpoints take some 30 MB here instead of 200. Equal revisions mean equal values as long as the store only
// goes forward; the hash is for a store that was restored or replaced, where revisions happen twice.

import type { KvEntry, Revision, WatchEvent } from './kv.ts';

/** One change for the owner of the syncer: the value as text, undefined when the key is gone. */
export interface SyncerUpdate {
  readonly key: string;
  readonly value: string | undefined;
  /** Where the change happened: the modRevision of the value, or of the deletion when it was seen happening. */
  readonly revision: Revision;
}

interface Known {
  revision: Revision;
  hash: number;
  /** The resync in which the key was last seen. */
  resync: number;
}

export class SyncCache {
  readonly #known = new Map<string, Known>();
  #resync = 0;

  get size(): number {
    return this.#known.size;
  }

  beginResync(): void {
    this.#resync++;
  }

  /** The entries of a page that differ from what was delivered. */
  list(entries: readonly KvEntry[]): SyncerUpdate[] {
    const updates: SyncerUpdate[] = [];
    for (const { key, value, modRevision } of entries) {
      const hash = hashOf(value);
      const known = this.#known.get(key);
      const same = known !== undefined && known.revision === modRevision && known.hash === hash;
      this.#remember(key, known, modRevision, hash);
      if (!same) updates.push({ key, value, revision: modRevision });
    }
    return updates;
  }

  /** Deletions of the keys that the whole list, read at `revision`, did not have. */
  *endResync(revision: Revision): Generator<SyncerUpdate, void, undefined> {
    for (const [key, known] of this.#known) {
      if (known.resync === this.#resync) continue;
      this.#known.delete(key);
      yield { key, value: undefined, revision };
    }
  }

  /** The update for a watch's event; undefined when it says nothing new. */
  event(event: WatchEvent): SyncerUpdate | undefined {
    if (event.kind === 'delete') {
      const known = this.#known.get(event.key);
      if (!known || known.revision > event.modRevision) return undefined;
      this.#known.delete(event.key);
      return { key: event.key, value: undefined, revision: event.modRevision };
    }
    const { key, value, modRevision } = event.entry;
    const known = this.#known.get(key);
    if (known && known.revision >= modRevision) return undefined;
    this.#remember(key, known, modRevision, hashOf(value));
    return { key, value, revision: modRevision };
  }

  #remember(key: string, known: Known | undefined, revision: Revision, hash: number): void {
    if (known) {
      known.revision = revision;
      known.hash = hash;
      known.resync = this.#resync;
    } else this.#known.set(key, { revision, hash, resync: this.#resync });
  }
}

/** Two independent 32-bit FNV-style hashes as one number of 53 bits. */
function hashOf(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return (a >>> 0) + ((b >>> 0) & 0x1fffff) * 0x100000000;
}
