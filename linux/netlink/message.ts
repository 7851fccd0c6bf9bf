// Netlink messages: a header, a fixed struct that depends on the type, and attributes.
//
//     0        4      6       8          12        16
//     length   type   flags   sequence   port id   payload …                 padded to 4
//     attribute: length(2, header included, padding not) type(2) value …     padded to 4
//
// Numbers are in host order, which is little-endian on every machine that Node runs on; addresses in network order.
// Many messages are written into one buffer, and read where they stand: no copies, no object per attribute.

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const headerLength = 16;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const align4 = (length: number): number => (length + 3) & ~3;

/** Writes messages one after another into a buffer that grows. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #end = 0;
  #messageStart = 0;

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written. */
  get length(): number {
    return this.#end;
  }

  begin(type: number, flags: number, sequence: number): void {
    this.#messageStart = this.#end;
    this.u32(0);
    this.u16(type);
    this.u16(flags);
    this.u32(sequence);
    this.u32(0);
  }

  /** Ends the message: its length is known now. */
  finish(): void {
    this.#pad();
    this.#view.setUint32(this.#messageStart, this.#end - this.#messageStart, true);
  }

  /** Adds flags to the message begun last. */
  addFlags(flags: number): void {
    const at = this.#messageStart + 6;
    this.#view.setUint16(at, this.#view.getUint16(at, true) | flags, true);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#end, value);
    this.#end += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#end, value, true);
    this.#end += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#end, value, true);
    this.#end += 4;
  }

  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }

  attribute(type: number, value: Uint8Array): void {
    this.#attributeHeader(type, value.length);
    this.raw(value);
    this.#pad();
  }

  attributeU8(type: number, value: number): void {
    this.#attributeHeader(type, 1);
    this.u8(value);
    this.#pad();
  }

  attributeU16(type: number, value: number): void {
    this.#attributeHeader(type, 2);
    this.u16(value);
    this.#pad();
  }

  attributeU32(type: number, value: number): void {
    this.#attributeHeader(type, 4);
    this.u32(value);
  }

  /** Big-endian, as all numbers in nf_tables attributes. */
  attributeBigU32(type: number, value: number): void {
    this.#attributeHeader(type, 4);
    this.#reserve(4);
    this.#view.setUint32(this.#end, value);
    this.#end += 4;
  }

  /** Zero-terminated, as the kernel wants names. */
  attributeString(type: number, value: string): void {
    this.attribute(type, Buffer.from(`${value}\0`));
  }

  /** An attribute whose value is what `write` writes: further attributes, perhaps behind a struct. */
  nest(type: number, write: () => void): void {
    const start = this.#end;
    this.u16(0);
    this.u16(type | NLA_F_NESTED);
    write();
    this.#view.setUint16(start, this.#end - start, true);
    this.#pad();
  }

  /** For structs whose length field comes first and covers what follows, as `rtnexthop`: patches it after `write`. */
  sized(write: () => void): void {
    const start = this.#end;
    this.u16(0);
    write();
    this.#pad();
    this.#view.setUint16(start, this.#end - start, true);
  }

  /** What has been written; valid until the next write. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  clear(): void {
    this.#end = 0;
  }

  #attributeHeader(type: number, valueLength: number): void {
    this.u16(4 + valueLength);
    this.u16(type);
  }

  #pad(): void {
    const padded = align4(this.#end);
    this.#reserve(padded - this.#end);
    this.#bytes.fill(0, this.#end, padded);
    this.#end = padded;
  }

  #reserve(more: number): void {
    if (this.#end + more <= this.#bytes.length) return;
    const bigger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#end + more));
    bigger.set(this.#bytes);
    this.#bytes = bigger;
    this.#view = new DataView(bigger.buffer);
  }
}

/** One message inside a received datagram. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header; a view into the datagram. */
  readonly payload: Uint8Array;
}

/** The messages of a datagram. A cut-off or malformed rest is ignored: the kernel does not send one. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset + headerLength <= datagram.length) {
    const length = view.getUint32(offset, true);
    if (length < headerLength || offset + length > datagram.length) break;
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      payload: datagram.subarray(offset + headerLength, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Walks over attributes without making objects: `while (cursor.next()) switch (cursor.type) …`. */
export class AttributeCursor {
  type = 0;
  /** The attribute's value. */
  start = 0;
  end = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #nextOffset: number;
  readonly #limit: number;

  constructor(bytes: Uint8Array, offset = 0, limit = bytes.length) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#nextOffset = offset;
    this.#limit = Math.min(limit, bytes.length);
  }

  next(): boolean {
    const offset = this.#nextOffset;
    if (offset + 4 > this.#limit) return false;
    const length = this.#view.getUint16(offset, true);
    if (length < 4 || offset + length > this.#limit) return false;
    this.type = this.#view.getUint16(offset + 2, true) & NLA_TYPE_MASK;
    this.start = offset + 4;
    this.end = offset + length;
    this.#nextOffset = offset + align4(length);
    return true;
  }

  /** 0 when the value is too short to hold one. */
  u8(): number {
    return this.end - this.start >= 1 ? this.#view.getUint8(this.start) : 0;
  }

  u16(): number {
    return this.end - this.start >= 2 ? this.#view.getUint16(this.start, true) : 0;
  }

  u32(): number {
    return this.end - this.start >= 4 ? this.#view.getUint32(this.start, true) : 0;
  }

  value(): Uint8Array {
    return this.#bytes.subarray(this.start, this.end);
  }

  /** Without the zero that ends it. */
  string(): string {
    const value = this.value();
    const zero = value.indexOf(0);
    return Buffer.from(zero < 0 ? value : value.subarray(0, zero)).toString();
  }

  /** A cursor over the attributes inside this one, behind a struct of `skip` bytes. */
  nested(skip = 0): AttributeCursor {
    return new AttributeCursor(this.#bytes, this.start + skip, this.end);
  }
}
