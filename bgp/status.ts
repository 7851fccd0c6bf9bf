// The JSON of the bgp control API (GET /v1/… on bgp.sock), for twillctl and for anybody with curl.
//
// Addresses, prefixes and communities are text, times RFC 3339, durations milliseconds. Fields are only ever added.

import type { SessionState } from './session-types.ts';

/** GET /v1/status. */
export interface StatusReport {
  /** The datastore has been read and the speaker runs (or this node takes no part in BGP). */
  readonly ready: boolean;
  /** Why not. */
  readonly reason?: string;
  readonly node: string;
  /** Text; undefined while the node takes no part in BGP. */
  readonly routerId: string | undefined;
  readonly asn: number | undefined;
  /** Why this node takes no part in BGP, or not yet. */
  readonly outOfBgp?: string;
  readonly datastore: { readonly status: string; readonly revision: number; readonly keys: number };
  readonly startedAt: string;
  readonly peers: { readonly configured: number; readonly established: number };
  /** Best routes in the kernel, and those that it refused. */
  readonly fib: { readonly routes: number; readonly failures: readonly FibFailureReport[] };
  /** Resources that have no effect, and why. */
  readonly problems: readonly { readonly resource: string; readonly field: string; readonly problem: string }[];
  /** An address that the speaker could not listen on, and why. */
  readonly listenErrors: readonly string[];
}

export interface FibFailureReport {
  readonly prefix: string;
  readonly error: string;
}

/** GET /v1/peers. */
export interface PeersReport {
  readonly node: string;
  readonly routerId: string | undefined;
  readonly asn: number | undefined;
  /** Why this node takes no part in BGP, or not yet. */
  readonly outOfBgp?: string;
  readonly peers: readonly PeerReport[];
}

export interface PeerReport {
  /** As in PeerSettings: "mesh:10.0.0.2". */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly asn: number;
  /** calicoctl's words: "node-to-node mesh", "node specific", "global", "local workload". */
  readonly type: string;
  readonly state: SessionState;
  /** When it came into this state. */
  readonly since: string;
  /** One line: why it is down, or hold time and capabilities of a session that is up. */
  readonly detail: string;
  /** The last error, even when the session is up again. */
  readonly lastError?: { readonly at: string; readonly text: string };
  /** Only for peers that are watched by BFD. */
  readonly bfd?: { readonly state: string; readonly reason: string };
  readonly families: readonly string[];
  readonly routesIn: number;
  /** Those that import filters let pass. */
  readonly routesAccepted: number;
  readonly routesOut: number;
  readonly uptimeMs?: number;
  readonly timesEstablished: number;
  /** UPDATEs of this session in which something was wrong, by outcome (RFC 7606). */
  readonly malformedUpdates: { readonly treatedAsWithdraw: number; readonly attributesDiscarded: number };
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly queuedBytes: number;
}

/**
 * GET /v1/routes?view=best|received|advertised[&peer=…][&prefix=…]; 404 for a peer that there is not. An address as prefix
 * means the prefix that it is routed by.
 */
export interface RoutesReport {
  readonly view: RouteView;
  readonly peer?: string;
  readonly routes: readonly RouteReport[];
  /** Why there are none. */
  readonly note?: string;
  /** True when `limit` (default 10,000) cut the list. */
  readonly more: boolean;
}

export type RouteView = 'best' | 'received' | 'advertised';

export interface RouteReport {
  readonly prefix: string;
  /** Name of the peer; undefined: originated here. */
  readonly from?: string;
  /** RFC 7911, where the peer sends identifiers. */
  readonly pathId?: number;
  readonly best: boolean;
  readonly stale: boolean;
  /** Of what was received: why it is not the best. */
  readonly why?: string;
  /** As received, in force, or as sent. */
  readonly attributes: RouteAttributesReport;
}

export interface RouteAttributesReport {
  readonly origin: 'igp' | 'egp' | 'incomplete';
  /** "64601 64602 {64700 64701}". */
  readonly asPath: string;
  readonly nextHop?: string | undefined;
  readonly localPref?: number;
  readonly med?: number;
  readonly communities: readonly string[];
  /** "rt:65000:7", "ro:10.0.0.1:7", or sixteen hexadecimal digits. */
  readonly extendedCommunities?: readonly string[];
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
  /** Other attributes that the route has: "AGGREGATOR", "attribute 28". */
  readonly others?: readonly string[];
}

/** GET /v1/why?prefix=…: every path of a prefix with the step that decided, and who it is sent to or not. */
export interface WhyReport {
  readonly prefix: string;
  /** When nobody announces it: the longest prefix around it that somebody does. */
  readonly covering?: string;
  readonly paths: readonly {
    readonly from: string;
    readonly pathId?: number;
    /** "best", or why not: "lower LOCAL_PREF", "rejected by BGPFilter/x importV4[2]", "next hop 10.0.0.9 unreachable". */
    readonly verdict: string;
    readonly best: boolean;
    /** As received. */
    readonly attributes?: RouteAttributesReport;
    /** What an import rule made of them. */
    readonly inForce?: { readonly by: string; readonly attributes: RouteAttributesReport };
  }[];
  readonly fib: string;
  readonly advertised: readonly {
    readonly to: string;
    readonly verdict: string;
    readonly sent: boolean;
    /** As sent. */
    readonly attributes?: RouteAttributesReport;
  }[];
}

/** calicoctl's word for where a session comes from, by its name. */
export function peerType(name: string): string {
  const [origin] = name.split(':');
  switch (origin) {
    case 'mesh':
      return 'node-to-node mesh';
    case 'node':
      return 'node specific';
    case 'global':
      return 'global';
    case 'local-workload':
      return 'local workload';
    default:
      return origin ?? '';
  }
}
