// A store as etcd keeps it in its bbolt file, so that `etcdctl snapshot` and etcd itself can read it, and back.
//
//     bucket key     main revision:u64 "_" sub:u64 ["t"]  →  mvccpb.KeyValue      big-endian; "t" marks a deletion
//     bucket lease   id:i64                               →  leasepb.Lease
//     bucket meta    finishedCompactRev …                 →  a revision
//
// A file that is sent (Maintenance.Snapshot) ends with its SHA-256, as etcd's does.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Mvcc, NO_LEASE, type Version } from '../mvcc.ts';
import { MessageWriter, readFields } from '../protobuf.ts';
import type { Entry } from './bolt/format.ts';
import { BoltFile } from './bolt/read.ts';
import { type Bucket, boltFile } from './bolt/write.ts';
import { encodeKeyValue } from './encode.ts';
import type { Capture } from './snapshot.ts';

const REVISION_BYTES = 17;
const DELETION_MARK = 't'.charCodeAt(0);
const SHA256_BYTES = 32;
const SECTOR_BYTES = 512;

/** Buckets that etcd has beside ours; it looks at them without asking whether they are there. */
const EMPTY_BUCKETS = ['alarm', 'auth', 'authRoles', 'authUsers', 'cluster', 'members', 'members_removed'] as const;

/** The bbolt file and the checksum behind it, in pieces, some of them empty. */
export function* etcdSnapshot(captured: Capture): Generator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  for (const piece of boltFile(bucketsOf(captured))) {
    hash.update(piece);
    yield piece;
  }
  yield hash.digest();
}

/** The buckets of etcd 3.4. */
export function bucketsOf(captured: Capture): readonly Bucket[] {
  const leases = captured.leases.map(leaseEntry).sort((a, b) => Buffer.compare(a.key, b.key));
  return [
    ...EMPTY_BUCKETS.map((name) => ({ name, entries: () => [] })),
    { name: 'key', entries: () => keyEntries(captured) },
    { name: 'lease', entries: () => leases },
    { name: 'meta', entries: () => metaEntries(captured) },
  ];
}

/**
 * The entries of the bucket `key`, without those of the versions that are not wanted. Within a revision the changes are
 * numbered from 0, in their order; compaction may have left gaps, which say nothing.
 */
export function* keyEntries(
  { base, changes }: Capture,
  isWanted: (version: Version) => boolean = () => true,
): Generator<Entry, void, undefined> {
  const byRevision = [...base].sort((a, b) => a.modRevision - b.modRevision);
  let [main, sub] = [0, 0];
  for (const part of [byRevision, changes]) {
    for (const version of part) {
      sub = version.modRevision === main ? sub + 1 : 0;
      main = version.modRevision;
      if (!isWanted(version)) continue;
      yield { key: revisionKey(main, sub, version.version === 0), value: encodeKeyValue(version) };
    }
  }
}

function revisionKey(main: number, sub: number, isDeletion: boolean): Buffer {
  const key = Buffer.alloc(REVISION_BYTES + (isDeletion ? 1 : 0));
  writeUint64(key, main, 0);
  key.write('_', 8, 'latin1');
  writeUint64(key, sub, 9);
  if (isDeletion) key[REVISION_BYTES] = DELETION_MARK;
  return key;
}

function writeUint64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  buffer.writeUInt32BE(value % 2 ** 32, at + 4);
}

function leaseEntry({ id, ttlSec }: Capture['leases'][number]): Entry {
  const key = Buffer.alloc(8);
  key.writeBigInt64BE(BigInt(id));
  return { key, value: new MessageWriter().bigNumber(1, BigInt(id)).number(2, ttlSec).finish() };
}

const COMPACTIONS = ['finishedCompactRev', 'scheduledCompactRev'] as const;

