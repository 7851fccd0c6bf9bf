// What changes in a network namespace, as it happens: links, addresses, routes, and other people's nftables edits.
//
//     kernel ──multicast──► netlink sockets ──poll, recv──► worker thread ──chunks──► parse ──► onEvents
//
// A thread of its own waits for the sockets, because Node can not. It only moves bytes; all else happens here. When the
// kernel drops events because nobody fetched them in time, or the main thread is far behind, one `resync` event says so:
// whoever keeps a picture lists anew.

import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { AF_NETLINK, bind, close, eventfd, SOCK_RAW, SOL_SOCKET, setsockopt, socket } from './libc.ts';
import { workerSource } from './monitor-worker.ts';
import { type InterfaceAddress, RTM_DELADDR, RTM_NEWADDR, readAddress } from './netlink/address.ts';
import { type Link, RTM_DELLINK, RTM_NEWLINK, readLink } from './netlink/link.ts';
import { type NetlinkMessage, NLM_F_REPLACE, parseMessages } from './netlink/message.ts';
import { type NftChange, NftChangeReader } from './netlink/nftables-event.ts';
import { readGeneration } from './netlink/nftables-generation.ts';
import { type NftTrace, readTrace } from './netlink/nftables-trace.ts';
import { type Route, RTM_DELROUTE, RTM_NEWROUTE } from './netlink/route.ts';
import { readRoute } from './netlink/route-message.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './netlink/socket.ts';
import { insideNetns, type NetnsRef } from './netns.ts';
import { netlinkAddress } from './sockaddr.ts';
import { attachFilter, type IgnoredRoutes, routeFilter } from './socket-filter.ts';

export type MonitorEvent =
  /** Created or changed. */
  | { readonly kind: 'link'; readonly link: Link }
  | { readonly kind: 'link-removed'; readonly link: Link }
  | { readonly kind: 'address'; readonly address: InterfaceAddress }
  | { readonly kind: 'address-removed'; readonly address: InterfaceAddress }
  /** Created, or put in the place of another of the same prefix and metric, whosever that was. */
  | { readonly kind: 'route'; readonly route: Route; readonly replaced: boolean }
  | { readonly kind: 'route-removed'; readonly route: Route }
  | ({ readonly kind: 'nftables' } & NftChange)
  | { readonly kind: 'trace'; readonly trace: NftTrace }
  /** Events were lost. */
  | { readonly kind: 'resync' };

export type MonitorSubject = 'links' | 'addresses' | 'routes' | 'nftables' | 'traces';

export interface MonitorOptions {
  readonly netns?: NetnsRef;
  readonly watch: readonly MonitorSubject[];
  /** Changes to these routes are dropped in the kernel: a million of our own cost nothing. */
  readonly ignoreRoutes?: IgnoredRoutes;
  /**
   * How much may wait in the kernel, and again on its way from the thread to us, before events are lost. Default 16 MiB:
   * 100,000 route changes.
   */
  readonly bufferBytes?: number;
  /** In the order of the kernel; never an empty list. */
  readonly onEvents: (events: readonly MonitorEvent[]) => void;
}

/** RTMGRP_* bits, for bind(). */
const routeGroups: Record<MonitorSubject, number> = {
  links: 0x1,
  addresses: 0x10 | 0x100,
  routes: 0x40 | 0x400,
  nftables: 0,
  traces: 0,
};

/** NFNLGRP_NFTABLES, 7, as a bit. */
const nftablesGroup = 0x40;
/** NFNLGRP_NFTRACE, 9, as a bit. */
const traceGroup = 0x100;

const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NFNLGRP_NFTABLES = 7;
const defaultBufferBytes = 16 << 20;

interface Source {
  readonly subject: 'route' | 'nftables' | 'traces';
  readonly fd: number;
  read(message: NetlinkMessage): MonitorEvent | undefined;
}

/** What the worker posts. */
interface Chunk {
  /** Index into the descriptors that it was given. */
  readonly source: number;
  readonly bytes: Uint8Array;
  readonly lost: boolean;
}

export class Monitor {
  readonly #worker: Worker;
  readonly #sources: readonly Source[];
  readonly #stopFd: number;
  readonly #exited: Promise<void>;
  readonly #onEvents: MonitorOptions['onEvents'];
  readonly #generations: NetlinkSocket | undefined;
  #closing = false;

