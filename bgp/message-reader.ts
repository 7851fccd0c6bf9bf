// Finds messages in a stream of bytes: RFC 4271 §4.1.
//
// Reads come as big chunks that are valid during the call only. Messages that lie in one chunk are handed on where they
// are; only a message that is cut by the end of a chunk is copied.

import { readUint16 } from './wire/bytes.ts';
import { checkHeader } from './wire/codec.ts';
import { HEADER_LENGTH, MAX_EXTENDED_MESSAGE_LENGTH, type NotificationMessage } from './wire/message.ts';

/** One whole message with a good header, at bytes[from..to). False: read no further. */
export type OnMessage = (bytes: Uint8Array, from: number, to: number) => boolean;

export class MessageReader {
  /** RFC 8654 was negotiated. */
  extended = false;
  #partial: Uint8Array | undefined;
  #partialLength = 0;

  /** The NOTIFICATION that a bad header earns; undefined when all was well, or onMessage said to stop. */
  read(chunk: Uint8Array, onMessage: OnMessage): NotificationMessage | undefined {
    let at = 0;
    while (this.#partialLength > 0) {
      const result = this.#complete(chunk, at, onMessage);
      if (typeof result !== 'number') return result === 'stop' ? undefined : result;
      if (this.#partialLength > 0) return undefined;
      at = result;
    }
    for (;;) {
      if (chunk.length - at < HEADER_LENGTH) break;
      const refusal = checkHeader(chunk, at, this.extended);
      if (refusal) return refusal;
      const end = at + readUint16(chunk, at + 16);
      if (end > chunk.length) break;
      if (!onMessage(chunk, at, end)) return undefined;
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk, at, chunk.length);
    return undefined;
  }

  /** Adds to the message that was cut; returns where the chunk's next message begins. */
  #complete(chunk: Uint8Array, from: number, onMessage: OnMessage): number | NotificationMessage | 'stop' {
    let at = from;
    if (this.#partialLength < HEADER_LENGTH) {
      const end = Math.min(chunk.length, at + HEADER_LENGTH - this.#partialLength);
      this.#keep(chunk, at, end);
      at = end;
      if (this.#partialLength < HEADER_LENGTH) return at;
    }
    const partial = this.#partial ?? new Uint8Array(0);
    const refusal = checkHeader(partial, 0, this.extended);
    if (refusal) return refusal;
    const length = readUint16(partial, 16);
    const end = Math.min(chunk.length, at + length - this.#partialLength);
    this.#keep(chunk, at, end);
    if (this.#partialLength < length) return end;
    this.#partialLength = 0;
    return onMessage(partial, 0, length) ? end : 'stop';
  }

  #keep(chunk: Uint8Array, from: number, to: number): void {
    this.#partial ??= new Uint8Array(MAX_EXTENDED_MESSAGE_LENGTH);
    this.#partial.set(chunk.subarray(from, to), this.#partialLength);
    this.#partialLength += to - from;
  }
}
