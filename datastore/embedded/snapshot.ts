// Writes a snapshot beside the running store: the versions were captured in one moment and never change, so encoding
// them can take its time, a slice per turn of the event loop.

import { open, rename } from 'node:fs/promises';
import type { Mvcc, Version } from '../mvcc.ts';
import { snapshotPath, temporarySnapshotPath } from './files.ts';
import { syncDirectory } from './journal.ts';
import { FORMAT, FrameWriter, type Item } from './record.ts';

export interface Capture {
  readonly clusterId: string;
  readonly revision: number;
  readonly compactedRevision: number;
  readonly leases: readonly { readonly id: string; readonly ttlSec: number }[];
  readonly base: readonly Version[];
  readonly changes: readonly Version[];
}

export function capture(mvcc: Mvcc, clusterId: string): Capture {
  const leases = [...mvcc.leases.ids()].map((id) => ({ id, ttlSec: mvcc.leases.ttlSec(id) ?? 0 }));
  return {
    clusterId,
    revision: mvcc.revision,
    compactedRevision: mvcc.compactedRevision,
    leases,
    ...mvcc.capture(),
  };
}

export function* snapshotItems(captured: Capture): Generator<Item, void, undefined> {
  yield { kind: 'header', format: FORMAT, clusterId: captured.clusterId };
  for (const { id, ttlSec } of captured.leases) yield { kind: 'grant', id, ttlSec };
  for (const change of captured.base) yield { kind: 'change', change };
  yield { kind: 'base', revision: captured.compactedRevision };
  for (const change of captured.changes) yield { kind: 'change', change };
  yield { kind: 'end', revision: captured.revision };
}

/** Frames of about this size: small enough not to hold up the event loop. */
const FRAME_BYTES = 256 * 1024;

/** The snapshot as frames; each buffer is valid until the next one is asked for. */
export function* snapshotFrames(captured: Capture): Generator<Buffer, void, undefined> {
  const writer = new FrameWriter();
  for (const item of snapshotItems(captured)) {
    writer.add(item);
    if (writer.bytes >= FRAME_BYTES) yield writer.take();
  }
  if (!writer.empty) yield writer.take();
}

/** Resolves when the snapshot is on disk under its name. Returns its size. */
export async function writeSnapshot(directory: string, number: number, captured: Capture): Promise<number> {
  const temporary = temporarySnapshotPath(directory);
  const file = await open(temporary, 'w', 0o600);
  let bytes = 0;
  try {
    for (const frame of snapshotFrames(captured)) {
      await file.write(frame, 0, frame.length, bytes);
      bytes += frame.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, snapshotPath(directory, number));
  syncDirectory(directory);
  return bytes;
}
