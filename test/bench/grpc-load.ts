// A load generator for unary gRPC calls that costs next to nothing, so that on a small machine the server is what is
// measured: HTTP/2 frames by hand (RFC 9113), request headers encoded once without compression (RFC 7541 §6.2.2), answers
// counted by their frames and not decoded. An answer with a body is a success, one without is a refusal.

import { connect, type Socket } from 'node:net';
import type { MessageWriter } from '../../datastore/protobuf.ts';

const FRAME = { data: 0, headers: 1, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;
const ACK = 1;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** As much as HTTP/2 allows, so that neither side ever waits for the other's window. */
const WINDOW = 0x7fffffff;

export interface LoadResult {
  readonly calls: number;
  readonly refused: number;
}

/** One connection with one call in flight at any time, until `endMs` (performance.now). */
export function callInLoop(
  port: number,
  method: string,
  request: (n: number) => MessageWriter,
  endMs: number,
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const client = new LoadClient(socket, method, request, endMs, resolve);
    socket.on('connect', () => client.start());
    socket.on('data', (chunk) => client.receive(chunk));
    socket.on('error', reject);
  });
}

class LoadClient {
  readonly #socket: Socket;
  readonly #headers: Buffer;
  readonly #request: (n: number) => MessageWriter;
  readonly #endMs: number;
  readonly #done: (result: LoadResult) => void;
  #buffered: Buffer = Buffer.alloc(0);
  #stream = -1;
  #calls = 0;
  #refused = 0;
  #hasBody = false;

  constructor(
    socket: Socket,
    method: string,
    request: (n: number) => MessageWriter,
    endMs: number,
    done: (result: LoadResult) => void,
  ) {
    this.#socket = socket;
    this.#headers = encodeHeaders([
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', method],
      [':authority', 'localhost'],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
    ]);
    this.#request = request;
    this.#endMs = endMs;
    this.#done = done;
  }

  start(): void {
    const initialWindow = Buffer.alloc(6);
    initialWindow.writeUInt16BE(4, 0);
    initialWindow.writeUInt32BE(WINDOW, 2);
    const more = Buffer.alloc(4);
    more.writeUInt32BE(WINDOW - 65_535);
    this.#socket.write(
      Buffer.concat([
        Buffer.from(PREFACE, 'latin1'),
        frame(FRAME.settings, 0, 0, initialWindow),
        frame(FRAME.windowUpdate, 0, 0, more),
      ]),
    );
    this.#next();
  }

  receive(chunk: Buffer): void {
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    while (this.#buffered.length >= 9) {
      const length = this.#buffered.readUIntBE(0, 3);
      if (this.#buffered.length < 9 + length) return;
      this.#onFrame(this.#buffered[3] ?? 0, this.#buffered[4] ?? 0, this.#buffered.subarray(9, 9 + length));
      this.#buffered = this.#buffered.subarray(9 + length);
    }
  }

  #onFrame(type: number, flags: number, payload: Buffer): void {
    if (type === FRAME.settings && !(flags & ACK)) this.#socket.write(frame(FRAME.settings, ACK, 0, Buffer.alloc(0)));
    if (type === FRAME.ping && !(flags & ACK)) this.#socket.write(frame(FRAME.ping, ACK, 0, payload));
    if (type === FRAME.goaway) throw new Error(`the server said GOAWAY: ${payload.toString('latin1', 8)}`);
    if (type === FRAME.data && payload.length > 0) this.#hasBody = true;
    if ((type !== FRAME.headers && type !== FRAME.data) || !(flags & END_STREAM)) return;
    this.#calls++;
    if (!this.#hasBody) this.#refused++;
    this.#next();
  }

  #next(): void {
    if (performance.now() >= this.#endMs) {
      this.#socket.destroy();
      this.#done({ calls: this.#calls, refused: this.#refused });
      return;
    }
    this.#stream += 2;
    this.#hasBody = false;
    const message = this.#request(this.#calls).finish();
    const body = Buffer.alloc(5 + message.length);
    body.writeUInt32BE(message.length, 1);
    message.copy(body, 5);
    const parts = [frame(FRAME.headers, END_HEADERS, this.#stream, this.#headers)];
    // A frame has at most 16,384 bytes unless the other side allows more.
    for (let at = 0; at < body.length; at += 16_384) {
      const last = at + 16_384 >= body.length;
      parts.push(frame(FRAME.data, last ? END_STREAM : 0, this.#stream, body.subarray(at, at + 16_384)));
    }
    this.#socket.write(Buffer.concat(parts));
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Literal fields that nobody indexes; names and values are shorter than 127 bytes. */
function encodeHeaders(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.of(0, name.length),
      Buffer.from(name, 'latin1'),
      Buffer.of(value.length),
      Buffer.from(value, 'latin1'),
    ]),
  );
}
