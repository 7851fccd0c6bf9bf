// HTTP/2 (RFC 9113) as far as a client of unary calls needs it. node:http2 could do the same and more, but loading it takes
// longer than everything else that twillctl does to show a list.
//
//   request() ─► HEADERS, DATA as far as the peer's windows allow      socket ─► FrameReader ─► Exchange: headers, data, trailers
//
// What comes is taken as fast as it comes: our windows are as large as they get, and whoever asks for little gets little.

import type { Duplex } from 'node:stream';
import {
  DEFAULT_WINDOW,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FRAME_BYTES,
  type Frame,
  FrameReader,
  flag,
  frameType,
  MAX_WINDOW,
  PREFACE,
  readSettings,
  setting,
  withoutPadding,
} from './frames.ts';
import { encodeHeaders, type Header, HeaderDecoder } from './hpack.ts';

export interface Answer {
  /** Of the beginning and of the end together. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: readonly Buffer[];
}

export interface Exchange {
  readonly answer: Promise<Answer>;
  /** How much of the answer has come. */
  bytesReceived(): number;
  cancel(): void;
}

interface Stream {
  readonly headers: Map<string, string>;
  readonly body: Buffer[];
  bytes: number;
  /** What may still be sent before the peer allows more, and what waits for that. */
  window: number;
  unsent: Buffer;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** RFC 9113 §7. */
const CANCEL = 8;
const errorNames = new Map(
  (
    'NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM ' +
    'CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED'
  )
    .split(' ')
    .map((name, code) => [code, name]),
);
const errorName = (payload: Buffer, at: number): string => {
  const code = payload.readUInt32BE(at);
  return errorNames.get(code) ?? `error ${code}`;
};

export class Http2Client {
  readonly #socket: Duplex;
  readonly #streams = new Map<number, Stream>();
  readonly #frames = new FrameReader();
  // The peer learns of the size before it answers anything, but may have its own idea for a moment: 4096 are always read.
  readonly #decoder = new HeaderDecoder();
  #nextStream = 1;
  #window = DEFAULT_WINDOW;
  #initialWindow = DEFAULT_WINDOW;
  #maxFrame = FRAME_BYTES;
  #unacknowledged = 0;
  #headerBlock: { readonly stream: number; readonly endsStream: boolean; readonly parts: Buffer[] } | undefined;
  #closing = false;
  #failure: Error | undefined;

  /** The socket is connected, over TLS it has agreed on h2; from now on it is ours. */
  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
    socket.write(
      Buffer.concat([
        PREFACE,
        encodeSettings([
          [setting.enablePush, 0],
          [setting.initialWindowSize, MAX_WINDOW],
        ]),
        encodeWindowUpdate(0, MAX_WINDOW - DEFAULT_WINDOW),
      ]),
    );
  }

  /** Connections that have failed answer nothing any more. */
  get usable(): boolean {
    return this.#failure === undefined && !this.#closing;
  }

  request(headers: readonly Header[], body: Buffer): Exchange {
    const id = this.#nextStream;
    this.#nextStream += 2;
    let stream: Stream | undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      if (this.#failure) reject(this.#failure);
      else {
        stream = {
          headers: new Map(),
          body: [],
          bytes: 0,
          window: this.#initialWindow,
          unsent: body,
          resolve,
          reject,
        };
        this.#streams.set(id, stream);
      }
    });
    if (stream !== undefined) {
      this.#socket.cork();
      const flags = flag.endHeaders | (body.length === 0 ? flag.endStream : 0);
      this.#socket.write(encodeFrame(frameType.headers, flags, id, encodeHeaders(headers)));
      this.#send(id, stream);
      this.#socket.uncork();
    }
    return {
      answer,
      bytesReceived: () => stream?.bytes ?? 0,
      cancel: () => {
        if (!this.#streams.delete(id)) return;
        const code = Buffer.alloc(4);
        code.writeUInt32BE(CANCEL);
        this.#socket.write(encodeFrame(frameType.resetStream, 0, id, code));
        stream?.reject(new Error('the call was given up'));
        this.#endIfIdle();
      },
    };
  }

  /** Lets running calls end. */
  close(): void {
    this.#closing = true;
    this.#endIfIdle();
  }

  /** Sends what the windows allow; the last frame ends our side. */
  #send(id: number, stream: Stream): void {
    while (stream.unsent.length > 0) {
      const size = Math.min(stream.unsent.length, this.#window, stream.window, this.#maxFrame);
      if (size <= 0) return;
      const part = stream.unsent.subarray(0, size);
      stream.unsent = stream.unsent.subarray(size);
      this.#window -= size;
      stream.window -= size;
      const flags = stream.unsent.length === 0 ? flag.endStream : 0;
      this.#socket.write(encodeFrame(frameType.data, flags, id, part));
    }
  }

