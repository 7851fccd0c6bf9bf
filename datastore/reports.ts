// Reports of nodes, as every store of them keeps them: ephemeral.ts opens one, redis.ts is one.

/** `status`: what a node says of itself; `hits`: its rule counters. */
export type ReportKind = 'status' | 'hits';

export interface Report {
  readonly node: string;
  /** JSON text. */
  readonly json: string;
}

/** Methods reject with KvError. */
export interface EphemeralStore {
  /** For people: "redis" or "datastore". */
  readonly where: string;
  /** Replaces the node's report of this kind; it disappears `ttlSec` after the last one. */
  publish(kind: ReportKind, node: string, json: string, ttlSec: number): Promise<void>;
  /** The reports that are there now, by node name in byte order. */
  read(kind: ReportKind): Promise<readonly Report[]>;
  close(): Promise<void>;
}
