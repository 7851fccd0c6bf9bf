// Writes UPDATEs into slabs, back to back, so that what one turn has to say to a group of peers is a few long arrays that
// all their connections share. A chunk is for all members of the group but at most two: the source of its routes, and whose
// own address their next hop is.

import assert from 'node:assert/strict';
import type { AddressFamily } from '../settings.ts';
import { AttributeCode, EXTENDED_LENGTH, OPTIONAL } from '../wire/attributes.ts';
import { writeUint16 } from '../wire/bytes.ts';
import { HEADER_LENGTH, MAX_MESSAGE_LENGTH, MessageType, toWireFamily } from '../wire/message.ts';
import type { IdList } from './columns.ts';
import type { ExportAttributes } from './export-attributes.ts';
import type { PrefixTable } from './prefixes.ts';

export interface Chunk {
  readonly bytes: Uint8Array;
  /** Source that does not get it; -1: everybody does. */
  readonly except: number;
  /** Another one. */
  readonly besides: number;
  /** Source that alone gets it; -1: it is for all. */
  readonly only: number;
  /** UPDATEs in it. */
  readonly updates: number;
}

/** RFC 4271 §4.1: all ones. */
const MARKER_LENGTH = 16;
const SLAB_BYTES = 128 * 1024;
/** Longest NLRI of any family, with a path identifier. */
const LONGEST_NLRI = 21;

/** Whether attributes leave room for at least one prefix. */
export const fitsMessage = (
  { length, reachLength }: ExportAttributes,
  { maxMessageLength }: { readonly maxMessageLength: number },
): boolean => HEADER_LENGTH + 4 + length + reachLength + LONGEST_NLRI <= maxMessageLength;

/** Longest NLRI of a family, with its path identifier where there is one. */
const nlriRoom = (prefixes: PrefixTable, identifiers: IdList | undefined): number =>
  (prefixes.family === 4 ? 5 : 17) + (identifiers ? 4 : 0);

export class UpdateWriter {
  #slab: Uint8Array = new Uint8Array(0);
  #at = 0;
  #chunkFrom = 0;
  #except = -1;
  #only = -1;
  #besides = -1;
  #chunks: Chunk[] = [];
  #updates = 0;

