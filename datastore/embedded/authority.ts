// Clients written in Go, etcdctl among them, name a unix socket by its path in their requests' :authority, as %2Frun%2Ftwill….
// Node's HTTP/2 refuses that with PROTOCOL_ERROR before anybody could ask us. So what they send goes through here first:
//
//   socket ──► preface, SETTINGS ──► one of Node's clients? ──► Node's HTTP/2, as it comes
//                                └─► others ──► AuthorityRewriter: the same frames, every :authority `localhost` ──► Node's HTTP/2
//
// Nothing else changes: what we send needs no look, and the windows count DATA frames, which stay as they are.

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  DEFAULT_WINDOW,
  encodeFrame,
  FRAME_BYTES,
  type Frame,
  FrameReader,
  flag,
  frameType,
  PREFACE,
  readSettings,
  setting,
  withoutPadding,
} from '../http2/frames.ts';
import { encodeHeaders, type Header, HeaderDecoder } from '../http2/hpack.ts';

const FRAME_HEADER_BYTES = 9;
/** A client that has not said this much after a while is none. */
const HELLO_MS = 5000;

/** Waits for the client's first words, then hands on what is to be served instead of the socket. */
export function withPlainAuthority(socket: Socket, serve: (connection: Duplex) => void): void {
  let heard: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), HELLO_MS);
  const leave = (): void => {
    clearTimeout(timer);
    socket.off('data', listen);
  };
  const listen = (chunk: Buffer): void => {
    heard = Buffer.concat([heard, chunk]);
    const hello = readHello(heard);
    if (hello === 'more to come') return;
    leave();
    socket.pause();
    if (hello === 'needs nothing') {
      socket.unshift(heard);
      serve(socket);
    } else serve(new AuthorityRewriter(socket, heard));
  };
  socket.on('data', listen);
  socket.once('close', leave);
  socket.on('error', () => socket.destroy());
}

type Hello = 'more to come' | 'needs nothing' | 'needs rewriting';

/** What is no HTTP/2 is left to Node to refuse. */
function readHello(heard: Buffer): Hello {
  const start = heard.subarray(0, PREFACE.length);
  if (!PREFACE.subarray(0, start.length).equals(start)) return 'needs nothing';
  if (heard.length < PREFACE.length + FRAME_HEADER_BYTES) return 'more to come';
  const length = heard.readUIntBE(PREFACE.length, 3);
  const end = PREFACE.length + FRAME_HEADER_BYTES + length;
  if (length > FRAME_BYTES) return 'needs nothing';
  if (heard.length < end) return 'more to come';
  const settings = readSettings(heard.subarray(end - length, end));
  // grpc-js, as etcd3 uses it, announces the window that it would have anyway; our brief client that it wants no pushes.
  const isOurs = settings.some(
    ([id, value]) => id === setting.enablePush || (id === setting.initialWindowSize && value === DEFAULT_WINDOW),
  );
  return isOurs ? 'needs nothing' : 'needs rewriting';
}

/** The connection as the server sees it. */
class AuthorityRewriter extends Duplex {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #decoder = new HeaderDecoder();
  #headerBlock: { readonly first: Frame; readonly parts: Buffer[] } | undefined;

  /** `heard`: what has been read of the socket, the preface included. */
  constructor(socket: Socket, heard: Buffer) {
    super();
    this.#socket = socket;
    this.push(PREFACE);
    this.#take(heard.subarray(PREFACE.length));
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.read(chunk)) {
        for (const bytes of this.#rewrite(frame)) if (!this.push(bytes)) this.#socket.pause();
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #rewrite(frame: Frame): readonly Buffer[] {
    const { type, flags, stream, payload } = frame;
    const open = this.#headerBlock;
    if (type === frameType.headers && !open) this.#headerBlock = { first: frame, parts: [withoutPadding(frame)] };
    else if (type === frameType.continuation && open?.first.stream === stream) open.parts.push(payload);
    else if (open) throw new Error('a block of headers was interrupted');
    else return [encodeFrame(type, flags, stream, payload)];
    const block = this.#headerBlock;
    if (!block || (flags & flag.endHeaders) === 0) return [];
    this.#headerBlock = undefined;
    const headers = this.#decoder.decode(Buffer.concat(block.parts)).map(withLocalAuthority);
    return headerFrames(stream, block.first.flags & flag.endStream, encodeHeaders(headers));
  }
}

const withLocalAuthority = ([name, value]: Header): Header => [name, name === ':authority' ? 'localhost' : value];

/** HEADERS, and as many CONTINUATIONs as it needs. */
function headerFrames(stream: number, endStream: number, block: Buffer): readonly Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += FRAME_BYTES) {
    const type = at === 0 ? frameType.headers : frameType.continuation;
    const last = at + FRAME_BYTES >= block.length ? flag.endHeaders : 0;
    frames.push(encodeFrame(type, (at === 0 ? endStream : 0) | last, stream, block.subarray(at, at + FRAME_BYTES)));
  }
  return frames;
}
