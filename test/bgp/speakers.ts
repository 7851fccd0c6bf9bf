// Several speakers in one process, on a network and a clock that are both simulated and seeded: connections that take
// time, are delayed, cut into pieces and broken.

import { pino } from 'pino';
import type {
  Clock,
  Connection,
  ConnectionHandlers,
  FailureDetector,
  Listener,
  Millis,
  Transport,
} from '../../bgp/edges.ts';
import { acceptAll, type PeerSettings, type SpeakerSettings } from '../../bgp/settings.ts';
import { Speaker, type SpeakerOptions } from '../../bgp/speaker.ts';
import type { Address } from '../../net/address.ts';

/** Time goes from event to event. */
export class World {
  now = 0;
  readonly #random: () => number;
  readonly #queue: { readonly at: Millis; readonly order: number; readonly run: () => void; done: boolean }[] = [];
  #order = 0;
  readonly listeners = new Map<Address, (connection: Connection) => void>();
  readonly links = new Set<Link>();
  readonly #cut = new Set<string>();

  constructor(seed: number) {
    let state = seed;
    this.#random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return (state >>> 0) / 2 ** 32;
    };
  }

  random(): number {
    return this.#random();
  }

  at(delay: Millis, run: () => void): () => void {
    return this.atTime(this.now + Math.max(0, delay), run);
  }

  atTime(at: Millis, run: () => void): () => void {
    const event = { at, order: this.#order++, run, done: false };
    this.#queue.push(event);
    return () => {
      event.done = true;
    };
  }

  /** Lets the world go on until a time, or until the condition holds; true when it did. */
  run(until: Millis, condition: () => boolean = () => false): boolean {
    for (;;) {
      if (condition()) return true;
      let next = -1;
      for (const [i, { at, order }] of this.#queue.entries()) {
        const best = this.#queue[next];
        if (!best || at < best.at || (at === best.at && order < best.order)) next = i;
      }
      const event = this.#queue[next];
      if (!event || event.at > until) {
        this.now = until;
        return condition();
      }
      this.#queue.splice(next, 1);
      if (event.done) continue;
      this.now = event.at;
      event.run();
    }
  }

  clock(): Clock {
    return {
      now: () => this.now,
      after: (delay, callback) => this.at(delay, callback),
      random: () => this.random(),
    };
  }

  transport(own: Address): Transport {
    return {
      listen: ({ address }, _peers, onAccept): Listener => {
        this.listeners.set(address, onAccept);
        return { updatePeers: () => {}, close: () => void this.listeners.delete(address) };
      },
      connect: (peer, callback) => {
        const cancel = this.at(1 + this.random() * 20, () => {
          const accept = this.listeners.get(peer.address);
          const source = peer.sourceAddress ?? own;
          if (!accept || this.isCut(source, peer.address)) {
            callback({ error: accept ? 'EHOSTUNREACH' : 'ECONNREFUSED' });
            return;
          }
          const link = new Link(this, source, peer.address);
          this.links.add(link);
          callback({ connection: link.client });
          this.at(this.random() * 20, () => accept(link.server));
        });
        return { cancel };
      },
    };
  }

  isCut(a: Address, b: Address): boolean {
    return this.#cut.has(`${a} ${b}`) || this.#cut.has(`${b} ${a}`);
  }

  /** Breaks all connections between two addresses, and lets none come up until mended. */
  cut(a: Address, b: Address): void {
    this.#cut.add(`${a} ${b}`);
    for (const link of [...this.links]) if (link.joins(a, b)) link.break('ECONNRESET');
  }

  mend(a: Address, b: Address): void {
    this.#cut.delete(`${a} ${b}`);
    this.#cut.delete(`${b} ${a}`);
  }
}

/** One TCP connection, both ends of it. */
export class Link {
  readonly client: End;
  readonly server: End;
  readonly #world: World;

  constructor(world: World, from: Address, to: Address) {
    this.#world = world;
    this.client = new End(world, this, from, to, false);
    this.server = new End(world, this, to, from, true);
  }

  joins(a: Address, b: Address): boolean {
    const { localAddress, remoteAddress } = this.client;
    return (localAddress === a && remoteAddress === b) || (localAddress === b && remoteAddress === a);
  }

  other(end: End): End {
    return end === this.client ? this.server : this.client;
  }

