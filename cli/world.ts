// What surrounds a run of twillctl: handed in by main.ts, replaced in tests.

import type { KvStore } from '../datastore/kv.ts';
import type { StoreSettings } from '../datastore/settings.ts';

export interface World {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly readStdin: () => string;
  /** Undefined when there is no such file. */
  readonly readFile: (path: string) => string | undefined;
  readonly openStore: (config: StoreSettings) => Promise<KvStore>;
  /** Standard output is a terminal: colours are welcome. */
  readonly colours: boolean;
}

/** Ends a command with a message and exit code 1; the message is all that a person needs. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
