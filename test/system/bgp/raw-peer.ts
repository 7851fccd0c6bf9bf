// A BGP peer of a few lines, over a real socket: opens, says what it is given, and counts what it hears. For loads that a
// second speaker in the test's process would be too heavy for.

import { createConnection, type Socket } from 'node:net';
import { encodeMessage } from '../../../bgp/wire/codec.ts';
import type { Capability } from '../../../bgp/wire/message.ts';
import { MessageType } from '../../../bgp/wire/message.ts';
import { MessageReader } from '../../../bgp/wire/message-reader.ts';

export interface RawPeerOptions {
  /** Whom to call; default 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** Its own address. */
  readonly address: string;
  readonly asn: number;
  readonly routerId: number;
  readonly holdTimeSec: number;
}

export class RawPeer {
  readonly #options: RawPeerOptions;
  readonly #socket: Socket;
  readonly #reader = new MessageReader();
  #keepalive: NodeJS.Timeout | undefined;
  established = false;
  closed: string | undefined;
  /** IPv4 prefixes announced and withdrawn by the other side. */
  announced = 0;
  withdrawn = 0;
  /** Longest time between two messages of the other side. */
  longestSilenceMs = 0;
  #heardAt = performance.now();

  constructor(options: RawPeerOptions) {
    this.#options = options;
    this.#socket = createConnection({
      host: options.host ?? '127.0.0.1',
      port: options.port,
      localAddress: options.address,
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('connect', () => this.#socket.write(this.#open()));
    this.#socket.on('data', (bytes) => this.#onData(bytes));
    this.#socket.on('error', (error) => {
      this.closed ??= error.message;
    });
    this.#socket.on('close', () => {
      this.closed ??= 'closed';
      clearInterval(this.#keepalive);
    });
  }

  #open(): Uint8Array {
    const { asn, holdTimeSec, routerId } = this.#options;
    const capabilities: Capability[] = [
      { kind: 'multiprotocol', afi: 1, safi: 1 },
      { kind: 'four-octet-as', asn },
    ];
    return encodeMessage({ kind: 'open', version: 4, asn, holdTimeSec, routerId, capabilities });
  }

  #onData(data: Uint8Array): void {
    const now = performance.now();
    if (this.established) this.longestSilenceMs = Math.max(this.longestSilenceMs, now - this.#heardAt);
    this.#heardAt = now;
    this.#reader.feed(data, (type, bytes, from, to) => {
      if (type === MessageType.open) this.#onOpen();
      else if (type === MessageType.keepalive) this.established = true;
      else if (type === MessageType.update) this.#onUpdate(bytes, from, to);
      else if (type === MessageType.notification) this.closed = `NOTIFICATION ${bytes[from]}/${bytes[from + 1]}`;
      return true;
    });
  }

  #onOpen(): void {
    const keepalive = encodeMessage({ kind: 'keepalive' });
    this.#socket.write(keepalive);
    const everyMs = (this.#options.holdTimeSec * 1000) / 3;
    this.#keepalive = setInterval(() => this.#socket.write(keepalive), everyMs);
  }

  #onUpdate(bytes: Uint8Array, from: number, to: number): void {
    const word = (at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const withdrawnTo = from + 2 + word(from);
    this.withdrawn += countNlri(bytes, from + 2, withdrawnTo);
    this.announced += countNlri(bytes, withdrawnTo + 2 + word(withdrawnTo), to);
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Reads nothing any more, while its keepalives go on. */
  stall(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}

function countNlri(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; count++) at += 1 + (((bytes[at] ?? 0) + 7) >> 3);
  return count;
}

/** UPDATEs with ten /24 each, every one with attributes of its own: `first` is the number of the first prefix. */
export function announcements(count: number, asn: number, first = 0, nextHop = [127, 0, 0, 9]): Uint8Array {
  const perUpdate = 10;
  const header = 19;
  /** ORIGIN, AS_PATH of two, NEXT_HOP. */
  const attributes = 4 + 13 + 7;
  const bytes = new Uint8Array(Math.ceil(count / perUpdate) * (header + 4 + attributes + perUpdate * 4));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let i = 0; i < count; ) {
    const start = at;
    bytes.fill(0xff, at, at + 16);
    bytes[at + 18] = MessageType.update;
    view.setUint16(at + header + 2, attributes);
    const parts = [0x40, 1, 1, 0, 0x40, 2, 10, 2, 2];
    bytes.set(parts, at + header + 4);
    view.setUint32(at + header + 13, asn);
    view.setUint32(at + header + 17, 100_000 + i);
    bytes.set([0x40, 3, 4, ...nextHop], at + header + 21);
    at += header + 4 + attributes;
    for (const end = Math.min(count, i + perUpdate); i < end; i++, at += 4) {
      const prefix = (1 << 16) + first + i;
      bytes.set([24, prefix >> 16, prefix >> 8, prefix], at);
    }
    view.setUint16(start + 16, at - start);
  }
  return bytes.subarray(0, at);
}
