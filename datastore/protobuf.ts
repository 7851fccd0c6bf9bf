// As much of the protobuf wire format as etcd's KV messages need: varints and counted bytes.

export class MessageWriter {
  readonly #parts: Buffer[] = [];

  /** Zero is the default and is not written. */
  number(field: number, value: number): this {
    if (value !== 0) this.#parts.push(varint(field * 8), varint(value));
    return this;
  }

  /** For ids, which use all 63 bits. */
  bigNumber(field: number, value: bigint): this {
    if (value === 0n) return this;
    this.#parts.push(varint(field * 8));
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) this.#parts.push(Buffer.of(Number(rest & 0x7fn) | 0x80));
    this.#parts.push(Buffer.of(Number(rest)));
    return this;
  }

  bytes(field: number, value: Buffer): this {
    this.#parts.push(varint(field * 8 + 2), varint(value.length), value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  message(field: number, value: MessageWriter): this {
    return this.bytes(field, value.finish());
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** One field as it stood on the wire: a number, or bytes. */
export interface Field {
  readonly number: number;
  readonly value: bigint;
  readonly bytes: Buffer;
}

const NO_BYTES = Buffer.alloc(0);

/** The fields of a message in order. Throws an Error when the bytes are no message. */
export function* readFields(message: Buffer): Generator<Field, void, undefined> {
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new Error('a number in an answer does not end');
  };
  while (at < message.length) {
    const tag = Number(readVarint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        yield { number, value: readVarint(), bytes: NO_BYTES };
        break;
      case 2: {
        const length = Number(readVarint());
        if (at + length > message.length) throw new Error('a field in an answer is longer than the answer');
        yield { number, value: 0n, bytes: message.subarray(at, at + length) };
        at += length;
        break;
      }
      default:
        throw new Error(`field ${number} of an answer has the unknown wire type ${tag & 7}`);
    }
  }
}

/**
 * The fields of a message one by one, for messages that come by the hundred thousand: nothing is made that is not asked for.
 * Throws an Error when the bytes are no message.
 */
export class FieldReader {
  readonly #message: Buffer;
  readonly #end: number;
  #at: number;
  #from = 0;
  #to = 0;
  /** Of the present field. */
  number = 0;

  constructor(message: Buffer, from = 0, end = message.length) {
    this.#message = message;
    this.#at = from;
    this.#end = end;
  }

  /** On to the next field; false behind the last one. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.number = tag >>> 3;
    if ((tag & 7) === 0) {
      this.#from = this.#at;
      this.#varint();
      this.#to = this.#at;
    } else if ((tag & 7) === 2) {
      const length = this.#varint();
      this.#from = this.#at;
      this.#to = this.#at + length;
      if (this.#to > this.#end) throw new Error('a field in an answer is longer than the answer');
      this.#at = this.#to;
    } else throw new Error(`field ${this.number} of an answer has the unknown wire type ${tag & 7}`);
    return true;
  }

  /** A number below 2^53. */
  integer(): number {
    let value = 0;
    for (let i = this.#to - 1; i >= this.#from; i--) value = value * 0x80 + ((this.#message[i] ?? 0) & 0x7f);
    return value;
  }

  /** A number of any size. */
  bigInteger(): bigint {
    let value = 0n;
    for (let i = this.#to - 1; i >= this.#from; i--) value = (value << 7n) | BigInt((this.#message[i] ?? 0) & 0x7f);
    return BigInt.asUintN(64, value);
  }

  text(): string {
    return this.#message.toString('utf8', this.#from, this.#to);
  }

  bytes(): Buffer {
    return this.#message.subarray(this.#from, this.#to);
  }

  /** The fields of the message in this field. */
  message(): FieldReader {
    return new FieldReader(this.#message, this.#from, this.#to);
  }

  /** Beyond 2^53 it is inexact, which is no harm to skip by. */
  #varint(): number {
    let value = 0;
    for (let scale = 1; this.#at < this.#end; scale *= 0x80) {
      const byte = this.#message[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new Error('a number in an answer does not end');
  }
}
