// TCP for BGP: the only file that opens sockets. RFC 4271 §8.2.1 (connections), RFC 2385 (TCP-MD5), RFC 5082 (GTSM).
//
// Sockets are made by linux/sockets.ts, which can set what Node cannot, and are handed to Node as descriptors.
//
//   read:  kernel → one buffer shared by all connections → onBytes, synchronously. Nothing is allocated per read.
//   write: write() only queues. When the running callback has ended the queue goes out in one call; while the kernel has not taken
//          that, what follows gathers for the next one. So many small messages become few segments without Nagle.
//          The call is send() itself: a change of a route goes to hundreds of peers, and Node's streams cost more per write
//          than the kernel does. What the kernel does not take at once goes by way of Node, which waits for room.

import { createServer, type Server, Socket } from 'node:net';
import { hasCode } from '../linux/errors.ts';
import { trySend } from '../linux/libc.ts';
import type { NetnsRef } from '../linux/netns.ts';
import { connectingSocket, listeningSocket, setMd5Key, setMd5KeyForPrefix, setTtl } from '../linux/sockets.ts';
import { type Address, familyOf, formatAddress, isLinkLocal, parseAddress } from '../net/address.ts';
import { familyOfPrefix, formatPrefix, prefixContains } from '../net/prefix.ts';
import type { Connection, ConnectionHandlers, Listener, Transport } from './edges.ts';
import type { DynamicPeerSettings, ListenSettings, PeerSettings } from './settings.ts';

/** Above this many queued bytes a connection is slow: onDrain tells when it has caught up. */
export const highWaterBytes = 256 * 1024;

const readBufferBytes = 256 * 1024;
/** How long end() waits for the peer to take the rest before the connection is cut. */
const lingerMs = 2000;
/** SYN-ACKs must pass a peer's GTSM check; the limit on what we accept is per peer. */
const sentTtl = 255;

/** The TTL that a packet must still have when the peer is at most this many hops away. */
export const minTtlFor = (hops: number | undefined): number => (hops === undefined ? 0 : 256 - hops);

/** With a namespace, all sockets are opened in it. */
export const createTransport = (options: { readonly netns?: NetnsRef } = {}): Transport =>
  new TcpTransport(options.netns);

class TcpTransport implements Transport {
  readonly #connections = new Set<TcpConnection>();
  /** No Buffer: what is kept of a message is taken with slice(), which of a Buffer would be no copy but the next bytes read. */
  readonly #readBuffer = new Uint8Array(readBufferBytes);
  readonly #inNetns: { readonly netns?: NetnsRef };

  constructor(netns: NetnsRef | undefined) {
    this.#inNetns = netns === undefined ? {} : { netns };
  }

  listen(
    settings: ListenSettings,
    peers: readonly PeerSettings[],
    onAccept: (connection: Connection) => void,
    ranges: readonly DynamicPeerSettings[] = [],
  ): Listener {
    const fd = listeningSocket(settings.address, settings.port, {
      ...this.#inNetns,
      ttl: sentTtl,
      backlog: 4096,
      ...(settings.device === undefined ? {} : { device: settings.device }),
    });
    const listener = new TcpListener(fd, settings.address, this.#connections);
    listener.updatePeers(peers, ranges);
    // Paused, so that not a byte is read before the connection has its own buffer and handlers.
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (accepted) => {
      const connection = this.#adopt(accepted);
      if (!connection) return;
      try {
        listener.secure(connection);
      } catch {
        connection.destroy();
        return;
      }
      onAccept(connection);
    });
    listener.serve(server);
    return listener;
  }

  connect(
    peer: PeerSettings,
    callback: (result: { readonly connection: Connection } | { readonly error: string }) => void,
  ): { cancel(): void } {
    let socket: Socket;
    try {
      socket = this.#socket({ fd: socketTo(peer, this.#inNetns) });
    } catch (error) {
      const code = codeOf(error);
      const timer = setImmediate(() => callback({ error: code }));
      return { cancel: () => clearImmediate(timer) };
    }
    const onError = (error: Error): void => callback({ error: codeOf(error) });
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('error', onError);
      const connection = this.#track(socket, false);
      if (connection) callback({ connection });
      else callback({ error: 'ENOTCONN' });
    });
    const zone = isLinkLocal(peer.address) && peer.device !== undefined ? `%${peer.device}` : '';
    socket.connect({ host: `${formatAddress(peer.address)}${zone}`, port: peer.port, autoSelectFamily: false });
    return {
      cancel: () => {
        socket.removeAllListeners();
        socket.on('error', () => {});
        socket.destroy();
      },
    };
  }

  /** Node gives accepted sockets an allocating reader; the same handle in a new Socket gets ours. */
  #adopt(accepted: Socket): TcpConnection | undefined {
    const handle: unknown = Reflect.get(accepted, '_handle');
    if (typeof handle !== 'object' || handle === null) return undefined;
    Reflect.set(accepted, '_handle', null);
    return this.#track(this.#socket({ handle }), true);
  }

  #socket(source: { readonly fd: number } | { readonly handle: object }): Socket {
    const options = {
      ...source,
      allowHalfOpen: false,
      onread: {
        buffer: this.#readBuffer,
        callback: (count: number, buffer: Uint8Array): boolean => {
          const connection = received.get(socket);
          connection?.receive(buffer.subarray(0, count));
          if (count < readBufferBytes || !connection) return true;
          connection.readOnNextTurn();
          return false;
        },
      },
    };
    const socket: Socket = new Socket(options);
    return socket;
  }

  #track(socket: Socket, incoming: boolean): TcpConnection | undefined {
    const local = addressOf(socket.localAddress);
    const remote = addressOf(socket.remoteAddress);
    if (local === undefined || remote === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return undefined;
    }
    const connection = new TcpConnection(socket, local, remote, incoming);
    received.set(socket, connection);
    this.#connections.add(connection);
    socket.once('close', () => this.#connections.delete(connection));
    return connection;
  }
}

