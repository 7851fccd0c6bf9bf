// Runs twillctl in this process on a store in memory: what goes in, what comes out, and the exit code.

import type { KvStore } from '../../datastore/kv.ts';
import type { MemoryStore } from '../../datastore/memory.ts';

export interface RunResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Cli {
  readonly store: MemoryStore;
  /** Further datastores, by their endpoints. */
  readonly others = new Map<string, MemoryStore>();
  readonly files = new Map<string, string>();
  environment: Record<string, string> = {};
  interruption: Promise<void> = Promise.resolve();
  edit: (file: string) => number = () => 0;
  author = 'alice@desk with twillctl';

  private heard: (text: string) => void = () => {};

  constructor(store: MemoryStore) {
    this.store = store;
  }

  // The test runner loads tests as CommonJS, and what they import() as ES modules: twillctl loads its commands by
  // import(), so its whole graph has to come that way, else there are two of every class.
  static async start(): Promise<Cli> {
    const { createMemoryStore } = await import('../../datastore/memory.ts');
    return new Cli(createMemoryStore());
  }

  /** Resolves when a running command prints the text. */
  untilShown(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.heard = (shown) => {
        if (shown.includes(text)) resolve();
      };
    });
  }

  /** One command line, split at blanks; the text is standard input. */
  async run(line: string, stdin = ''): Promise<RunResult> {
    return await this.runWords(line.split(' ').filter(Boolean), stdin);
  }

  async runWords(words: readonly string[], stdin = ''): Promise<RunResult> {
    let out = '';
    let err = '';
    const { runProgram } = await import('../../cli/program.ts');
    const code = await runProgram(words, {
      environment: this.environment,
      out: (text) => {
        out += text;
        this.heard(text);
      },
      err: (text) => {
        err += text;
      },
      readStdin: async () => stdin,
      readFile: (path) => this.files.get(path),
      openStore: async ({ etcdEndpoints }) => keptOpen(this.others.get(etcdEndpoints) ?? this.store),
      interrupted: () => this.interruption,
      runEditor: (_editor, file) => this.edit(file),
      runForeground: async (program, words, environment) => {
        const settings = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
        out += `${[...settings, program, ...words].join(' ')}\n`;
        return 0;
      },
      author: this.author,
      progress: false,
      colours: false,
    });
    return { code, out, err };
  }
}

/** The commands close their store; ours lives on. */
function keptOpen(store: MemoryStore): KvStore {
  return new Proxy<KvStore>(store, {
    get: (target, name) => {
      if (name === 'close') return async () => {};
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
