// One monitoring station: a TCP connection that we open, and open again when it is lost (RFC 7854 §3.2).
//
// BGP never waits for a station. What it has not taken is bounded: beyond the bound the connection is given up, and the
// next one begins with the whole picture again.

import { connect, type Socket } from 'node:net';
import { type Address, formatAddress } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import type { BmpSettings } from '../settings.ts';

const maxQueuedBytes = 32 * 1024 * 1024;
/** The table is written as fast as the station takes it, this much ahead. */
const tableAheadBytes = 256 * 1024;
const firstRetryMs = 1000;
const maxRetryMs = 60_000;

export interface StationHandlers {
  /** Connected: what the station must be told first, and after it the rest, a slice for each call of next(). */
  readonly begin: () => { readonly first: readonly Uint8Array[]; readonly rest: Iterator<readonly Uint8Array[]> };
}

export class BmpStation {
  readonly settings: BmpSettings;
  readonly #log: Logger;
  readonly #handlers: StationHandlers;
  #socket: Socket | undefined;
  #isUp = false;
  /** What it has still to be told, one after the other. */
  #rest: Iterator<readonly Uint8Array[]>[] = [];
  #retryMs = firstRetryMs;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  connections = 0;
  /** Times that the station was given up because it took too little. */
  overruns = 0;
  messages = 0;

  constructor(settings: BmpSettings, handlers: StationHandlers, log: Logger) {
    this.settings = settings;
    this.#handlers = handlers;
    this.#log = log.child({ station: stationKey(settings) });
    this.#connect();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  send(message: Uint8Array): void {
    const socket = this.#socket;
    if (!socket || !this.#isUp) return;
    if (socket.writableLength > maxQueuedBytes) {
      this.overruns++;
      this.#log.warn({ queuedBytes: socket.writableLength }, 'monitoring station is too slow; connecting anew');
      socket.destroy();
      this.#isUp = false;
      return;
    }
    this.messages++;
    socket.write(message);
  }

  /** Tells more of the picture, behind what it has still to be told; if it is not connected, it will hear that anyway. */
  add(slices: Iterator<readonly Uint8Array[]>): void {
    const socket = this.#socket;
    if (!socket || !this.#isUp) return;
    this.#rest.push(slices);
    if (this.#rest.length === 1) this.#pump(socket);
  }

  /** Says `last` and ends. */
  close(last: Uint8Array): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#rest = [];
    if (this.#isUp) this.#socket?.end(last);
    else this.#socket?.destroy();
    this.#isUp = false;
    this.#socket?.unref();
  }

  #connect(): void {
    const { address, port } = this.settings;
    const socket = connect({ host: hostOf(address), port });
    this.#socket = socket;
    socket.on('connect', () => this.#onConnect(socket));
    socket.on('drain', () => this.#pump(socket));
    // Stations say nothing; what they say all the same is read away.
    socket.resume();
    socket.on('error', (error) => this.#log.debug({ error: error.message }, 'monitoring station'));
    socket.on('close', () => this.#onClose());
  }

  #onConnect(socket: Socket): void {
    if (this.#closed) return;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    this.#isUp = true;
    this.connections++;
    this.#log.info({}, 'monitoring station connected');
    const { first, rest } = this.#handlers.begin();
    for (const message of first) this.send(message);
    this.#rest = [rest];
    this.#pump(socket);
  }

  /** A slice for each turn, as long as the station takes them: then it says `drain`. */
  #pump(socket: Socket): void {
    const [rest] = this.#rest;
    if (socket !== this.#socket || !this.#isUp || !rest) return;
    if (socket.writableLength > tableAheadBytes) return;
    const slice = rest.next();
    if (slice.done) {
      this.#rest.shift();
      this.#retryMs = firstRetryMs;
      this.#pump(socket);
      return;
    }
    for (const message of slice.value) this.send(message);
    setImmediate(() => this.#pump(socket));
  }

  #onClose(): void {
    if (this.#isUp) this.#log.info({}, 'monitoring station lost');
    this.#isUp = false;
    this.#rest = [];
    this.#socket = undefined;
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#connect(), this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(maxRetryMs, this.#retryMs * 2);
  }
}

const hostOf = (address: Address): string => formatAddress(address);

export const stationKey = ({ address, port, locRib, adjRibOut = [] }: BmpSettings): string =>
  [formatAddress(address), port, ...(locRib ? ['loc-rib'] : []), ...adjRibOut].join(' ');
