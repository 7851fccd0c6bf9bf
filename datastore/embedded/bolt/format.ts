// The layout of bbolt's file, version 2 (https://github.com/etcd-io/bbolt): what etcd keeps its data in, and what
// `etcdctl snapshot` saves and restores. Little-endian throughout.
//
//     file    = page…                               of 4096 bytes: 0 and 1 meta, the others free-page list or B+ trees
//     page    = id:u64 flags:u16 count:u16 overflow:u32, elements, their bytes       overflow: pages that belong to it
//     meta    = magic:u32 version:u32 page size:u32 flags:u32 root bucket free list:u64 high water:u64 txid:u64 checksum:u64
//     bucket  = root page:u64 sequence:u64          in the leaves of the root bucket, one for each name
//     leaf    = flags:u32 position:u32 key size:u32 value size:u32       position: from the element to its key
//     branch  = position:u32 key size:u32 page:u64                       the first key of the page below it

export const PAGE_BYTES = 4096;
export const PAGE_HEADER_BYTES = 16;
export const ELEMENT_BYTES = 16;
export const META_BYTES = 64;
export const BUCKET_BYTES = 16;

export const FLAGS = { branch: 0x01, leaf: 0x02, meta: 0x04, freeList: 0x10 } as const;
/** Of a leaf's element: its value is a bucket. */
export const IS_BUCKET = 0x01;

const MAGIC = 0xed0cdaed;
const VERSION = 2;
/** The count of a page's elements has 16 bits. */
export const MAX_ELEMENTS = 0xffff;

export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** What a meta page says. Page numbers fit a JavaScript number: 2^53 pages are 32 ZiB. */
export interface Meta {
  readonly rootPage: number;
  readonly freeListPage: number;
  /** The first page number that was never used. */
  readonly highWater: number;
  readonly transaction: number;
}

export interface PageHeader {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

export function writePageHeader(page: Buffer, { id, flags, count, overflow }: PageHeader): void {
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(flags, 8);
  page.writeUInt16LE(count, 10);
  page.writeUInt32LE(overflow, 12);
}

export const readPageHeader = (page: Buffer): PageHeader => ({
  id: Number(page.readBigUInt64LE(0)),
  flags: page.readUInt16LE(8),
  count: page.readUInt16LE(10),
  overflow: page.readUInt32LE(12),
});

/** The whole page with this number, 0 or 1. */
export function encodeMetaPage(id: number, meta: Meta): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  writePageHeader(page, { id, flags: FLAGS.meta, count: 0, overflow: 0 });
  const body = page.subarray(PAGE_HEADER_BYTES, PAGE_HEADER_BYTES + META_BYTES);
  body.writeUInt32LE(MAGIC, 0);
  body.writeUInt32LE(VERSION, 4);
  body.writeUInt32LE(PAGE_BYTES, 8);
  body.writeBigUInt64LE(BigInt(meta.rootPage), 16);
  body.writeBigUInt64LE(BigInt(meta.freeListPage), 32);
  body.writeBigUInt64LE(BigInt(meta.highWater), 40);
  body.writeBigUInt64LE(BigInt(meta.transaction), 48);
  body.writeBigUInt64LE(fnv1a64(body.subarray(0, 56)), 56);
  return page;
}

/** Undefined when it is no meta page, a damaged one, or one of another version or page size. */
export function decodeMetaPage(page: Buffer): Meta | undefined {
  if (page.length < PAGE_HEADER_BYTES + META_BYTES) return undefined;
  const body = page.subarray(PAGE_HEADER_BYTES, PAGE_HEADER_BYTES + META_BYTES);
  if (body.readUInt32LE(0) !== MAGIC || body.readUInt32LE(4) !== VERSION) return undefined;
  if (body.readUInt32LE(8) !== PAGE_BYTES || body.readBigUInt64LE(56) !== fnv1a64(body.subarray(0, 56)))
    return undefined;
  return {
    rootPage: Number(body.readBigUInt64LE(16)),
    freeListPage: Number(body.readBigUInt64LE(32)),
    highWater: Number(body.readBigUInt64LE(40)),
    transaction: Number(body.readBigUInt64LE(48)),
  };
}

function fnv1a64(bytes: Buffer): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
