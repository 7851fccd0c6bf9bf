// A netlink socket: requests in batches, dumps, and errors found by sequence number.
//
// A batch is one send() of up to 512 messages. The kernel works through them inside that call and reports every failure
// with the failed message's sequence number; only the last message asks for an acknowledgement, so the batch is over
// when that arrives. All of it is synchronous: 512 routes take about a millisecond.

import { errnoName, LinuxError } from '../errors.ts';
import {
  AF_NETLINK,
  bind,
  close,
  getsockname,
  recv,
  recvInThread,
  SOCK_RAW,
  SOL_SOCKET,
  send,
  sendInThread,
  setsockopt,
  socket,
} from '../libc.ts';
import { insideNetns, type NetnsRef } from '../netns.ts';
import { netlinkAddress } from '../sockaddr.ts';
import {
  AttributeCursor,
  MessageWriter,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
  viewOf,
} from './message.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const NLMSGERR_ATTR_MSG = 1;

const batchSize = 512;
/** 512 refusals, each with its text, must fit; else the one that we wait for may be lost. */
const bufferBytes = 4 << 20;
const dumpAttempts = 3;

/** Datagrams of a long dump between two turns of the event loop: about 1 ms. */
const datagramsPerTurn = 16;

/** One request: its type, its own flags (REQUEST and ACK are added here), and what follows the header. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  write(writer: MessageWriter): void;
  /** Names the request in errors: "add route 10.0.0.0/26". */
  describe(): string;
}

type DumpState = 'more' | 'consistent' | 'interrupted';

export interface NetlinkFailure {
  /** Position in the list of requests. */
  readonly index: number;
  readonly error: LinuxError;
}

export class NetlinkSocket {
  readonly #fd: number;
  readonly #writer = new MessageWriter(64 * 1024);
  readonly #buffer = new Uint8Array(64 * 1024);
  #sequence = 0;
  /** The table changed under the dump that is going on. */
  #interrupted = false;
  #closed = false;

