// What the log and the snapshot are made of. Pure: items to bytes and back.
//
//     file    = frame…                         the first frame of a file holds its header
//     frame   = "TWFR" length:u32 crc32:u32 payload          one group commit: whole, or as if it had not been
//     payload = item…                          tag, then varints and counted bytes
//
// A frame that is cut short or damaged at the very end of the log was never acknowledged and is dropped. A damaged frame
// with a good one behind it means that acknowledged data were lost by the disk, and is an error (see recovery.ts).

import { crc32 } from 'node:zlib';
import type { Bytes, Version } from '../mvcc.ts';

export type Item =
  | { readonly kind: 'header'; readonly format: number; readonly clusterId: string }
  /** A put, or a deletion when its version is 0. */
  | { readonly kind: 'change'; readonly change: Omit<Version, 'older'> }
  | { readonly kind: 'grant'; readonly id: string; readonly ttlSec: number }
  | { readonly kind: 'revoke'; readonly id: string }
  | { readonly kind: 'compact'; readonly revision: number }
  /** In snapshots: what comes before is the state at this compacted revision, what follows the history since. */
  | { readonly kind: 'base'; readonly revision: number }
  /** In snapshots: the end, so that a cut one is told from a whole one. */
  | { readonly kind: 'end'; readonly revision: number };

export const FORMAT = 1;
export const FRAME_HEADER_BYTES = 12;
export const MAGIC = Buffer.from('TWFR', 'latin1');
/** No frame is longer; a longer length is damage. */
export const MAX_PAYLOAD_BYTES = 256 * 1024 * 1024;

const TAGS = { header: 1, put: 2, delete: 3, grant: 4, revoke: 5, compact: 6, base: 7, end: 8 } as const;

/** Collects items into one frame. */
export class FrameWriter {
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #length = FRAME_HEADER_BYTES;

  get empty(): boolean {
    return this.#length === FRAME_HEADER_BYTES;
  }

  get bytes(): number {
    return this.#length;
  }

  add(item: Item): void {
    switch (item.kind) {
      case 'header':
        this.#tag(TAGS.header);
        this.#varint(item.format);
        this.#text(item.clusterId);
        return;
      case 'change':
        this.#change(item.change);
        return;
      case 'grant':
        this.#tag(TAGS.grant);
        this.#text(item.id);
        this.#varint(item.ttlSec);
        return;
      case 'revoke':
        this.#tag(TAGS.revoke);
        this.#text(item.id);
        return;
      case 'compact':
      case 'base':
      case 'end':
        this.#tag(TAGS[item.kind]);
        this.#varint(item.revision);
        return;
    }
  }

  /** The frame, and an empty writer afterwards. The bytes stay valid until the writer is used again. */
  take(): Buffer {
    const frame = this.#buffer.subarray(0, this.#length);
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    frame.set(MAGIC, 0);
    frame.writeUInt32LE(payload.length, 4);
    frame.writeUInt32LE(crc32(payload), 8);
    this.#length = FRAME_HEADER_BYTES;
    return frame;
  }

  #change(change: Omit<Version, 'older'>): void {
    const isPut = change.version > 0;
    this.#tag(isPut ? TAGS.put : TAGS.delete);
    this.#varint(change.modRevision);
    this.#text(change.key);
    if (!isPut) return;
    this.#varint(change.createRevision);
    this.#varint(change.version);
    this.#text(change.lease);
    this.#text(change.value);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #tag(tag: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = tag;
  }

  #varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  #text(text: Bytes): void {
    this.#varint(text.length);
    this.#reserve(text.length);
    this.#length += this.#buffer.write(text, this.#length, 'latin1');
  }
}

/** Reads the items of a payload whose checksum was right; throws an Error when it makes no sense all the same. */
export function* readItems(payload: Buffer): Generator<Item, void, undefined> {
  const reader = new ItemReader(payload);
  while (!reader.done) yield reader.item();
}

class ItemReader {
  readonly #payload: Buffer;
  #at = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  get done(): boolean {
    return this.#at >= this.#payload.length;
  }

  item(): Item {
    const tag = this.#payload[this.#at++];
    switch (tag) {
      case TAGS.header:
        return { kind: 'header', format: this.#varint(), clusterId: this.#text() };
      case TAGS.put: {
        const modRevision = this.#varint();
        const key = this.#text();
        const createRevision = this.#varint();
        const version = this.#varint();
        const lease = this.#text();
        return {
          kind: 'change',
          change: { key, value: this.#text(), createRevision, modRevision, version, lease },
        };
      }
      case TAGS.delete: {
        const modRevision = this.#varint();
        const key = this.#text();
        return {
          kind: 'change',
          change: { key, value: '', createRevision: 0, modRevision, version: 0, lease: '0' },
        };
      }
      case TAGS.grant:
        return { kind: 'grant', id: this.#text(), ttlSec: this.#varint() };
      case TAGS.revoke:
        return { kind: 'revoke', id: this.#text() };
      case TAGS.compact:
        return { kind: 'compact', revision: this.#varint() };
      case TAGS.base:
        return { kind: 'base', revision: this.#varint() };
      case TAGS.end:
        return { kind: 'end', revision: this.#varint() };
      default:
        throw new Error(`unknown item ${tag} in a frame; it was written by a newer twill-datastore`);
    }
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#payload[this.#at++];
      if (byte === undefined || scale > Number.MAX_SAFE_INTEGER) throw new Error('a number in a frame does not end');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  #text(): Bytes {
    const length = this.#varint();
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#payload.length) throw new Error('a text in a frame is longer than the frame');
    return this.#payload.toString('latin1', start, this.#at);
  }
}