  /** Listens from here on: what happens after the constructor has returned is not missed. */
  constructor(options: MonitorOptions) {
    this.#sources = insideNetns(options.netns, () => openSources(options));
    this.#stopFd = eventfd();
    this.#onEvents = options.onEvents;
    this.#generations = options.watch.includes('nftables')
      ? new NetlinkSocket({ protocol: NETLINK_NETFILTER, ...(options.netns !== undefined && { netns: options.netns }) })
      : undefined;
    const pendingBytes = new Int32Array(new SharedArrayBuffer(4));
    this.#worker = new Worker(workerSource, {
      eval: true,
      name: 'netlink-monitor',
      workerData: {
        koffi: createRequire(import.meta.url).resolve('koffi'),
        fds: this.#sources.map(({ fd }) => fd),
        stopFd: this.#stopFd,
        pendingBytes,
        maxPendingBytes: options.bufferBytes ?? defaultBufferBytes,
      },
      // None of the parent's loaders: the thread is to stay small.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4, codeRangeSizeMb: 8 },
    });
    this.#worker.unref();
    this.#worker.on('message', (chunk: Chunk) => {
      Atomics.sub(pendingBytes, 0, chunk.bytes.length);
      Atomics.notify(pendingBytes, 0);
      if (!this.#closing) this.#deliver(chunk, options.onEvents);
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
    });
    this.#worker.once('error', (error) => {
      // Nobody would notice changes any more: stop, and let the supervisor start us again.
      throw error;
    });
  }

  /**
   * Runs one nftables transaction of ours that the kernel need not tell us about. Of a big one it would make a message for
   * each element, some kilobytes each, before it sends the first: gigabytes for a whole table. Whether others wrote
   * meanwhile is seen by the generation, and reported as `resync`.
   */
  async withoutNftables<T>(transaction: () => Promise<T>): Promise<T> {
    const fd = this.#sources.find(({ subject }) => subject === 'nftables')?.fd;
    if (fd === undefined || !this.#generations || this.#closing) return transaction();
    const before = readGeneration(this.#generations);
    setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, NFNLGRP_NFTABLES);
    try {
      return await transaction();
    } finally {
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES);
      if (readGeneration(this.#generations) !== (before + 1) >>> 0) this.#onEvents([{ kind: 'resync' }]);
    }
  }

  async close(): Promise<void> {
    if (this.#closing) return this.#exited;
    this.#closing = true;
    this.#worker.ref();
    writeSync(this.#stopFd, new Uint8Array(BigUint64Array.of(1n).buffer));
    await this.#exited;
    for (const { fd } of this.#sources) close(fd);
    this.#generations?.close();
    close(this.#stopFd);
  }

  #deliver(chunk: Chunk, onEvents: MonitorOptions['onEvents']): void {
    const source = this.#sources[chunk.source];
    const events: MonitorEvent[] = [];
    for (const message of parseMessages(chunk.bytes)) {
      const event = source?.read(message);
      if (event) events.push(event);
    }
    if (chunk.lost) events.push({ kind: 'resync' });
    if (events.length > 0) onEvents(events);
  }
}

function openSources(options: MonitorOptions): Source[] {
  const sources: Source[] = [];
  const groups = options.watch.reduce((bits, subject) => bits | routeGroups[subject], 0);
  if (groups) {
    const fd = openGroups(NETLINK_ROUTE, groups, options.bufferBytes);
    if (options.ignoreRoutes?.protocols.length) attachFilter(fd, routeFilter(options.ignoreRoutes));
    sources.push({ subject: 'route', fd, read: readRouteMessage });
  }
  if (options.watch.includes('nftables')) {
    const reader = new NftChangeReader();
    sources.push({
      subject: 'nftables',
      fd: openGroups(NETLINK_NETFILTER, nftablesGroup, options.bufferBytes),
      read: (message) => {
        const change = reader.read(message);
        return change && { kind: 'nftables', ...change };
      },
    });
  }
  if (options.watch.includes('traces')) {
    sources.push({
      subject: 'traces',
      fd: openGroups(NETLINK_NETFILTER, traceGroup, options.bufferBytes),
      read: (message) => {
        const trace = readTrace(message);
        return trace && { kind: 'trace', trace };
      },
    });
  }
  return sources;
}

function openGroups(protocol: number, groups: number, bufferBytes = defaultBufferBytes): number {
  const fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes);
  bind(fd, netlinkAddress(groups));
  return fd;
}

function readRouteMessage({ type, flags, payload }: NetlinkMessage): MonitorEvent | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = readLink(payload);
      return link && { kind: type === RTM_NEWLINK ? 'link' : 'link-removed', link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = readAddress(payload);
      return address && { kind: type === RTM_NEWADDR ? 'address' : 'address-removed', address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = readRoute(payload);
      if (!route) return undefined;
      return type === RTM_DELROUTE
        ? { kind: 'route-removed', route }
        : { kind: 'route', route, replaced: (flags & NLM_F_REPLACE) !== 0 };
    }
    default:
      return undefined;
  }
}
