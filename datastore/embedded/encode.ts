// What carries many keys, encoded straight from Versions: the answers to ranges, and the entries of snapshots. A generic
// encoder makes three objects and two buffers of each key first, which is most of the work of a large list.

import type { Version } from '../mvcc.ts';
import type { Header } from './messages.ts';

export interface RangeAnswer {
  readonly header: Header;
  readonly versions: readonly Version[];
  readonly keysOnly: boolean;
  readonly more: boolean;
  readonly count: number;
}

const isRangeAnswer = (value: object): value is RangeAnswer => 'versions' in value && 'keysOnly' in value;

/** RangeResponse of rpc.proto. */
export function encodeRangeAnswer(answer: object): Buffer {
  if (!isRangeAnswer(answer)) throw new Error('this is no answer to a range');
  const { versions, keysOnly } = answer;
  const header = encodeHeader(answer.header);
  const sizes = versions.map((version) => keyValueSize(version, keysOnly));
  let size = 1 + varintSize(header.length) + header.length + 2 + 1 + varintSize(answer.count);
  for (const one of sizes) size += 1 + varintSize(one) + one;
  const writer = new Writer(size);
  writer.counted(1, header.length);
  writer.raw(header);
  for (const [i, version] of versions.entries()) {
    writer.counted(2, sizes[i] ?? 0);
    writeKeyValue(writer, version, keysOnly);
  }
  writer.number(3, answer.more ? 1 : 0);
  writer.number(4, answer.count);
  return writer.finish();
}

/** mvccpb.KeyValue; of a deletion it is the key alone, as in etcd's file. */
export function encodeKeyValue(version: Version): Buffer {
  const isDeletion = version.version === 0;
  const writer = new Writer(isDeletion ? 11 + version.key.length : keyValueSize(version, false));
  if (isDeletion) writer.text(1, version.key);
  else writeKeyValue(writer, version, false);
  return writer.finish();
}

function encodeHeader(header: Header): Buffer {
  const writer = new Writer(64);
  writer.bigNumber(1, BigInt(header.cluster_id));
  writer.bigNumber(2, BigInt(header.member_id));
  writer.number(3, header.revision);
  writer.number(4, header.raft_term);
  return writer.finish();
}

function keyValueSize(version: Version, keysOnly: boolean): number {
  let size = 1 + varintSize(version.key.length) + version.key.length;
  size += numberSize(version.createRevision) + numberSize(version.modRevision) + numberSize(version.version);
  if (!keysOnly && version.value !== '') size += 1 + varintSize(version.value.length) + version.value.length;
  // A lease is a random number of 63 bits.
  if (version.lease !== '0') size += 1 + bigVarintSize(BigInt(version.lease));
  return size;
}

function writeKeyValue(writer: Writer, version: Version, keysOnly: boolean): void {
  writer.text(1, version.key);
  writer.number(2, version.createRevision);
  writer.number(3, version.modRevision);
  writer.number(4, version.version);
  if (!keysOnly && version.value !== '') writer.text(5, version.value);
  writer.bigNumber(6, BigInt(version.lease));
}

const numberSize = (value: number): number => (value === 0 ? 0 : 1 + varintSize(value));

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function bigVarintSize(value: bigint): number {
  let size = 1;
  for (let rest = value; rest >= 0x80n; rest >>= 7n) size++;
  return size;
}

/** Into one buffer whose size is known, or enough, from the start. Zeros are defaults and left out. */
class Writer {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  number(field: number, value: number): void {
    if (value === 0) return;
    this.#buffer[this.#at++] = field * 8;
    this.#varint(value);
  }

  bigNumber(field: number, value: bigint): void {
    if (value === 0n) return;
    this.#buffer[this.#at++] = field * 8;
    let rest = value;
    for (; rest >= 0x80n; rest >>= 7n) this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#buffer[this.#at++] = Number(rest);
  }

  /** The start of bytes that the caller writes next. */
  counted(field: number, length: number): void {
    this.#buffer[this.#at++] = field * 8 + 2;
    this.#varint(length);
  }

  raw(bytes: Buffer): void {
    this.#at += bytes.copy(this.#buffer, this.#at);
  }

  text(field: number, text: string): void {
    this.counted(field, text.length);
    this.#at += this.#buffer.write(text, this.#at, 'latin1');
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
    this.#buffer[this.#at++] = rest;
  }
}