  #sendAll(): void {
    for (const [id, stream] of this.#streams) this.#send(id, stream);
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.read(chunk)) this.#take(frame);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #take(frame: Frame): void {
    const { type, flags, stream, payload } = frame;
    if (this.#headerBlock && type !== frameType.continuation) throw new Error('a block of headers was interrupted');
    switch (type) {
      case frameType.data:
        this.#takeData(frame);
        break;
      case frameType.headers:
        this.#headerBlock = { stream, endsStream: (flags & flag.endStream) !== 0, parts: [withoutPadding(frame)] };
        this.#takeHeadersWhenWhole(flags);
        break;
      case frameType.continuation:
        if (this.#headerBlock?.stream !== stream) throw new Error('a block of headers goes on that never began');
        this.#headerBlock.parts.push(payload);
        this.#takeHeadersWhenWhole(flags);
        break;
      case frameType.settings:
        this.#takeSettings(frame);
        break;
      case frameType.windowUpdate:
        this.#takeWindow(stream, payload.readUInt32BE(0) & MAX_WINDOW);
        break;
      case frameType.ping:
        if ((flags & flag.ack) === 0) this.#socket.write(encodeFrame(frameType.ping, flag.ack, 0, payload));
        break;
      case frameType.resetStream:
        this.#endStream(stream, new Error(`the server gave up the call: ${errorName(payload, 0)}`));
        break;
      case frameType.goAway:
        this.#takeGoAway(payload);
        break;
      case frameType.pushPromise:
        throw new Error('the server pushes what nobody has asked for');
      default:
      // §4.1: unknown types are ignored.
    }
  }

  #takeData(frame: Frame): void {
    this.#unacknowledged += frame.payload.length;
    if (this.#unacknowledged > MAX_WINDOW / 2) {
      this.#socket.write(encodeWindowUpdate(0, this.#unacknowledged));
      this.#unacknowledged = 0;
    }
    const stream = this.#streams.get(frame.stream);
    if (stream) {
      const data = withoutPadding(frame);
      stream.body.push(data);
      stream.bytes += data.length;
    }
    if (frame.flags & flag.endStream) this.#endStream(frame.stream);
  }

  #takeHeadersWhenWhole(flags: number): void {
    if (!this.#headerBlock || (flags & flag.endHeaders) === 0) return;
    const { stream, endsStream, parts } = this.#headerBlock;
    this.#headerBlock = undefined;
    const headers = this.#decoder.decode(Buffer.concat(parts));
    for (const [name, value] of headers) this.#streams.get(stream)?.headers.set(name, value);
    if (endsStream) this.#endStream(stream);
  }

  #takeSettings({ flags, payload }: Frame): void {
    if (flags & flag.ack) return;
    for (const [id, value] of readSettings(payload)) {
      if (id === setting.maxFrameSize) this.#maxFrame = value;
      if (id !== setting.initialWindowSize) continue;
      // §6.9.2: what was sent already counts; a window can become negative.
      for (const stream of this.#streams.values()) stream.window += value - this.#initialWindow;
      this.#initialWindow = value;
    }
    this.#socket.write(encodeFrame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    this.#sendAll();
  }

  #takeWindow(id: number, increment: number): void {
    const stream = this.#streams.get(id);
    if (id === 0) this.#window += increment;
    else if (stream) stream.window += increment;
    this.#sendAll();
  }

  /** §6.8: later streams than the named one were not looked at. */
  #takeGoAway(payload: Buffer): void {
    const last = payload.readUInt32BE(0) & MAX_WINDOW;
    this.#closing = true;
    const error = new Error(`the server ends the connection: ${errorName(payload, 4)}`);
    for (const id of [...this.#streams.keys()]) if (id > last) this.#endStream(id, error);
    this.#endIfIdle();
  }

  #endStream(id: number, error?: Error): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    if (error) stream.reject(error);
    else stream.resolve({ headers: stream.headers, body: stream.body });
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (!this.#closing || this.#streams.size > 0) return;
    // Whoever we talk to may be slow to hang up, and we have nothing more to hear.
    this.#socket.end(() => this.#socket.destroy());
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const stream of this.#streams.values()) stream.reject(error);
    this.#streams.clear();
    this.#socket.destroy();
  }
}
