// Frames of HTTP/2 (RFC 9113 §4): nine bytes of header – length, type, flags, stream – and the payload.

export const frameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

export const setting = { headerTableSize: 1, enablePush: 2, initialWindowSize: 4, maxFrameSize: 5 } as const;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Every peer takes frames of this size. */
export const FRAME_BYTES = 16_384;

/** What a window holds until somebody says otherwise. */
export const DEFAULT_WINDOW = 65_535;

export const MAX_WINDOW = 2 ** 31 - 1;

const HEADER_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function encodeFrame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  for (const [i, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return encodeFrame(frameType.settings, 0, 0, payload);
}

export function readSettings(payload: Buffer): (readonly [id: number, value: number])[] {
  const count = Math.floor(payload.length / 6);
  return Array.from({ length: count }, (_, i) => [payload.readUInt16BE(i * 6), payload.readUInt32BE(i * 6 + 2)]);
}

export function encodeWindowUpdate(stream: number, increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return encodeFrame(frameType.windowUpdate, 0, stream, payload);
}

/** Bytes as they come → whole frames. */
export class FrameReader {
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(maxBytes = FRAME_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Throws an Error when a frame is longer than allowed. */
  *read(chunk: Buffer): Generator<Frame, void, undefined> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      if (length > this.#maxBytes) throw new Error('not HTTP/2, or a frame that is too long');
      const end = at + HEADER_BYTES + length;
      if (end > bytes.length) break;
      const payload = bytes.subarray(at + HEADER_BYTES, end);
      const header = { type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0 };
      at = end;
      this.#rest = bytes.subarray(at);
      yield { ...header, stream: bytes.readUInt32BE(end - length - 4) & MAX_WINDOW, payload };
    }
    this.#rest = bytes.subarray(at);
  }
}

/** The payload of a DATA or HEADERS frame without padding and priority (§6.1, §6.2). Throws when there is more of it than payload. */
export function withoutPadding({ type, flags, payload }: Frame): Buffer {
  const padded = (flags & flag.padded) !== 0;
  const padding = padded ? (payload[0] ?? 0) : 0;
  const start = (padded ? 1 : 0) + (type === frameType.headers && flags & flag.priority ? 5 : 0);
  if (start + padding > payload.length) throw new Error('a frame has more padding than content');
  return payload.subarray(start, payload.length - padding);
}