  break(error: string): void {
    this.#world.links.delete(this);
    this.client.closed(error);
    this.server.closed(error);
  }

  /** From now on nothing that this end sends seems to leave it, while the peer stays alive. */
  jam(address: Address): void {
    (this.client.localAddress === address ? this.client : this.server).isJammed = true;
  }

  forget(): void {
    this.#world.links.delete(this);
  }
}

class End implements Connection {
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  readonly remotePort = 179;
  readonly incoming: boolean;
  queuedBytes = 0;
  isJammed = false;
  readonly #world: World;
  readonly #link: Link;
  #handlers: ConnectionHandlers | undefined;
  #early: Uint8Array[] = [];
  #isReady = false;
  #isClosed = false;
  /** Null: not closed by the other side. */
  #closedWith: string | undefined | null = null;
  /** Nothing overtakes what was sent before. */
  #lastArrival = 0;

  constructor(world: World, link: Link, localAddress: Address, remoteAddress: Address, incoming: boolean) {
    this.#world = world;
    this.#link = link;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.incoming = incoming;
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    // As a real socket does: not before this turn is over.
    this.#world.at(0, () => {
      const early = this.#early.splice(0);
      for (const bytes of early) if (!this.#isClosed) handlers.onBytes(bytes);
      this.#isReady = true;
      if (this.#isClosed && this.#closedWith !== null) handlers.onClose(this.#closedWith);
    });
  }

  /** Arrives later, in pieces. */
  write(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    // The other end goes on as if it had read: alive by its own timers, but to us nothing of this has left.
    if (this.isJammed) this.queuedBytes += bytes.length;
    const copy = bytes.slice();
    const split = Math.floor(this.#world.random() * copy.length);
    for (const piece of [copy.subarray(0, split), copy.subarray(split)]) {
      if (piece.length > 0) this.#later(() => this.#link.other(this).receive(piece));
    }
  }

  #later(run: () => void): void {
    this.#lastArrival = Math.max(this.#lastArrival, this.#world.now + this.#world.random() * 10);
    this.#world.atTime(this.#lastArrival, run);
  }

  receive(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#isReady) this.#handlers?.onBytes(bytes);
    else this.#early.push(bytes);
  }

  end(): void {
    if (this.#isClosed) return;
    this.#later(() => this.#link.other(this).closed(undefined));
    this.#isClosed = true;
    this.#link.forget();
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link.forget();
    this.#later(() => this.#link.other(this).closed('ECONNRESET'));
  }

  closed(error: string | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closedWith = error;
    if (this.#isReady) this.#handlers?.onClose(error);
  }

  pause(): void {}
  resume(): void {}
}

export function peerSettings(
  name: string,
  address: Address,
  asn: number,
  rest: Partial<PeerSettings> = {},
): PeerSettings {
  return {
    name,
    address,
    asn,
    port: 179,
    passive: false,
    families: ['ipv4-unicast', 'ipv6-unicast'],
    holdTimeSec: 9,
    keepaliveTimeSec: 0,
    connectRetrySec: 5,
    routeReflectorClient: false,
    nextHop: 'auto',
    allowedOwnAsns: 0,
    gracefulRestart: false,
    addPathSend: false,
    addPathReceive: false,
    importFilter: acceptAll,
    exportFilter: acceptAll,
    ...rest,
  };
}

export function speakerSettings(
  routerId: number,
  asn: number,
  peers: readonly PeerSettings[],
  rest: Partial<SpeakerSettings> = {},
): SpeakerSettings {
  return {
    routerId,
    asn,
    listen: [{ address: routerId, port: 179 }],
    peers,
    dynamicPeers: [],
    originate: [],
    fib: undefined,
    maxPaths: 1,
    gracefulRestart: undefined,
    ...rest,
  };
}

export function speakerIn(
  world: World,
  address: Address,
  failureDetector?: FailureDetector,
  openFib?: SpeakerOptions['openFib'],
): Speaker {
  return new Speaker({
    ...(failureDetector ? { failureDetector } : {}),
    ...(openFib ? { openFib } : {}),
    transport: world.transport(address),
    clock: world.clock(),
    log: pino({ level: process.env['TWILL_TEST_LOG'] ?? 'silent' }),
    defer: (callback) => world.at(0, callback),
  });
}
