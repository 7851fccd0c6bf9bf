// The outside worlds of a speaker, as interfaces: TCP connections, the kernel's FIB, the clock.
//
// transport.ts and fib.ts implement them for real; simulations and tests hand in their own.

import type { Address } from '../net/address.ts';
import type { Prefix } from '../net/prefix.ts';
import type { BfdPeer, BfdStateChange } from './bfd/engine.ts';
import type { Rib } from './rib/rib.ts';
import type { UpdateGroup } from './rib/update-group.ts';
import type { DownReason } from './session-types.ts';
import type {
  AddressFamily,
  BmpSettings,
  DynamicPeerSettings,
  ListenSettings,
  PeerSettings,
  SpeakerSettings,
} from './settings.ts';

export type Millis = number;

/** One TCP connection, connected. Bytes only: it knows nothing of BGP. */
export interface Connection {
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  readonly remotePort: number;
  /** Left out by connections that have none. */
  readonly localPort?: number;
  /** True when the peer opened it. */
  readonly incoming: boolean;
  /** Bytes taken by write() but not yet by the kernel. */
  readonly queuedBytes: number;
  setHandlers(handlers: ConnectionHandlers): void;
  /** The array is the connection's from here on; the caller does not touch it again. */
  write(bytes: Uint8Array): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
  /** Stops and restarts delivery of received bytes, so that one flooding peer cannot starve the others. */
  pause(): void;
  resume(): void;
}

export interface ConnectionHandlers {
  /** The array is valid during the call only: the read buffer is used again. */
  readonly onBytes: (bytes: Uint8Array) => void;
  /** queuedBytes fell to zero after it had been above the high-water mark. */
  readonly onDrain: () => void;
  /** Once, for either side's close; `error` is the system's code (ECONNRESET …), undefined for an orderly FIN. */
  readonly onClose: (error: string | undefined) => void;
}

export interface Transport {
  /** Listens with a backlog of thousands. Keys and TTL limits of the given peers are set before the first accept. */
  listen(
    settings: ListenSettings,
    peers: readonly PeerSettings[],
    onAccept: (connection: Connection) => void,
    ranges?: readonly DynamicPeerSettings[],
  ): Listener;
  /** Calls back once, with a connection or with the system's error code (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH …). */
  connect(
    peer: PeerSettings,
    callback: (result: { readonly connection: Connection } | { readonly error: string }) => void,
  ): { cancel(): void };
}

export interface Listener {
  /** Sets keys and TTL limits anew without closing anything: called when peers come, go or change their password. */
  updatePeers(peers: readonly PeerSettings[], ranges?: readonly DynamicPeerSettings[]): void;
  close(): void;
}

export interface FibNextHop {
  readonly gateway: Address | undefined;
  /** Interface index the gateway is reached by; undefined lets the kernel find it. */
  readonly interfaceIndex?: number;
}

export type FibRoute =
  | {
      readonly kind: 'unicast';
      readonly prefix: Prefix;
      readonly nextHops: readonly FibNextHop[];
      /** Metric; undefined: that of the settings. */
      readonly priority?: number;
    }
  | { readonly kind: 'blackhole'; readonly prefix: Prefix };

/** One way on from here: by a gateway, or onto the link. */
export interface Way {
  readonly interfaceIndex: number;
  /** Undefined: on the link. */
  readonly gateway?: Address;
}

/** The longest route of others that holds an address. */
export interface ForeignMatch {
  /** Of its prefix. */
  readonly length: number;
  /** Its metric. */
  readonly priority: number;
  /** None: the route says that its addresses can not be reached. */
  readonly ways: readonly Way[];
}

/** A route to a pod of this node, made by felix. */
export interface WorkloadRoute {
  readonly prefix: Prefix;
  /** Its metric; 0: none given. */
  readonly priority: number;
}

export interface FibFailure {
  readonly prefix: Prefix;
  /** "ENETUNREACH" … */
  readonly error: string;
}