/** Connections with something to write. */
let waiting: TcpConnection[] = [];

/**
 * Writes when the callback that is running has ended: by then it has queued all that it has for anybody. Waiting for the
 * next turn of the event loop instead would cost each change of a route one more turn.
 */
function flushSoon(connection: TcpConnection): void {
  waiting.push(connection);
  if (waiting.length > 1) return;
  process.nextTick(() => {
    const ready = waiting;
    waiting = [];
    for (const one of ready) one.flush();
  });
}

/** Which connection a socket's bytes are for. */
const received = new WeakMap<Socket, TcpConnection>();

class TcpListener implements Listener {
  readonly #fd: number;
  readonly #address: Address;
  readonly #connections: ReadonlySet<TcpConnection>;
  #server: Server | undefined;
  #peers = new Map<Address, PeerSettings>();
  /** Keys by listen range, in its text. */
  #ranges = new Map<string, DynamicPeerSettings>();

  constructor(fd: number, address: Address, connections: ReadonlySet<TcpConnection>) {
    this.#fd = fd;
    this.#address = address;
    this.#connections = connections;
  }

  serve(server: Server): void {
    this.#server = server;
    server.on('error', () => {});
    server.listen({ fd: this.#fd });
  }

  updatePeers(peers: readonly PeerSettings[], ranges: readonly DynamicPeerSettings[] = []): void {
    this.#updateRanges(ranges);
    const next = new Map<Address, PeerSettings>();
    for (const peer of peers) {
      if (familyOf(peer.address) === familyOf(this.#address)) next.set(peer.address, peer);
    }
    for (const [address, { password }] of this.#peers) {
      if (password && !next.get(address)?.password) this.#setKey(address, undefined);
    }
    for (const [address, { password }] of next) {
      if (password && password !== this.#peers.get(address)?.password) this.#setKey(address, password);
    }
    this.#peers = next;
    for (const connection of this.#connections) {
      if (connection.incoming && next.has(connection.remoteAddress)) this.secure(connection);
    }
  }

  /** Keys of ranges are for connections to come; those that are up keep theirs. */
  #updateRanges(ranges: readonly DynamicPeerSettings[]): void {
    const own = ranges.filter(({ range }) => familyOfPrefix(range) === familyOf(this.#address));
    const next = new Map(own.map((one) => [formatPrefix(one.range), one]));
    for (const [text, { range, password }] of this.#ranges) {
      if (password && !next.get(text)?.password) setMd5KeyForPrefix(this.#fd, range, undefined);
    }
    for (const [text, { range, password }] of next) {
      if (password && password !== this.#ranges.get(text)?.password) setMd5KeyForPrefix(this.#fd, range, password);
    }
    this.#ranges = next;
  }

  /** The TTL check cannot be set per peer on the listening socket, so the accepted one gets it. */
  secure(connection: TcpConnection): void {
    const peer =
      this.#peers.get(connection.remoteAddress) ??
      [...this.#ranges.values()].find(({ range }) => prefixContains(range, connection.remoteAddress));
    const hops = peer?.ttlSecurityHops;
    if (hops !== undefined) connection.setMinTtl(minTtlFor(hops));
  }

  close(): void {
    this.#server?.close();
  }

  /** Sessions that are up take the new key too (Linux lets us): TCP resends until both ends have it. */
  #setKey(address: Address, key: string | undefined): void {
    try {
      setMd5Key(this.#fd, address, key);
    } catch (error) {
      // Removing a key that the kernel has not got.
      if (key !== undefined || !hasCode(error, 'ENOENT')) throw error;
    }
    for (const connection of this.#connections) {
      if (connection.remoteAddress === address) connection.setKey(key);
    }
  }
}

class TcpConnection implements Connection {
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  readonly remotePort: number;
  readonly localPort: number;
  readonly incoming: boolean;
  readonly #socket: Socket;
  /** Node closes it, and its number may then be another socket's: to be used only while the socket is writable. */
  readonly #fd: number | undefined;
  #handlers: ConnectionHandlers | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #inFlightBytes = 0;
  #flushScheduled = false;
  #ending = false;
  #slow = false;
  #paused = false;
  #error: string | undefined;
  #closed = false;

  constructor(socket: Socket, localAddress: Address, remoteAddress: Address, incoming: boolean) {
    this.#socket = socket;
    this.#fd = fdOf(socket);
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    this.incoming = incoming;
    socket.on('error', (error) => {
      this.#error ??= codeOf(error);
    });
    socket.once('close', () => {
      this.#closed = true;
      this.#queue = [];
      this.#queuedBytes = 0;
      this.#inFlightBytes = 0;
      this.#handlers?.onClose(this.#error);
    });
  }

  get queuedBytes(): number {
    return this.#queuedBytes + this.#inFlightBytes;
  }

  setHandlers(handlers: ConnectionHandlers): void {
    const first = this.#handlers === undefined;
    this.#handlers = handlers;
    // Starts reading a connection that was accepted paused.
    if (first) this.#socket.resume();
  }

  receive(bytes: Uint8Array): void {
    this.#handlers?.onBytes(bytes);
  }

  /**
   * More is there. libuv would read on at once, up to 32 times: a peer that sends faster than we digest would have a whole
   * table taken in one turn, and everybody else wait for it.
   */
  readOnNextTurn(): void {
    setImmediate(() => {
      if (!this.#closed && !this.#paused) this.#socket.resume();
    });
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.queuedBytes > highWaterBytes) this.#slow = true;
    if (this.#flushScheduled || this.#inFlightBytes > 0) return;
    this.#flushScheduled = true;
    flushSoon(this);
  }

  /** Hands what is queued to the kernel. */
  flush(): void {
    this.#flushScheduled = false;
    this.#flush();
  }

  #flush(): void {
    if (this.#closed || this.#inFlightBytes > 0) return;
    const [first] = this.#queue;
    if (first === undefined) {
      if (this.#ending) this.#socket.end();
      return;
    }
    const bytes = this.#queue.length === 1 ? first : Buffer.concat(this.#queue, this.#queuedBytes);
    this.#queue = [];
    this.#queuedBytes = 0;
    const sent = this.#sendNow(bytes);
    if (sent === bytes.length) {
      if (this.#ending) this.#socket.end();
      this.#tellDrained();
      return;
    }
    this.#inFlightBytes = bytes.length - sent;
    this.#socket.write(bytes.subarray(sent), (error) => {
      this.#inFlightBytes = 0;
      if (error || this.#closed) return;
      this.#flush();
      this.#tellDrained();
    });
  }

  /** How much the kernel took. Node has nothing of ours in its hands then, so the order is kept. */
  #sendNow(bytes: Uint8Array): number {
    return this.#fd === undefined || !this.#socket.writable ? 0 : trySend(this.#fd, bytes);
  }

  #tellDrained(): void {
    if (!this.#slow || this.queuedBytes > 0) return;
    this.#slow = false;
    this.#handlers?.onDrain();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#flush();
    // A peer that no longer reads must not keep the connection for ever.
    const timer = setTimeout(() => this.destroy(), lingerMs);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  setKey(key: string | undefined): void {
    const fd = fdOf(this.#socket);
    if (fd === undefined) return;
    try {
      setMd5Key(fd, this.remoteAddress, key);
    } catch (error) {
      if (key !== undefined || !hasCode(error, 'ENOENT')) throw error;
    }
  }

  setMinTtl(minTtl: number): void {
    const fd = fdOf(this.#socket);
    if (fd !== undefined) setTtl(fd, familyOf(this.remoteAddress), { ttl: sentTtl, minTtl });
  }
}

function socketTo(peer: PeerSettings, inNetns: { readonly netns?: NetnsRef }): number {
  return connectingSocket(peer.address, {
    ...inNetns,
    ...(peer.device === undefined ? {} : { device: peer.device }),
    ...(peer.sourceAddress === undefined ? {} : { source: peer.sourceAddress }),
    ...(peer.password ? { md5: peer.password } : {}),
    ...(peer.ttlSecurityHops === undefined ? {} : { ttl: sentTtl, minTtl: minTtlFor(peer.ttlSecurityHops) }),
  });
}

function addressOf(text: string | undefined): Address | undefined {
  const [withoutZone] = (text ?? '').split('%');
  return parseAddress(withoutZone ?? '');
}

/** Node does not publish a socket's descriptor, but its handle has it. */
function fdOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