  constructor(options: { readonly protocol?: number; readonly netns?: NetnsRef } = {}) {
    this.#fd = insideNetns(options.netns, () => socket(AF_NETLINK, SOCK_RAW, options.protocol ?? NETLINK_ROUTE));
    try {
      bind(this.#fd, netlinkAddress());
      setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes);
      setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
      // struct timeval: an answer comes during send(), so waiting for one for long means that it was lost.
      setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(BigInt64Array.of(10n, 0n).buffer));
      setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
      setsockopt(this.#fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
  }

  /** What the kernel names this socket by in the changes that it tells of. */
  get portId(): number {
    return viewOf(getsockname(this.#fd)).getUint32(4, true);
  }

  /** Runs all the requests in order; the failed ones come back, the others are done. */
  execute(requests: readonly NetlinkRequest[]): NetlinkFailure[] {
    const failures: NetlinkFailure[] = [];
    for (let start = 0; start < requests.length; start += batchSize) {
      this.#executeBatch(requests, start, Math.min(start + batchSize, requests.length), failures);
    }
    return failures;
  }

  /** Runs one request; throws when the kernel refuses it. */
  run(request: NetlinkRequest): void {
    const [failure] = this.execute([request]);
    if (failure) throw failure.error;
  }

  /**
   * As run(), without holding up the event loop: for requests that make the kernel wait, such as deleting a link (20 ms).
   * The socket must not be used until it is done.
   */
  async runInThread(request: NetlinkRequest): Promise<void> {
    const sequence = this.#takeSequences(1);
    this.#writer.clear();
    this.#writer.begin(request.type, request.flags | NLM_F_REQUEST | NLM_F_ACK, sequence);
    request.write(this.#writer);
    this.#writer.finish();
    await sendInThread(this.#fd, this.#writer.written());
    // The answer is there already.
    for (;;) {
      for (const message of this.#receive()) {
        if (message.type !== NLMSG_ERROR || message.sequence !== sequence) continue;
        const error = parseError(message, request.describe());
        if (error) throw error;
        return;
      }
    }
  }

  /** Asks for one object and returns the answer's payload, valid until the next call; throws when there is none. */
  query(request: NetlinkRequest): Uint8Array {
    const sequence = this.#takeSequences(1);
    this.#writer.clear();
    this.#writer.begin(request.type, request.flags | NLM_F_REQUEST, sequence);
    request.write(this.#writer);
    this.#writer.finish();
    send(this.#fd, this.#writer.written());
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG_ERROR) return message.payload;
        const error = parseError(message, request.describe());
        if (error) throw error;
      }
    }
  }

  /**
   * Everything that a dump request answers with. The kernel says when something changed under it; then the dump begins
   * again, a few times. False when it kept changing: then what did not change is right all the same. (The kernel counts
   * changes of a whole namespace: somebody who loads a million routes interrupts the dumps of everybody else's.)
   * The payloads are valid during `onMessage` only.
   */
  dump(request: NetlinkRequest, onMessage: (message: NetlinkMessage) => void, onRestart: () => void): boolean {
    for (let attempt = 1; ; attempt++) {
      this.#sendDump(request);
      let state: DumpState = 'more';
      while (state === 'more') state = this.#receiveDump(request, onMessage);
      if (state === 'consistent' || attempt === dumpAttempts) return state === 'consistent';
      onRestart();
    }
  }

  /** As dump(), letting the event loop turn now and then. The socket must not be used until it is done. */
  async dumpInSlices(
    request: NetlinkRequest,
    onMessage: (message: NetlinkMessage) => void,
    onRestart: () => void,
  ): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      this.#sendDump(request);
      let state: DumpState = 'more';
      for (let datagrams = 1; state === 'more'; datagrams++) {
        state = this.#receiveDump(request, onMessage);
        if (state === 'more' && datagrams % datagramsPerTurn === 0) await new Promise(setImmediate);
      }
      if (state === 'consistent' || attempt === dumpAttempts) return state === 'consistent';
      onRestart();
    }
  }

  /**
   * As dumpInSlices(), with the system calls in another thread: where the kernel works long for little, as when it walks
   * through a quarter of a million empty buckets for some flows.
   */
  async dumpInThread(
    request: NetlinkRequest,
    onMessage: (message: NetlinkMessage) => void,
    onRestart: () => void,
  ): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      await sendInThread(this.#fd, this.#writeDump(request));
      let state: DumpState = 'more';
      while (state === 'more') {
        const length = await recvInThread(this.#fd, this.#buffer);
        state = this.#readDump(parseMessages(this.#buffer.subarray(0, length)), request, onMessage);
      }
      if (state === 'consistent' || attempt === dumpAttempts) return state === 'consistent';
      onRestart();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.#fd);
  }

  #executeBatch(requests: readonly NetlinkRequest[], start: number, end: number, failures: NetlinkFailure[]): void {
    const firstSequence = this.#takeSequences(end - start);
    const writer = this.#writer;
    writer.clear();
    for (let index = start; index < end; index++) {
      const request = requests[index];
      if (!request) break;
      const ack = index === end - 1 ? NLM_F_ACK : 0;
      writer.begin(request.type, request.flags | NLM_F_REQUEST | ack, (firstSequence + index - start) >>> 0);
      request.write(writer);
      writer.finish();
    }
    send(this.#fd, writer.written());
    const lastSequence = (firstSequence + end - start - 1) >>> 0;
    for (;;) {
      for (const message of this.#receive()) {
        if (message.type !== NLMSG_ERROR) continue;
        const index = start + ((message.sequence - firstSequence) >>> 0);
        const request = requests[index];
        // Not of this batch: an answer that an earlier caller gave up waiting for.
        if (!request || index >= end) continue;
        const error = parseError(message, request.describe());
        if (error) failures.push({ index, error });
        if (message.sequence === lastSequence) return;
      }
    }
  }

  #sendDump(request: NetlinkRequest): void {
    send(this.#fd, this.#writeDump(request));
  }

  #writeDump(request: NetlinkRequest): Uint8Array {
    this.#takeSequences(1);
    this.#writer.clear();
    this.#writer.begin(request.type, request.flags | NLM_F_REQUEST | NLM_F_DUMP, this.#sequence);
    request.write(this.#writer);
    this.#writer.finish();
    this.#interrupted = false;
    return this.#writer.written();
  }

  #receiveDump(request: NetlinkRequest, onMessage: (message: NetlinkMessage) => void): DumpState {
    return this.#readDump(this.#receive(), request, onMessage);
  }

  #readDump(
    messages: readonly NetlinkMessage[],
    request: NetlinkRequest,
    onMessage: (message: NetlinkMessage) => void,
  ): DumpState {
    for (const message of messages) {
      if (message.sequence !== this.#sequence) continue;
      if (message.flags & NLM_F_DUMP_INTR) this.#interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        // DONE carries an error number too: a dump may fail half-way.
        const error = parseError(message, request.describe());
        if (error) throw error;
        return this.#interrupted ? 'interrupted' : 'consistent';
      }
      onMessage(message);
    }
    return 'more';
  }

  #receive(): NetlinkMessage[] {
    const length = recv(this.#fd, this.#buffer);
    return parseMessages(this.#buffer.subarray(0, length));
  }

  /** Reserves consecutive sequence numbers and returns the first; `sequence` is the last one used. */
  #takeSequences(count: number): number {
    const first = (this.#sequence + 1) >>> 0;
    this.#sequence = (this.#sequence + count) >>> 0;
    return first;
  }
}

/**
 * The error in an NLMSG_ERROR or NLMSG_DONE payload; undefined for a plain acknowledgement.
 *
 *     errno(4, negative) header of the request(16) [the request's payload unless CAPPED] [attributes if ACK_TLVS]
 */
export function parseError(message: NetlinkMessage, operation: string): LinuxError | undefined {
  const { payload } = message;
  const errno = payload.length >= 4 ? -viewOf(payload).getInt32(0, true) : 0;
  if (errno === 0) return undefined;
  let detail: string | undefined;
  if (message.flags & NLM_F_ACK_TLVS) {
    const requestLength =
      message.type === NLMSG_DONE ? 0 : message.flags & NLM_F_CAPPED ? 16 : viewOf(payload).getUint32(4, true);
    const cursor = new AttributeCursor(payload, 4 + ((requestLength + 3) & ~3));
    while (cursor.next()) if (cursor.type === NLMSGERR_ATTR_MSG) detail = cursor.string();
  }
  return new LinuxError(errnoName(errno), operation, detail);
}
