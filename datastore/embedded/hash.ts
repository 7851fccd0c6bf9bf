// The checksums by which etcd's members compare what they hold (Maintenance.Hash and HashKV; `etcdctl endpoint hashkv`):
// CRC-32C over the entries of the file that a snapshot would be, so that a store and one restored from it have the same.

import { setImmediate } from 'node:timers/promises';
import type { Bytes, Version } from '../mvcc.ts';
import type { Entry } from './bolt/format.ts';
import { bucketsOf, keyEntries } from './etcd-snapshot.ts';
import type { Capture } from './snapshot.ts';

/** Entries between two turns of the event loop. */
const STEP = 2000;

/**
 * Over the keys as they were at this revision, and their history since the last compaction. As in etcd, what is older than
 * that counts only where it was still the state of its key.
 */
export async function hashOfKeys(captured: Capture, revision: number): Promise<number> {
  const { base, compactedRevision } = captured;
  const newest = new Map<Bytes, Version>();
  for (const change of captured.changes) if (change.modRevision <= revision) newest.set(change.key, change);
  const somethingIsThere =
    base.some(({ key }) => !newest.has(key)) || [...newest.values()].some(({ version }) => version > 0);
  const isWanted = ({ key, modRevision }: Version): boolean => {
    if (modRevision > compactedRevision) return modRevision <= revision;
    return !somethingIsThere || !newest.has(key);
  };
  return await hashOf('key', keyEntries(captured, isWanted), 0);
}

/** Over everything. */
export async function hashOfAll(captured: Capture): Promise<number> {
  let crc = 0;
  const buckets = [...bucketsOf(captured)].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, entries } of buckets) crc = await hashOf(name, entries(), crc);
  return crc;
}

async function hashOf(bucket: string, entries: Iterable<Entry>, previous: number): Promise<number> {
  let crc = crc32c(Buffer.from(bucket, 'latin1'), previous);
  let seen = 0;
  for (const { key, value } of entries) {
    if (++seen % STEP === 0) await setImmediate();
    // Members may be at different places of the log of changes and hold the same.
    if (bucket === 'meta' && key.toString('latin1') === 'consistent_index') continue;
    crc = crc32c(value, crc32c(key, crc));
  }
  return crc;
}

/** Castagnoli's polynomial, reversed (RFC 3720 §B.4). */
const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** The checksum of what `previous` is the checksum of, followed by these bytes. */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous;
  for (let i = 0; i < bytes.length; i++) crc = (table[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}
