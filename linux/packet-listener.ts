// Waits for packets on sockets that Node can not wait for (raw ones), in one thread for all of them.
//
//     const listener = new PacketListener();
//     listener.add(fd, (bytes, source) => …);
//
// For a trickle of packets, as in neighbour discovery. Each arrives with its sender's address.

import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { Address } from '../net/address.ts';
import { close, eventfd } from './libc.ts';
import { parseSocketAddress } from './sockaddr.ts';

export type OnPacket = (bytes: Uint8Array, source: Address) => void;

/** CommonJS, as text for the reasons given in monitor-worker.ts; workerData: {koffi, wakeFd}. */
const workerSource = `
'use strict';
const { parentPort, receiveMessageOnPort, workerData } = require('node:worker_threads');
const koffi = require(workerData.koffi);
const libc = koffi.load('libc.so.6');
const poll = libc.func('int poll(void *fds, unsigned long count, int timeoutMs)');
const read = libc.func('long read(int fd, void *bytes, size_t length)');
const recvfrom = libc.func('long recvfrom(int fd, void *bytes, size_t length, int flags, void *address, void *addressLength)');

const MSG_DONTWAIT = 0x40, POLLIN = 1, packetsPerTurn = 64;
const buffer = Buffer.alloc(65536), address = Buffer.alloc(128), addressLength = new Uint32Array(1);
let fds = [];
let closing = false;

function obey() {
  read(workerData.wakeFd, Buffer.alloc(8), 8);
  for (let order = receiveMessageOnPort(parentPort); order; order = receiveMessageOnPort(parentPort)) {
    const { add, remove, close } = order.message;
    if (add !== undefined) fds.push(add);
    if (remove !== undefined) {
      fds = fds.filter((fd) => fd !== remove);
      parentPort.postMessage({ removed: remove });
    }
    if (close) closing = true;
  }
}

function drain(fd) {
  for (let count = 0; count < packetsPerTurn; count++) {
    addressLength[0] = address.length;
    const length = Number(recvfrom(fd, buffer, buffer.length, MSG_DONTWAIT, address, addressLength));
    if (length < 0) return;
    parentPort.postMessage({
      fd,
      bytes: new Uint8Array(buffer.subarray(0, length)),
      address: new Uint8Array(address.subarray(0, addressLength[0])),
    });
  }
}

while (!closing) {
  const waitFor = [workerData.wakeFd, ...fds];
  // struct pollfd: fd(4) events(2) revents(2).
  const table = new Int32Array(waitFor.length * 2);
  const shorts = new Int16Array(table.buffer);
  waitFor.forEach((fd, i) => { table[i * 2] = fd; shorts[i * 4 + 2] = POLLIN; });
  poll(table, waitFor.length, -1);
  waitFor.forEach((fd, i) => { if (i > 0 && shorts[i * 4 + 3]) drain(fd); });
  if (shorts[3]) obey();
}
parentPort.close();
`;

type FromWorker =
  | { readonly removed: number }
  | { readonly fd: number; readonly bytes: Uint8Array; readonly address: Uint8Array };

export class PacketListener {
  readonly #worker: Worker;
  readonly #wakeFd = eventfd();
  readonly #handlers = new Map<number, OnPacket>();
  readonly #exited: Promise<void>;

  constructor() {
    this.#worker = new Worker(workerSource, {
      eval: true,
      name: 'packet-listener',
      workerData: { koffi: createRequire(import.meta.url).resolve('koffi'), wakeFd: this.#wakeFd },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4, codeRangeSizeMb: 8 },
    });
    this.#worker.unref();
    this.#worker.on('message', (message: FromWorker) => this.#onMessage(message));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
    });
  }

  /** The socket is the listener's from here on: remove() closes it. */
  add(fd: number, onPacket: OnPacket): void {
    this.#handlers.set(fd, onPacket);
    this.#order({ add: fd });
  }

  /** No packet is handed over after this call. */
  remove(fd: number): void {
    if (this.#handlers.delete(fd)) this.#order({ remove: fd });
  }

  async close(): Promise<void> {
    const left = [...this.#handlers.keys()];
    this.#handlers.clear();
    this.#worker.ref();
    this.#order({ close: true });
    await this.#exited;
    for (const fd of left) close(fd);
    close(this.#wakeFd);
  }

  #order(order: { add: number } | { remove: number } | { close: true }): void {
    this.#worker.postMessage(order);
    writeSync(this.#wakeFd, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  #onMessage(message: FromWorker): void {
    if ('removed' in message) {
      // Not before: the number might be another file's while the thread still waits for it.
      close(message.removed);
      return;
    }
    const source = parseSocketAddress(message.address)?.address;
    if (source !== undefined) this.#handlers.get(message.fd)?.(message.bytes, source);
  }
}
