// Reads a bbolt file: the entries of its buckets, in order. Only what it takes to restore a snapshot; a page is read when
// its turn comes, and anything that can not be is an error that says which page.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import {
  BUCKET_BYTES,
  decodeMetaPage,
  ELEMENT_BYTES,
  type Entry,
  FLAGS,
  IS_BUCKET,
  type Meta,
  PAGE_BYTES,
  PAGE_HEADER_BYTES,
  readPageHeader,
} from './format.ts';

/** No tree is deeper: at two children a branch that would be more pages than there can be. */
const MAX_DEPTH = 64;

interface Element extends Entry {
  readonly flags: number;
}

export class BoltFile {
  readonly #fd: number;
  readonly #meta: Meta;
  readonly #buckets = new Map<string, Buffer>();

  /** Throws an Error when it is no such file. */
  constructor(path: string) {
    this.#fd = openSync(path, 'r');
    try {
      this.#meta = newestMeta(this.#fd);
      const size = fstatSync(this.#fd).size;
      if (size < this.#meta.highWater * PAGE_BYTES) {
        throw new Error(`it ends early: ${size} of ${this.#meta.highWater * PAGE_BYTES} bytes`);
      }
      for (const { key, value, flags } of this.#elements(this.#meta.rootPage)) {
        if (flags & IS_BUCKET) this.#buckets.set(key.toString('latin1'), value);
      }
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  get bucketNames(): readonly string[] {
    return [...this.#buckets.keys()];
  }

  /** The entries of a bucket by key; none when there is no such bucket. Their buffers stay valid. */
  *entries(bucket: string): Generator<Entry, void, undefined> {
    const value = this.#buckets.get(bucket);
    if (!value) return;
    if (value.length < BUCKET_BYTES) throw new Error(`bucket ${bucket} is damaged`);
    const rootPage = Number(value.readBigUInt64LE(0));
    // A small bucket has no page of its own: its only page lies behind its header.
    const elements = rootPage === 0 ? leafElements(value.subarray(BUCKET_BYTES), bucket) : this.#elements(rootPage);
    for (const { key, value, flags } of elements) if (!(flags & IS_BUCKET)) yield { key, value };
  }

  close(): void {
    closeSync(this.#fd);
  }

  *#elements(id: number, depth = 0): Generator<Element, void, undefined> {
    if (depth > MAX_DEPTH) throw new Error(`page ${id} is part of a circle`);
    const page = this.#page(id);
    const { flags } = readPageHeader(page);
    if (flags & FLAGS.leaf) yield* leafElements(page, `page ${id}`);
    else if (flags & FLAGS.branch) for (const child of childrenOf(page, id)) yield* this.#elements(child, depth + 1);
    else throw new Error(`page ${id} is neither a leaf nor a branch`);
  }

  #page(id: number): Buffer {
    if (id < 2 || id >= this.#meta.highWater) throw new Error(`page ${id} is none of this file's`);
    const first = readAt(this.#fd, id, 1);
    const header = readPageHeader(first);
    if (header.id !== id) throw new Error(`page ${id} is damaged: it says that it is page ${header.id}`);
    if (id + header.overflow >= this.#meta.highWater) throw new Error(`page ${id} is damaged: it is too long`);
    return header.overflow === 0 ? first : readAt(this.#fd, id, 1 + header.overflow);
  }
}

function readAt(fd: number, page: number, pages: number): Buffer {
  const bytes = Buffer.alloc(pages * PAGE_BYTES);
  const length = readSync(fd, bytes, 0, bytes.length, page * PAGE_BYTES);
  if (length < bytes.length) throw new Error(`page ${page} is cut short`);
  return bytes;
}

/** Of the two meta pages the newer one that is whole: a crash may have torn the other. */
function newestMeta(fd: number): Meta {
  const size = fstatSync(fd).size;
  const found = [0, 1].flatMap((id) => (size < (id + 1) * PAGE_BYTES ? [] : (decodeMetaPage(readAt(fd, id, 1)) ?? [])));
  const [newest] = found.sort((a, b) => b.transaction - a.transaction);
  if (!newest) throw new Error('it is no bbolt file with pages of 4096 bytes, or its first pages are damaged');
  return newest;
}

function* leafElements(page: Buffer, name: string): Generator<Element, void, undefined> {
  const { count } = readPageHeader(page);
  for (let i = 0; i < count; i++) {
    const element = PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
    if (element + ELEMENT_BYTES > page.length) throw new Error(`${name} is damaged`);
    const keyAt = element + page.readUInt32LE(element + 4);
    const valueAt = keyAt + page.readUInt32LE(element + 8);
    const end = valueAt + page.readUInt32LE(element + 12);
    if (end > page.length) throw new Error(`${name} is damaged: entry ${i} is longer than the page`);
    yield { flags: page.readUInt32LE(element), key: page.subarray(keyAt, valueAt), value: page.subarray(valueAt, end) };
  }
}

function* childrenOf(page: Buffer, id: number): Generator<number, void, undefined> {
  const { count } = readPageHeader(page);
  if (PAGE_HEADER_BYTES + count * ELEMENT_BYTES > page.length) throw new Error(`page ${id} is damaged`);
  for (let i = 0; i < count; i++) {
    yield Number(page.readBigUInt64LE(PAGE_HEADER_BYTES + i * ELEMENT_BYTES + 8));
  }
}
