// BFD sessions with their sockets and timers: RFC 5881 (single hop, port 3784, TTL 255 checked by the kernel) and 5883
// (multihop, port 4784). Runs in a process of its own (service.ts) or a thread (worker.ts), so that no flood of routes
// delays a packet.
//
//     UDP 3784, 4784 ──► decode ──► session by your discriminator, else by address ──► stepBfd() ──► send, onState

import { createSocket, type Socket } from 'node:dgram';
import type { NetnsRef } from '../../linux/netns.ts';
import { udpSocket } from '../../linux/sockets.ts';
import { type Address, type Family, familyOf, formatAddress, parseAddress } from '../../net/address.ts';
import type { Millis } from '../edges.ts';
import { type BfdPacket, type BfdState, Diagnostic, decodeBfd, diagnostics, encodeBfd } from './packet.ts';
import {
  type BfdEffect,
  type BfdEvent,
  type BfdSession,
  type BfdTiming,
  bfdDeadline,
  createBfdSession,
  detectionMs,
  isOverdue,
  stepBfd,
} from './session.ts';

export interface BfdPeer {
  /** Names the session; by convention that of the BGP peer. */
  readonly key: string;
  readonly address: Address;
  readonly source?: Address;
  readonly device?: string;
  readonly multihop: boolean;
  readonly timing: BfdTiming;
}

export interface BfdStateChange {
  readonly key: string;
  readonly state: BfdState;
  /** The peer stopped BFD on purpose: no sign that it is dead (RFC 5882 §3.2). */
  readonly byAdministrator: boolean;
  /** The peer's BFD does not stop with its routing process: silence means that it forwards nothing (RFC 5882 §4.3). */
  readonly remoteIndependent: boolean;
  /** In words. */
  readonly reason: string;
}

export interface BfdOptions {
  readonly netns?: NetnsRef;
  /** True where BFD goes on when the routing process dies. */
  readonly independent?: boolean;
}

export interface BfdReport {
  readonly key: string;
  readonly state: BfdState;
  readonly reason: string;
  readonly remoteState: BfdState;
  readonly transmitMs: number;
  readonly detectionMs: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly timesDown: number;
}

const singleHopPort = 3784;
const multihopPort = 4784;
/** RFC 5881 §4: source ports of control packets. */
const firstSourcePort = 49152;
const sourcePorts = 16384;
/** What may wait to be read: several packets of each of a thousand peers. */
const receiveBufferBytes = 4 << 20;
/** For so long what has come is read before a peer counts as silent. */
const drainMs = 20;

interface Live {
  peer: BfdPeer;
  session: BfdSession;
  readonly socket: Socket;
  timer: NodeJS.Timeout | undefined;
  /** The peer seems silent, and what has come is being read. */
  draining: NodeJS.Immediate | undefined;
  packetsIn: number;
  packetsOut: number;
  timesDown: number;
}

export class BfdEngine {
  readonly #onState: (change: BfdStateChange) => void;
  readonly #inNetns: { readonly netns?: NetnsRef };
  readonly #independent: boolean;
  readonly #byKey = new Map<string, Live>();
  readonly #byDiscriminator = new Map<number, Live>();
  /** For the first packet of a peer, which does not know our discriminator yet. */
  readonly #byPath = new Map<string, Live>();
  readonly #listeners = new Map<string, Socket>();
  /** Packets of all peers. */
  #packetsIn = 0;

  constructor(onState: (change: BfdStateChange) => void, options: BfdOptions = {}) {
    this.#onState = onState;
    this.#independent = options.independent ?? false;
    this.#inNetns = options.netns === undefined ? {} : { netns: options.netns };
  }

