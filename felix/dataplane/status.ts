// What the dataplane says of itself.

export interface DataplaneStatus {
  /** The first complete picture is in the kernel, and the last attempt to change it succeeded. */
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reason: string;
  readonly inSync: boolean;
  /** How the table is written: "netlink", "libnftables" or "nft-program". */
  readonly backend: string;
  /** The kernel lets nobody else edit the table. */
  readonly tableOwned: boolean;
  readonly endpoints: number;
  readonly endpointsProgrammed: number;
  readonly hostEndpoints: number;
  readonly policies: number;
  readonly ipSets: number;
  readonly routes: number;
  readonly applies: number;
  readonly lastApplyMs: number;
  readonly failures: number;
  readonly repairs: number;
  readonly flowsCut: number;
  /** Policies and profiles whose rules the kernel refuses: closed until they change. */
  readonly quarantined: readonly string[];
  /** Rules with matches that nothing here enforces, by policy: they open nothing. */
  readonly notEnforced: Readonly<Record<string, readonly string[]>>;
  readonly lastError: string;
}
