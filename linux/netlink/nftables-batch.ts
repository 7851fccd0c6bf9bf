// Transactions of nf_tables as netlink batches: everything between BEGIN and END happens, or nothing.
//
//     BATCH_BEGIN · message · message · … · BATCH_END      in one send(); the kernel works it off inside that call
//
// What the messages say is the caller's business. Errors come back with the sequence number of the message they are about,
// the acknowledgement with that of the last one, after the kernel has committed or given up.

import type { LinuxError } from '../errors.ts';
import {
  AF_NETLINK,
  bind,
  close,
  recv,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  send,
  setsockopt,
  socket,
} from '../libc.ts';
import { insideNetns, type NetnsRef } from '../netns.ts';
import { netlinkAddress } from '../sockaddr.ts';
import { MessageWriter, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, parseMessages } from './message.ts';
import { NETLINK_NETFILTER, parseError } from './socket.ts';

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFPROTO_INET = 1;

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** A whole batch is one datagram: 100,000 elements take some 5 MB. */
const sendBufferBytes = 256 << 20;
const receiveBufferBytes = 8 << 20;

/** One message of a batch: its NFT_MSG_* number, flags, and the attributes behind nfgenmsg. */
export interface NftMessage {
  readonly type: number;
  readonly flags: number;
  /** Names it in errors. */
  readonly describe: () => string;
  write(writer: MessageWriter): void;
}

/** nfgenmsg: family(1) version(1) resource id(2, big-endian). */
export function writeNfgenmsg(writer: MessageWriter, family = NFPROTO_INET, resource = 0): void {
  writer.u8(family);
  writer.u8(0);
  writer.u16(((resource & 0xff) << 8) | (resource >> 8));
}

export const nftMessageType = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;

export class NftBatchSocket {
  private readonly fd: number;
  private writer = new MessageWriter(64 * 1024);
  private readonly buffer = new Uint8Array(64 * 1024);
  private sequence = 0;
  private closed = false;

  constructor(options: { readonly netns?: NetnsRef } = {}) {
    this.fd = insideNetns(options.netns, () => socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    try {
      bind(this.fd, netlinkAddress());
      setsockopt(this.fd, SOL_SOCKET, SO_SNDBUFFORCE, sendBufferBytes);
      setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes);
      setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(BigInt64Array.of(10n, 0n).buffer));
      setsockopt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
      setsockopt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Runs the messages as one transaction; the errors of those that were refused, none when it is committed. */
  run(messages: readonly NftMessage[]): LinuxError[] {
    if (messages.length === 0) return [];
    const { writer } = this;
    writer.clear();
    const first = this.sequence + 1;
    this.sequence = (first + messages.length + 1) % 0x7fffffff;
    this.writeBoundary(NFNL_MSG_BATCH_BEGIN, first);
    for (const [i, message] of messages.entries()) {
      const ack = i === messages.length - 1 ? NLM_F_ACK : 0;
      writer.begin(nftMessageType(message.type), NLM_F_REQUEST | ack | message.flags, first + 1 + i);
      writeNfgenmsg(writer);
      message.write(writer);
      writer.finish();
    }
    this.writeBoundary(NFNL_MSG_BATCH_END, first + 1 + messages.length);
    send(this.fd, writer.written());
    const bytes = writer.length;
    // A rare big batch must not keep its memory for ever.
    if (bytes > 4 << 20) this.shrink();
    return this.readOutcome(messages, first + 1);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    close(this.fd);
  }

  private readOutcome(messages: readonly NftMessage[], firstSequence: number): LinuxError[] {
    const errors: LinuxError[] = [];
    for (;;) {
      const length = recv(this.fd, this.buffer);
      for (const message of parseMessages(this.buffer.subarray(0, length))) {
        const index = message.sequence - firstSequence;
        // -1: the batch as a whole, for lack of privilege. Others are late answers to an earlier batch.
        if (message.type !== NLMSG_ERROR || index < -1 || index > messages.length) continue;
        const error = parseError(message, messages[index]?.describe() ?? 'nftables transaction');
        if (error) errors.push(error);
        if (index < 0 || index >= messages.length - 1) return errors;
      }
    }
  }

  private writeBoundary(type: number, sequence: number): void {
    this.writer.begin(type, NLM_F_REQUEST, sequence);
    writeNfgenmsg(this.writer, 0, NFNL_SUBSYS_NFTABLES);
    this.writer.finish();
  }

  private shrink(): void {
    this.writer = new MessageWriter(64 * 1024);
  }
}