  /** Whom the following messages are for: all but `except` and `besides`, or `only` one; -1 for no such restriction. */
  address(except: number, only = -1, besides = -1): void {
    if (except === this.#except && only === this.#only && besides === this.#besides) return;
    this.#cut();
    this.#except = except;
    this.#only = only;
    this.#besides = besides;
  }

  /** What was written since the last call. */
  take(): readonly Chunk[] {
    this.#cut();
    const chunks = this.#chunks;
    if (chunks.length > 0) this.#chunks = [];
    return chunks;
  }

  /**
   * UPDATEs announcing prefixes with these attributes, which fit into a message.
   * @param identifiers beside the ids, RFC 7911; undefined: none are sent.
   */
  announce(
    attributes: ExportAttributes,
    prefixes: PrefixTable,
    { ids, length }: IdList,
    maxLength: number,
    identifiers?: IdList,
  ): void {
    const fixed = HEADER_LENGTH + 4 + attributes.length + attributes.reachLength;
    // Longer messages than needed help nobody; long attributes may need them (RFC 8654).
    const longest = nlriRoom(prefixes, identifiers);
    const limit = fixed + longest > MAX_MESSAGE_LENGTH ? maxLength : MAX_MESSAGE_LENGTH;
    assert(fixed + longest <= limit, 'attributes longer than a message');
    let i = 0;
    while (i < length) {
      const start = this.#begin(limit);
      const slab = this.#slab;
      const tail = attributes.reachLength > 0 ? attributes.length : 0;
      let at = start + HEADER_LENGTH + 4;
      if (tail > 0) at = copy(attributes.reach, attributes.reachLength, slab, at);
      else at = copy(attributes.bytes, attributes.length, slab, at);
      const room = start + limit - tail - longest;
      const nlri = at;
      for (; i < length && at <= room; i++) {
        if (identifiers) at = writeIdentifier(slab, at, identifiers.ids[i] ?? 0);
        at = prefixes.write(ids[i] ?? 0, slab, at);
      }
      if (tail > 0) {
        // The length octets of MP_REACH_NLRI count what follows them.
        writeUint16(slab, start + HEADER_LENGTH + 6, attributes.reachLength - 4 + at - nlri);
        at = copy(attributes.bytes, tail, slab, at);
        writeUint16(slab, start + HEADER_LENGTH + 2, at - start - HEADER_LENGTH - 4);
      } else {
        writeUint16(slab, start + HEADER_LENGTH + 2, attributes.length);
      }
      writeUint16(slab, start + HEADER_LENGTH, 0);
      this.#finish(start, at);
    }
  }

  /** UPDATEs withdrawing prefixes. */
  withdraw(family: AddressFamily, prefixes: PrefixTable, { ids, length }: IdList, identifiers?: IdList): void {
    const plain = family === 'ipv4-unicast';
    let i = 0;
    while (i < length) {
      const start = this.#begin(MAX_MESSAGE_LENGTH);
      const slab = this.#slab;
      const room = start + MAX_MESSAGE_LENGTH - 2 - nlriRoom(prefixes, identifiers);
      const nlri = start + HEADER_LENGTH + (plain ? 2 : 11);
      let at = nlri;
      for (; i < length && at <= room; i++) {
        if (identifiers) at = writeIdentifier(slab, at, identifiers.ids[i] ?? 0);
        at = prefixes.write(ids[i] ?? 0, slab, at);
      }
      if (plain) {
        writeUint16(slab, start + HEADER_LENGTH, at - nlri);
        writeUint16(slab, at, 0);
        at += 2;
      } else {
        writeUnreachHead(slab, start + HEADER_LENGTH, family, at - nlri);
      }
      this.#finish(start, at);
    }
  }

  /** RFC 4724 §2. */
  endOfRib(family: AddressFamily): void {
    const start = this.#begin(MAX_MESSAGE_LENGTH);
    const body = start + HEADER_LENGTH;
    if (family === 'ipv4-unicast') {
      this.#slab.fill(0, body, body + 4);
      this.#finish(start, body + 4);
    } else {
      writeUnreachHead(this.#slab, body, family, 0);
      this.#finish(start, body + 11);
    }
  }

  /** Other messages, already framed, in their place between UPDATEs. */
  raw(message: Uint8Array): void {
    const start = this.#begin(message.length);
    this.#slab.set(message, start);
    this.#at = start + message.length;
  }

  #begin(limit: number): number {
    if (this.#at + limit > this.#slab.length) {
      this.#cut();
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, limit));
      this.#at = 0;
      this.#chunkFrom = 0;
    }
    return this.#at;
  }

  #finish(start: number, end: number): void {
    const slab = this.#slab;
    // Buffer.fill() would cost more than all the rest of a short message.
    for (let at = start; at < start + MARKER_LENGTH; at++) slab[at] = 0xff;
    writeUint16(slab, start + 16, end - start);
    slab[start + 18] = MessageType.update;
    this.#at = end;
    this.#updates++;
  }

  #cut(): void {
    if (this.#at === this.#chunkFrom) return;
    const bytes = this.#slab.subarray(this.#chunkFrom, this.#at);
    this.#chunks.push({
      bytes,
      except: this.#except,
      besides: this.#besides,
      only: this.#only,
      updates: this.#updates,
    });
    this.#updates = 0;
    this.#chunkFrom = this.#at;
  }
}

function copy(source: Uint8Array, length: number, target: Uint8Array, at: number): number {
  for (let i = 0; i < length; i++) target[at + i] = source[i] ?? 0;
  return at + length;
}

function writeIdentifier(bytes: Uint8Array, at: number, identifier: number): number {
  bytes[at] = identifier >>> 24;
  bytes[at + 1] = identifier >>> 16;
  bytes[at + 2] = identifier >>> 8;
  bytes[at + 3] = identifier;
  return at + 4;
}

/** No withdrawn IPv4 routes, then MP_UNREACH_NLRI with `length` octets of NLRI after its head: 11 octets. */
function writeUnreachHead(bytes: Uint8Array, at: number, family: AddressFamily, length: number): void {
  const { afi, safi } = toWireFamily(family);
  writeUint16(bytes, at, 0);
  writeUint16(bytes, at + 2, 7 + length);
  bytes[at + 4] = OPTIONAL | EXTENDED_LENGTH;
  bytes[at + 5] = AttributeCode.mpUnreach;
  writeUint16(bytes, at + 6, 3 + length);
  writeUint16(bytes, at + 8, afi);
  bytes[at + 10] = safi;
}