  /** Makes the sessions be these: new ones begin, changed timing is agreed with the peer, others end. */
  configure(peers: readonly BfdPeer[]): void {
    const wanted = new Map(peers.map((peer) => [peer.key, peer]));
    for (const live of [...this.#byKey.values()]) {
      const next = wanted.get(live.peer.key);
      if (!next || pathOf(next) !== pathOf(live.peer) || next.source !== live.peer.source) this.#remove(live);
    }
    for (const peer of peers) {
      const live = this.#byKey.get(peer.key);
      if (!live) this.#add(peer);
      else {
        live.peer = peer;
        this.#step(live, { kind: 'timing', timing: peer.timing });
      }
    }
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** How each session stands, as its last change told. */
  states(): BfdStateChange[] {
    return [...this.#byKey.values()].map(changeOf);
  }

  reports(): BfdReport[] {
    return [...this.#byKey.values()].map(({ peer, session, packetsIn, packetsOut, timesDown }) => ({
      key: peer.key,
      state: session.state,
      reason: reasonOf(session),
      remoteState: session.remoteState,
      transmitMs: Math.max(session.agreedMinTxMs, session.remoteMinRxMs),
      detectionMs: detectionMs(session),
      packetsIn,
      packetsOut,
      timesDown,
    }));
  }

  /** Tells the peers that we stop on purpose, so that none takes us for dead. */
  close(): void {
    for (const live of [...this.#byKey.values()]) this.#remove(live);
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
  }

  #add(peer: BfdPeer): void {
    this.#listen(familyOf(peer.address), peer.multihop);
    const socket = this.#sender(peer);
    let discriminator = 0;
    while (discriminator === 0 || this.#byDiscriminator.has(discriminator)) {
      discriminator = Math.floor(Math.random() * 0xffffffff) + 1;
    }
    const session = createBfdSession(discriminator, peer.timing, performance.now(), this.#independent);
    const counts = { packetsIn: 0, packetsOut: 0, timesDown: 0 };
    const live: Live = { peer, session, socket, timer: undefined, draining: undefined, ...counts };
    this.#byKey.set(peer.key, live);
    this.#byDiscriminator.set(discriminator, live);
    this.#byPath.set(pathOf(peer), live);
    this.#step(live, { kind: 'timer' });
  }

  #remove(live: Live): void {
    this.#step(live, { kind: 'admin', down: true });
    clearTimeout(live.timer);
    clearImmediate(live.draining);
    this.#byKey.delete(live.peer.key);
    this.#byDiscriminator.delete(live.session.discriminator);
    this.#byPath.delete(pathOf(live.peer));
    // After the packet that was just handed to it.
    setImmediate(() => live.socket.close());
  }

  #sender({ address, source, device, multihop }: BfdPeer): Socket {
    const local = source ?? (typeof address === 'number' ? 0 : 0n);
    const options = { ...this.#inNetns, ttl: 255, ...(device === undefined ? {} : { device }) };
    const socket = createSocket(familyOf(address) === 4 ? 'udp4' : 'udp6');
    // An unreachable peer shows as silence, which is what BFD is for.
    socket.on('error', () => {});
    socket.bind({ fd: bindSourcePort((port) => udpSocket(local, port, options)) });
    const zone = typeof address === 'bigint' && address >> 118n === 0x3fan && device !== undefined ? `%${device}` : '';
    socket.connect(multihop ? multihopPort : singleHopPort, `${formatAddress(address)}${zone}`);
    return socket;
  }

  #listen(family: Family, multihop: boolean): void {
    const name = `${family} ${multihop}`;
    if (this.#listeners.has(name)) return;
    const fd = udpSocket(family === 4 ? 0 : 0n, multihop ? multihopPort : singleHopPort, {
      ...this.#inNetns,
      // RFC 5881 §5: whatever came over a router is not from a neighbour.
      ...(multihop ? {} : { minTtl: 255 }),
      reuseAddress: true,
      receiveBufferBytes,
    });
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.on('error', () => {});
    socket.on('message', (bytes, { address }) => this.#receive(bytes, address, multihop));
    socket.bind({ fd });
    this.#listeners.set(name, socket);
  }

  #receive(bytes: Uint8Array, from: string, multihop: boolean): void {
    this.#packetsIn++;
    const decoded = decodeBfd(bytes);
    // No session here uses authentication, so an authenticated packet is not for one (§6.8.6).
    if (decoded.kind === 'discarded' || decoded.packet.authenticated) return;
    const [host = '', device] = from.split('%');
    const address = parseAddress(host);
    if (address === undefined) return;
    const { packet } = decoded;
    const live =
      packet.yourDiscriminator === 0
        ? (this.#byPath.get(pathOf({ address, multihop })) ?? this.#byPath.get(pathOf({ address, multihop, device })))
        : this.#byDiscriminator.get(packet.yourDiscriminator);
    if (!live || live.peer.address !== address || live.peer.multihop !== multihop) return;
    live.packetsIn++;
    this.#step(live, { kind: 'packet', packet });
  }

  #step(live: Live, event: BfdEvent): void {
    const { session, effects } = stepBfd(live.session, event, performance.now(), Math.random());
    live.session = session;
    for (const effect of effects) this.#carryOut(live, effect);
    clearTimeout(live.timer);
    clearImmediate(live.draining);
    const delay = Math.max(0, bfdDeadline(session) - performance.now());
    live.timer = setTimeout(() => this.#onTimer(live), delay);
  }

  #onTimer(live: Live): void {
    const now = performance.now();
    if (isOverdue(live.session, now)) this.#drain(live, this.#packetsIn, now + drainMs);
    else this.#step(live, { kind: 'timer' });
  }

  /**
   * Timers come before sockets in a turn of the event loop: if this process was held up, the packets that came meanwhile have
   * still to be read, and are no silence. Each turn reads some; one of this peer ends the matter.
   */
  #drain(live: Live, packetsIn: number, until: Millis): void {
    live.draining = setImmediate(() => {
      if (this.#packetsIn !== packetsIn && performance.now() < until) this.#drain(live, this.#packetsIn, until);
      else this.#step(live, { kind: 'timer' });
    });
  }

  #carryOut(live: Live, effect: BfdEffect): void {
    if (effect.kind === 'send') {
      this.#send(live, effect.packet);
      return;
    }
    if (effect.from === 'Up') live.timesDown++;
    this.#onState(changeOf(live));
  }

  #send(live: Live, packet: BfdPacket): void {
    live.packetsOut++;
    try {
      live.socket.send(encodeBfd(packet));
    } catch {
      // Not connected yet: that takes a turn of the event loop. The next packet is on its way.
    }
  }
}

function changeOf({ peer, session }: Live): BfdStateChange {
  const { state, diagnostic, remoteState, remoteIndependent } = session;
  const byAdministrator =
    state === 'AdminDown' || (diagnostic === Diagnostic.neighborSignaledDown && remoteState === 'AdminDown');
  return { key: peer.key, state, byAdministrator, remoteIndependent, reason: reasonOf(session) };
}

const pathOf = ({
  address,
  multihop,
  device,
}: {
  readonly address: Address;
  readonly multihop: boolean;
  readonly device?: string | undefined;
}): string => `${formatAddress(address)} ${multihop} ${device ?? ''}`;

function reasonOf({ diagnostic, state, remoteState }: BfdSession): string {
  if (remoteState === 'AdminDown' && state !== 'Up') return 'the peer has stopped BFD';
  return diagnostics[diagnostic] ?? `diagnostic ${diagnostic}`;
}

function bindSourcePort(open: (port: number) => number): number {
  for (let attempt = 0; ; attempt++) {
    try {
      return open(firstSourcePort + Math.floor(Math.random() * sourcePorts));
    } catch (error) {
      const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
      if (!taken || attempt === 100) throw error;
    }
  }
}
