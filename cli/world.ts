// What surrounds a run of twillctl: handed in by main.ts, replaced in tests.

import type { KvStore } from '../datastore/kv.ts';
import type { StoreSettings } from '../datastore/settings.ts';

export interface World {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly readStdin: () => Promise<string>;
  /** Undefined when there is no such file; throws when there is and it cannot be read. */
  readonly readFile: (path: string) => string | undefined;
  readonly openStore: (config: StoreSettings) => Promise<KvStore>;
  /** Resolves when the person interrupts a command that goes on by itself. */
  readonly interrupted: () => Promise<void>;
  /** Opens a file in an editor and waits; returns its exit code. */
  readonly runEditor: (editor: string, file: string) => number;
  /** Runs a program in our place, with our terminal and this added to our environment; returns its exit code. */
  readonly runForeground: (
    program: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
  ) => Promise<number>;
  /** Who runs this, for those who meet a conflict: `root@host`. */
  readonly author: string;
  /** Standard error is a terminal: whoever sits there wants to know how far it is. */
  readonly progress: boolean;
  /** Standard output is a terminal: colours are welcome. */
  readonly colours: boolean;
}

/** Ends a command with a message, which is all that a person needs, and an exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