/** The kernel's table, seen through our route protocol number: foreign routes are invisible and safe. */
export interface Fib {
  /** Our routes that the kernel has now; after a restart, those of the predecessor. */
  dump(): Promise<readonly FibRoute[]>;
  /** Replaces and deletes in one batch; whatever the kernel refused comes back. */
  apply(replace: readonly FibRoute[], remove: readonly Prefix[]): Promise<readonly FibFailure[]>;
  nameOf?(interfaceIndex: number): string | undefined;
  /** True when our route of this prefix stays out because somebody else's is there. */
  isWaiting?(prefix: Prefix): boolean;
  /** How the kernel would reach an address now if it had no route of ours. */
  lookUp(address: Address): ForeignMatch | undefined;
  /** Links, addresses or foreign routes changed: these addresses, looked up before, have another answer now. */
  onChange(callback: (addresses: readonly Address[]) => void): void;
  /** An interface has another name than before. */
  onRenamed?(callback: (interfaceIndex: number) => void): void;
  /** Routes of ours that somebody else removed or changed: the kernel, with a link that went down, or an operator. */
  onLost?(callback: (prefixes: readonly Prefix[]) => void): void;
  /** The routes to this node's pods: now, and all of them again whenever some change. */
  onWorkloads?(callback: (routes: readonly WorkloadRoute[]) => void): void;
  close(): void;
}

/** Notices a dead peer long before its hold timer: BFD. */
export interface FailureDetector {
  /** Set by the speaker. */
  onState: (change: BfdStateChange) => void;
  configure(peers: readonly BfdPeer[]): void;
}

/** An established session as a monitoring station sees it; another object for each session. */
export interface MonitoredPeer {
  readonly about: { readonly address: Address; readonly asn: number; readonly routerId: number };
  readonly localAddress: Address;
  readonly localPort: number;
  readonly remotePort: number;
  /** Whole messages. */
  readonly sentOpen: Uint8Array;
  readonly receivedOpen: Uint8Array;
  /** UPDATEs come with 2-octet AS numbers. */
  readonly twoOctetAs: boolean;
  readonly families: readonly AddressFamily[];
  /** Families that come with path identifiers. */
  readonly addPath: readonly AddressFamily[];
  /** Its number in the RIB. */
  readonly source: number;
  routeCount(): number;
  readonly out: MonitoredOutput;
}

/** What a peer is sent. */
export interface MonitoredOutput {
  /** Those that it is a member of now, one for each family. */
  groups(): Iterable<UpdateGroup>;
  /** Lets somebody hear of what is written to the peer from now on, as whole messages; undefined: nobody. */
  tap(listener: ((bytes: Uint8Array) => void) | undefined): void;
}

export interface MonitoredSpeaker {
  readonly rib: Rib;
  readonly settings: Pick<SpeakerSettings, 'asn' | 'routerId'>;
  /** Those that are established. */
  monitoredPeers(): Iterable<MonitoredPeer>;
}

/** Hears what peers say, before our policy, and what they are sent: BMP. */
export interface RouteMonitor {
  /** False: nobody listens, and nothing needs to be told. */
  readonly isActive: boolean;
  configure(stations: readonly BmpSettings[], speaker: MonitoredSpeaker): void;
  up(peer: MonitoredPeer): void;
  /** The peer has joined its update groups, or others than before. */
  regrouped(peer: MonitoredPeer): void;
  /** An UPDATE's body; it is copied before this returns. */
  update(peer: MonitoredPeer, body: Uint8Array): void;
  down(peer: MonitoredPeer, reason: DownReason): void;
  /** Routes of the peer went without its saying so. */
  renew(peer: MonitoredPeer): void;
  close(): void;
}

export interface Clock {
  now(): Millis;
  /** Arms one timer; the returned function disarms it. */
  after(delay: Millis, callback: () => void): () => void;
  /** 0 ≤ x < 1, for jitter. */
  random(): number;
}