function* metaEntries({ compactedRevision, revision }: Capture): Generator<Entry, void, undefined> {
  const index = Buffer.alloc(8);
  writeUint64(index, revision, 0);
  // Of the log of changes that made this state; a restored member begins a log of its own.
  yield { key: Buffer.from('consistent_index'), value: index };
  if (compactedRevision === 0) return;
  for (const name of COMPACTIONS) yield { key: Buffer.from(name), value: revisionKey(compactedRevision, 0, false) };
}

/** The store in a file of etcd: a snapshot, or the db file of a stopped member. Throws an Error when it is none or damaged. */
export function readEtcdSnapshot(path: string): Mvcc {
  checkSum(path);
  const file = new BoltFile(path);
  try {
    if (!file.bucketNames.includes('key')) throw new Error('it has no keys of etcd 3');
    return readStore(file);
  } finally {
    file.close();
  }
}

/** Whole pages need no checksum; a snapshot that was sent has one behind them. */
function checkSum(path: string): void {
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    if (size % SECTOR_BYTES !== SHA256_BYTES) return;
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(1024 * 1024);
    let at = 0;
    const end = size - SHA256_BYTES;
    while (at < end) {
      const length = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at);
      if (length === 0) break;
      hash.update(buffer.subarray(0, length));
      at += length;
    }
    const wanted = Buffer.alloc(SHA256_BYTES);
    readSync(fd, wanted, 0, SHA256_BYTES, end);
    if (!hash.digest().equals(wanted)) throw new Error('its checksum is wrong: it was changed or is damaged');
  } finally {
    closeSync(fd);
  }
}

function readStore(file: BoltFile): Mvcc {
  const mvcc = new Mvcc();
  for (const { value } of file.entries('lease')) {
    const lease = readLease(value);
    mvcc.leases.grant(lease.id, lease.ttlSec, 0);
  }
  const compacted = compactedRevision(file);
  // A compaction that was only scheduled has left what it will remove: the newest state of each key is what counts.
  const base = new Map<string, Version>();
  const changes: Version[] = [];
  for (const { key, value } of file.entries('key')) {
    const change = readChange(key, value);
    if (change.modRevision > compacted) changes.push(change);
    else if (change.version === 0) base.delete(change.key);
    else base.set(change.key, change);
  }
  for (const version of base.values()) mvcc.load(version);
  mvcc.startFrom(compacted);
  for (const change of changes) mvcc.replay(change);
  return mvcc;
}

function compactedRevision(file: BoltFile): number {
  let revision = 0;
  for (const { key, value } of file.entries('meta')) {
    if (COMPACTIONS.some((name) => name === key.toString('latin1')) && value.length >= 8) {
      revision = Math.max(revision, Number(value.readBigUInt64BE(0)));
    }
  }
  return revision;
}

function readLease(value: Buffer): { readonly id: string; readonly ttlSec: number } {
  let [id, ttlSec] = ['0', 0];
  for (const field of readFields(value)) {
    if (field.number === 1) id = BigInt.asIntN(64, field.value).toString();
    else if (field.number === 2) ttlSec = Number(field.value);
  }
  return { id, ttlSec };
}

function readChange(revision: Buffer, value: Buffer): Version {
  if (revision.length < REVISION_BYTES) throw new Error('a key in it is no revision');
  const isDeletion = revision[REVISION_BYTES] === DELETION_MARK;
  const change = {
    key: '',
    value: '',
    createRevision: 0,
    modRevision: Number(revision.readBigUInt64BE(0)),
    version: 0,
    lease: NO_LEASE,
    older: undefined,
  };
  for (const field of readFields(value)) {
    if (field.number === 1) change.key = field.bytes.toString('latin1');
    if (isDeletion) continue;
    if (field.number === 2) change.createRevision = Number(field.value);
    else if (field.number === 4) change.version = Number(field.value);
    else if (field.number === 5) change.value = field.bytes.toString('latin1');
    else if (field.number === 6) change.lease = BigInt.asIntN(64, field.value).toString();
  }
  return change;
}
