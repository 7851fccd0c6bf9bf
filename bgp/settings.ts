// What a speaker is told to do: values only, made by bgp/config (from resources) or bgp/file-config (from a JSON file).
//
// Speaker.configure(settings) compares with what it has and touches only the sessions that differ.

import type { Address, Ipv4 } from '../net/address.ts';
import type { Prefix } from '../net/prefix.ts';

export type AddressFamily = 'ipv4-unicast' | 'ipv6-unicast';

export interface SpeakerSettings {
  /** BGP identifier, RFC 6286: any non-zero 32-bit number unique in the AS. */
  readonly routerId: Ipv4;
  readonly asn: number;
  /** RFC 4456; undefined: the router id. */
  readonly clusterId?: Ipv4;
  readonly listen: readonly ListenSettings[];
  readonly peers: readonly PeerSettings[];
  /** Listen ranges: a connection from inside one makes a passive peer from its template (RFC 4271 §8.1.1 event 5). */
  readonly dynamicPeers: readonly DynamicPeerSettings[];
  /** Prefixes that this node originates. */
  readonly originate: readonly OriginatedRoute[];
  /** Undefined: blocks alone. */
  readonly workloads?: WorkloadSettings;
  /** Whether and how best routes go into the kernel. */
  readonly fib: FibSettings | undefined;
  readonly staticRoutes?: readonly StaticRoute[];
  /** Paths used at once, per prefix, for the FIB. 1: no multipath. */
  readonly maxPaths: number;
  /** Undefined: `defaultBestPath`. */
  readonly bestPath?: BestPathSettings;
  /** RFC 4724 restarting side: seconds that peers should keep our routes, and whether the FIB survived. */
  readonly gracefulRestart: { readonly restartTimeSec: number } | undefined;
  /** Monitoring stations that hear what peers say. */
  readonly bmp?: readonly BmpSettings[];
}

/** RFC 7854: we connect to the station. */
export interface BmpSettings {
  readonly address: Address;
  readonly port: number;
  /** Tell the best routes too, own ones among them (RFC 9069). */
  readonly locRib?: boolean;
  /** Tell what peers are sent too (RFC 8671), before or after their export filters. */
  readonly adjRibOut?: readonly AdjRibOutView[];
}

export const adjRibOutViews = ['pre-policy', 'post-policy'] as const;
export type AdjRibOutView = (typeof adjRibOutViews)[number];

/** Where networks differ in how the best path is chosen. */
export interface BestPathSettings {
  /** MED compares also between paths of different neighboring ASs, which RFC 4271 §9.1.2.2 c does not want. */
  readonly alwaysCompareMed: boolean;
  /** The length of the AS_PATH does not count. */
  readonly ignoreAsPathLength: boolean;
  /** Paths of different neighboring ASs may be used at once. */
  readonly multipathRelax: boolean;
  /** Of external paths that are otherwise equal the one that came first, not that of the lowest router id (RFC 5004). */
  readonly preferOldest: boolean;
}

export const defaultBestPath: BestPathSettings = {
  alwaysCompareMed: false,
  ignoreAsPathLength: false,
  multipathRelax: true,
  preferOldest: false,
};

export interface ListenSettings {
  /** 0 or 0n: every address of the family. */
  readonly address: Address;
  readonly port: number;
  readonly device?: string;
}

export interface FibSettings {
  /** Kernel routing table; 254 is "main". */
  readonly table: number;
  /** rtm_protocol of our routes: what we may remove. */
  readonly protocol: number;
  readonly priority: number;
  /** Metric of IPv6 routes; undefined: the same. */
  readonly priority6?: number;
  /** Best routes inside these prefixes stay out of the kernel: somebody else programs them. */
  readonly except?: readonly Prefix[];
  /** Best routes outside these prefixes stay out of the kernel; empty: all go in. */
  readonly only: readonly Prefix[];
  /** rtm_protocol of the routes to this node's pods. */
  readonly workloadProtocol?: number;
}

/** A route of ours that no peer announced: to a peer behind a gateway. */
export interface StaticRoute {
  /** Where it came from, for explanations: "BGPPeer/rack-a reachableBy". */
  readonly origin: string;
  readonly prefix: Prefix;
  readonly gateway: Address;
}

/** Which routes to this node's pods are announced beside the blocks that they are in. */
export interface WorkloadSettings {
  /** Only inside these: the pools. */
  readonly inside: readonly Prefix[];
  /** What the community settings add, by prefix. */
  readonly communities: readonly { readonly prefix: Prefix; readonly communities: readonly Community[] }[];
}

export interface OriginatedRoute {
  readonly prefix: Prefix;
  /** Also a blackhole in the FIB, so that an address of the block without a pod is not sent away again. */
  readonly blackhole: boolean;
  readonly communities: readonly Community[];
  /** Metric in the kernel; undefined: the normal one. */
  readonly priority?: number;
}

export type Community =
  | { readonly kind: 'standard'; readonly value: number }
  | { readonly kind: 'large'; readonly global: number; readonly local1: number; readonly local2: number };

