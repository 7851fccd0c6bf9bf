// The files of a data directory, and reading their frames.
//
//     snapshot-0000000007   the state and history when log 7 was begun
//     log-0000000007        what happened since; the last log is the one written to
//     log-0000000008        it may end in zeros, see journal.ts
//     snapshot.tmp          a snapshot being written
//
// Snapshot n holds everything of the logs before n. A log is begun before its snapshot is written, so that after a crash
// in between the previous snapshot and both logs are still there.

import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FRAME_HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES } from './record.ts';

export const logPath = (directory: string, number: number): string => join(directory, `log-${digits(number)}`);
export const snapshotPath = (directory: string, number: number): string =>
  join(directory, `snapshot-${digits(number)}`);
export const temporarySnapshotPath = (directory: string): string => join(directory, 'snapshot.tmp');

const digits = (number: number): string => String(number).padStart(10, '0');

/** Numbers of the snapshots and logs that are there, ascending. */
export function listFiles(directory: string): { readonly snapshots: number[]; readonly logs: number[] } {
  const numbers = (kind: string): number[] =>
    readdirSync(directory)
      .map((name) => new RegExp(`^${kind}-(\\d{10})$`).exec(name)?.[1])
      .filter((number) => number !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
  return { snapshots: numbers('snapshot'), logs: numbers('log') };
}

export type FileEnd =
  /** Zeros may follow: room that the journal has made ahead. */
  | { readonly kind: 'whole'; readonly bytes: number }
  /** Good up to `bytes`; what follows, up to `end`, is no frame. `later`: there is a good frame behind the damage. */
  | { readonly kind: 'damaged'; readonly bytes: number; readonly end: number; readonly later: boolean };

/** Calls `onPayload` for each good frame from the start; the buffer is only good during the call. */
export function readFrames(path: string, onPayload: (payload: Buffer) => void): FileEnd {
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    let offset = 0;
    while (offset < size) {
      const payload = readFrame(fd, offset, size);
      if (!payload) return endAt(fd, offset, size);
      onPayload(payload);
      offset += FRAME_HEADER_BYTES + payload.length;
    }
    return { kind: 'whole', bytes: offset };
  } finally {
    closeSync(fd);
  }
}

function endAt(fd: number, bytes: number, size: number): FileEnd {
  const end = endOfData(fd, bytes, size);
  if (end === bytes) return { kind: 'whole', bytes };
  return { kind: 'damaged', bytes, end, later: hasFrameBehind(fd, bytes + 1, size) };
}

/** Where nothing but zeros follows. */
function endOfData(fd: number, from: number, size: number): number {
  const window = Buffer.alloc(64 * 1024);
  let end = from;
  for (let base = from; base < size; base += window.length) {
    const bytes = window.subarray(0, readSync(fd, window, 0, window.length, base));
    const last = bytes.findLastIndex((byte) => byte !== 0);
    if (last >= 0) end = base + last + 1;
  }
  return end;
}

function readFrame(fd: number, offset: number, size: number): Buffer | undefined {
  if (offset + FRAME_HEADER_BYTES > size) return undefined;
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  readSync(fd, header, 0, FRAME_HEADER_BYTES, offset);
  const length = header.readUInt32LE(4);
  // An empty one is never written: it is the start of a frame whose rest is still zeros.
  if (!header.subarray(0, 4).equals(MAGIC) || length === 0 || length > MAX_PAYLOAD_BYTES) return undefined;
  if (offset + FRAME_HEADER_BYTES + length > size) return undefined;
  const payload = Buffer.alloc(length);
  readSync(fd, payload, 0, length, offset + FRAME_HEADER_BYTES);
  return crc32(payload) === header.readUInt32LE(8) ? payload : undefined;
}

function hasFrameBehind(fd: number, from: number, size: number): boolean {
  const window = Buffer.alloc(1024 * 1024);
  for (let base = from; base < size; base += window.length - MAGIC.length + 1) {
    const length = readSync(fd, window, 0, window.length, base);
    const bytes = window.subarray(0, length);
    for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
      if (readFrame(fd, base + at, size)) return true;
    }
  }
  return false;
}
