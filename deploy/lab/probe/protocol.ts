// What the lab asks of a probe and what it answers: one JSON value a line, over a unix socket.

export interface Target {
  readonly address: string;
  readonly port: number;
}

export type Request =
  /** One TCP connection to each target, all at once. */
  | { readonly kind: 'connect'; readonly targets: readonly Target[]; readonly timeoutMs: number }
  /** TCP connections to the target, a new one each `everyMs`, from now until `stop`. */
  | { readonly kind: 'watch'; readonly target: Target; readonly everyMs: number; readonly timeoutMs: number }
  /** UDP datagrams to all addresses each `everyMs`, from now until `stop`. */
  | { readonly kind: 'flood'; readonly addresses: readonly string[]; readonly port: number; readonly everyMs: number }
  /** Ends `watch` and `flood` and says what they saw. */
  | { readonly kind: 'stop' }
  /** The datagrams that arrived here, by source. */
  | { readonly kind: 'received' };

export interface ConnectResult {
  readonly target: Target;
  readonly connected: boolean;
  /** The address of ours that the server saw. */
  readonly seenAs?: string;
}

/** A change between reachable and not, at a time in milliseconds since 1970 with fractions. */
export interface Turn {
  readonly at: number;
  readonly connected: boolean;
}

export interface WatchResult {
  readonly attempts: number;
  readonly turns: readonly Turn[];
}

export interface FloodResult {
  readonly sent: number;
}

export interface Received {
  readonly source: string;
  readonly count: number;
}