export interface PeerSettings {
  /** Names the peer in logs and status; unique. By convention `<origin>:<address>`, as "mesh:10.0.0.2". */
  readonly name: string;
  readonly address: Address;
  readonly port: number;
  readonly asn: number;
  /** Another AS that we show to this peer. Undefined: the speaker's. */
  readonly localAs?: LocalAsSettings;
  readonly passive: boolean;
  readonly sourceAddress?: Address;
  /** Next hop of our IPv6 routes when the session itself runs over IPv4. */
  readonly ownIpv6Address?: bigint;
  /** Next hop of our IPv4 routes when the session runs over IPv6 and the peer takes no IPv6 next hops for them (RFC 8950). */
  readonly ownIpv4Address?: Ipv4;
  /** Name of a peer whose session carries the families of this one too, if it can: this one is for when it does not. */
  readonly fallbackFor?: string;
  readonly device?: string;
  /** TCP-MD5 key, RFC 2385. */
  readonly password?: string;
  /** RFC 5082: the peer is at most this many hops away. Undefined: no check, and for eBGP no TTL limit either. */
  readonly ttlSecurityHops?: number;
  readonly families: readonly AddressFamily[];
  readonly holdTimeSec: number;
  /** 0: a third of the negotiated hold time. */
  readonly keepaliveTimeSec: number;
  readonly connectRetrySec: number;
  /** DelayOpenTime (RFC 4271 §8.1.1): how long a new connection waits for the peer's OPEN before ours. Absent: not at all. */
  readonly delayOpenSec?: number;
  /** MinRouteAdvertisementInterval (RFC 4271 §9.2.1.1): changes go out at most once in this time. Absent: at once. */
  readonly advertisementIntervalSec?: number;
  readonly routeReflectorClient: boolean;
  readonly nextHop: 'auto' | 'self' | 'keep';
  /** Own AS number may occur this often in a received AS_PATH. */
  readonly allowedOwnAsns: number;
  readonly gracefulRestart: boolean;
  /** Seconds that this peer should keep our routes while we restart; undefined: the speaker's. */
  readonly restartTimeSec?: number;
  /** Seconds that we keep a restarting peer's routes at most; undefined: what it asks for. */
  readonly maxRestartTimeSec?: number;
  /** RFC 9494: for how long routes stay, least preferred, when a restart takes longer than that. Undefined: not at all. */
  readonly longLivedStaleSec?: number;
  readonly addPathSend: boolean;
  readonly addPathReceive: boolean;
  readonly maxPrefixes?: MaxPrefixes;
  /** Watch the peer by BFD too; undefined: by the hold time only. */
  readonly bfd?: BfdSettings;
  readonly importFilter: FilterSettings;
  readonly exportFilter: FilterSettings;
}

/** RFC 7705, in the words of routers' `local-as`. The modes concern external peers only. */
export interface LocalAsSettings {
  readonly asn: number;
  /** The AS_PATHs that the peer sends stay as they are; otherwise this AS is put in front of them. */
  readonly noPrepend: boolean;
  /** The peer sees this AS only; otherwise this one and behind it the speaker's. */
  readonly replaceAs: boolean;
  /** The peer may expect either this AS or the speaker's: when it refuses one, the other is tried. */
  readonly dualAs: boolean;
}

export type DynamicPeerSettings = Omit<PeerSettings, 'address' | 'asn' | 'passive'> & {
  readonly range: Prefix;
  /** Undefined: any AS. */
  readonly asn?: number;
};

/** RFC 5880. */
export interface BfdSettings {
  readonly minTxMs: number;
  readonly minRxMs: number;
  readonly multiplier: number;
  /** RFC 5883; otherwise the peer is on the same link (RFC 5881). */
  readonly multihop: boolean;
}

export interface MaxPrefixes {
  readonly limit: number;
  readonly warnAtPercent: number;
  /** Undefined: stay down until told otherwise. */
  readonly restartAfterSec?: number;
}

/** Rules in order, the first that matches decides; without a match, `otherwise`. */
export interface FilterSettings {
  readonly rules: readonly FilterRule[];
  readonly otherwise: 'accept' | 'reject';
  /** What a route's priority is that nothing has set, by family; undefined: 1024. */
  readonly normalPriority?: Readonly<Record<AddressFamily, number>>;
}

export interface FilterRule {
  /** Where the rule came from, for explanations: "BGPFilter/drop-private exportV4[2]". */
  readonly origin: string;
  readonly action: 'accept' | 'reject';
  readonly family?: AddressFamily;
  readonly match?: {
    readonly prefix: Prefix;
    readonly operator: 'equal' | 'not-equal' | 'in' | 'not-in';
    readonly minLength?: number;
    readonly maxLength?: number;
  };
  /** `remote-peers`: only routes learned by BGP; `local`: only our own. */
  readonly source?: 'remote-peers' | 'local';
  readonly interface?: string;
  readonly peerType?: 'ebgp' | 'ibgp';
  readonly communities?: readonly Community[];
  readonly asPathPrefix?: readonly number[];
  readonly priority?: number;
  readonly operations: readonly FilterOperation[];
}

export type FilterOperation =
  | { readonly kind: 'add-community'; readonly community: Community }
  | { readonly kind: 'prepend-as-path'; readonly asns: readonly number[] }
  | { readonly kind: 'set-priority'; readonly priority: number };

export const acceptAll: FilterSettings = { rules: [], otherwise: 'accept' };
