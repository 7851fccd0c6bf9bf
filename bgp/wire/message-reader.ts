// Cuts a stream of bytes into messages. They are handed on where they lie in the read buffer; only a message that came in
// two reads is put together in a buffer of its own.

import { readUint16 } from './bytes.ts';
import { checkHeader } from './codec.ts';
import { HEADER_LENGTH, MAX_EXTENDED_MESSAGE_LENGTH, type NotificationMessage } from './message.ts';

/** Takes the body of one message at bytes[from..to); false: no more, the connection is closing. */
export type OnMessage = (type: number, bytes: Uint8Array, from: number, to: number) => boolean;

export class MessageReader {
  /** RFC 8654 was negotiated. */
  extended = false;
  #partial: Uint8Array = new Uint8Array(0);
  #length = 0;

  /** Returns the NOTIFICATION to send when the stream is not BGP any more. */
  feed(bytes: Uint8Array, onMessage: OnMessage): NotificationMessage | undefined {
    let at = 0;
    if (this.#length > 0) {
      at = this.#complete(bytes, HEADER_LENGTH);
      if (this.#length < HEADER_LENGTH) return undefined;
      const refused = checkHeader(this.#partial, 0, this.extended);
      if (refused) return refused;
      const length = readUint16(this.#partial, 16);
      at += this.#complete(bytes.subarray(at), length);
      if (this.#length < length) return undefined;
      this.#length = 0;
      if (!onMessage(this.#partial[18] ?? 0, this.#partial, HEADER_LENGTH, length)) return undefined;
    }
    while (bytes.length - at >= HEADER_LENGTH) {
      const refused = checkHeader(bytes, at, this.extended);
      if (refused) return refused;
      const end = at + readUint16(bytes, at + 16);
      if (end > bytes.length) break;
      if (!onMessage(bytes[at + 18] ?? 0, bytes, at + HEADER_LENGTH, end)) return undefined;
      at = end;
    }
    if (at < bytes.length) this.#complete(bytes.subarray(at), MAX_EXTENDED_MESSAGE_LENGTH);
    return undefined;
  }

  /** Adds bytes until the partial message has `length` of them; returns how many were taken. */
  #complete(bytes: Uint8Array, length: number): number {
    const taken = Math.max(0, Math.min(bytes.length, length - this.#length));
    const needed = this.#length + taken;
    if (needed > this.#partial.length) {
      const larger = new Uint8Array(Math.max(needed, 4096));
      larger.set(this.#partial.subarray(0, this.#length));
      this.#partial = larger;
    }
    this.#partial.set(bytes.subarray(0, taken), this.#length);
    this.#length = needed;
    return taken;
  }
}
