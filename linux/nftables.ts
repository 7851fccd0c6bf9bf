// The channel to nftables: text in, one atomic transaction each, and its outcome as a value.
//
//   text ──► NftClient.run ──┬─ libnftables.so.1 in this process: 0.05 ms for a small transaction
//                            └─ the `nft` program: the same behind the same interface, 3–16 ms
//
// A client runs one command at a time, in the order of the calls. The library keeps its view of the ruleset between calls
// and notices when somebody else changed it.

import koffi from 'koffi';
import { LinuxError } from './errors.ts';
import { insideNetns, type NetnsRef } from './netns.ts';
import { parseNftError } from './nftables-error.ts';
import { runProgram } from './process.ts';

/** The kernel or the parser refused; nothing of the transaction was applied. */
export interface NftFailure {
  readonly kind: 'failed';
  /** "ENOENT", "EEXIST", "EBUSY" …; "SYNTAX" when the text is not nft's language. */
  readonly code: string;
  /** What nft printed, all of it. */
  readonly message: string;
  /** Line of the text, counted from 1, that the first error is about. */
  readonly line?: number;
}

export type NftResult = { readonly kind: 'ok'; readonly output: string } | NftFailure;

/** Objects of libnftables' JSON schema, without the leading metainfo: `{table: {…}}`, `{chain: {…}}`, `{set: {…}}` … */
export type NftListResult = { readonly kind: 'ok'; readonly objects: readonly NftJsonObject[] } | NftFailure;

export type NftJsonObject = Readonly<Record<string, unknown>>;

export interface NftClient {
  /** Which implementation this is, for logs. */
  readonly backend: 'libnftables' | 'nft-program';
  /** Runs the commands as one transaction. */
  run(text: string): Promise<NftResult>;
  /** Parses and evaluates the commands, and lets the kernel judge nothing. */
  check(text: string): Promise<NftResult>;
  /** Runs one `list …` command; numbers instead of names for protocols, ports and priorities. */
  listJson(command: string): Promise<NftListResult>;
  /** Waits for what was begun. */
  close(): Promise<void>;
}

export interface NftOptions {
  /** Rulesets are per network namespace; default: the process's own. */
  readonly netns?: NetnsRef;
}

/** The library when it is there, the program otherwise. */
export function openNftables(options: NftOptions & { readonly backend?: NftClient['backend'] } = {}): NftClient {
  if (options.backend === 'nft-program') return new NftProgram(options);
  try {
    return new LibNftables(options);
  } catch (error) {
    if (options.backend === 'libnftables') throw error;
    return new NftProgram(options);
  }
}

const OUTPUT_JSON = 1 << 4;
// NFT_CTX_OUTPUT_NUMERIC_ALL: protocols, priorities, symbols, times.
const OUTPUT_NUMERIC = (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10);

/** From this size on a transaction takes so long that it must not hold up the event loop. */
const asyncFromCharacters = 16_384;

type Context = { readonly __brand: 'nft_ctx' } | null;
type RunCommand = ((context: Context, text: string) => number) & {
  async(context: Context, text: string, done: (error: unknown, status: number) => void): void;
};

interface Library {
  readonly newContext: (flags: number) => Context;
  readonly freeContext: (context: Context) => void;
  readonly run: RunCommand;
  readonly bufferOutput: (context: Context) => number;
  readonly bufferError: (context: Context) => number;
  readonly output: (context: Context) => string | null;
  readonly error: (context: Context) => string | null;
  readonly setFlags: (context: Context, flags: number) => void;
  readonly setDryRun: (context: Context, dry: boolean) => void;
}

let library: Library | undefined;

function loadLibrary(): Library {
  if (library) return library;
  let lib: ReturnType<typeof koffi.load>;
  try {
    lib = koffi.load('libnftables.so.1');
  } catch (cause) {
    throw new LinuxError('ENOENT', 'load libnftables.so.1', cause instanceof Error ? cause.message : String(cause));
  }
  library = {
    newContext: lib.func('void *nft_ctx_new(uint32_t flags)'),
    freeContext: lib.func('void nft_ctx_free(void *ctx)'),
    run: lib.func('int nft_run_cmd_from_buffer(void *ctx, const char *text)'),
    bufferOutput: lib.func('int nft_ctx_buffer_output(void *ctx)'),
    bufferError: lib.func('int nft_ctx_buffer_error(void *ctx)'),
    output: lib.func('const char *nft_ctx_get_output_buffer(void *ctx)'),
    error: lib.func('const char *nft_ctx_get_error_buffer(void *ctx)'),
    setFlags: lib.func('void nft_ctx_output_set_flags(void *ctx, uint32_t flags)'),
    setDryRun: lib.func('void nft_ctx_set_dry_run(void *ctx, bool dry)'),
  };
  return library;
}

interface CommandOptions {
  readonly outputFlags: number;
  readonly dryRun: boolean;
  /** Lists may be long whatever their command's length is. */
  readonly long: boolean;
}

const plain: CommandOptions = { outputFlags: 0, dryRun: false, long: false };

class LibNftables implements NftClient {
  readonly backend = 'libnftables';
  readonly #netns: NetnsRef | undefined;
  readonly #library: Library;
  #context: Context;
  /** Ends when all that was asked for has ended; undefined when idle. */
  #busy: Promise<void> | undefined;
  #closed = false;

  constructor(options: NftOptions) {
    this.#netns = options.netns;
    this.#library = loadLibrary();
    // The context opens its netlink socket here, and keeps that one.
    this.#context = insideNetns(options.netns, () => this.#library.newContext(0));
    if (!this.#context) throw new LinuxError('ENOMEM', 'nft_ctx_new');
    this.#library.bufferOutput(this.#context);
    this.#library.bufferError(this.#context);
  }

  run(text: string): Promise<NftResult> {
    return this.#enqueue(text, plain);
  }

  check(text: string): Promise<NftResult> {
    return this.#enqueue(text, { ...plain, dryRun: true });
  }

  async listJson(command: string): Promise<NftListResult> {
    const result = await this.#enqueue(command, {
      outputFlags: OUTPUT_JSON | OUTPUT_NUMERIC,
      dryRun: false,
      long: true,
    });
    return result.kind === 'ok' ? { kind: 'ok', objects: parseListing(result.output) } : result;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#busy;
    this.#library.freeContext(this.#context);
    this.#context = null;
  }

  /** A context is not thread-safe: whatever comes while an asynchronous call runs has to wait for it. */
  #enqueue(text: string, options: CommandOptions): Promise<NftResult> {
    if (this.#closed) return Promise.reject(new LinuxError('EBADF', 'nftables', 'the client was closed'));
    // A foreign namespace needs the calling thread inside it: libnftables looks interface names up by a socket of its
    // own. Only the main thread can be moved there, so these calls are always synchronous.
    const synchronous = this.#netns !== undefined || (!options.long && text.length < asyncFromCharacters);
    if (synchronous && !this.#busy) return Promise.resolve(this.#runSync(text, options));
    const work = (this.#busy ?? Promise.resolve()).then(() =>
      synchronous ? this.#runSync(text, options) : this.#runAsync(text, options),
    );
    const settled = work.then(
      () => {},
      () => {},
    );
    this.#busy = settled;
    void settled.then(() => {
      if (this.#busy === settled) this.#busy = undefined;
    });
    return work;
  }

  #runSync(text: string, options: CommandOptions): NftResult {
    this.#prepare(options);
    return this.#outcome(insideNetns(this.#netns, () => this.#library.run(this.#context, text)));
  }

  #runAsync(text: string, options: CommandOptions): Promise<NftResult> {
    this.#prepare(options);
    return new Promise((resolve, reject) => {
      this.#library.run.async(this.#context, text, (error, status) => {
        if (error) reject(new LinuxError('EIO', 'nft_run_cmd_from_buffer', String(error)));
        else resolve(this.#outcome(status));
      });
    });
  }

  #prepare(options: CommandOptions): void {
    this.#library.setFlags(this.#context, options.outputFlags);
    this.#library.setDryRun(this.#context, options.dryRun);
  }

  /** Both buffers are emptied by reading them. */
  #outcome(status: number): NftResult {
    const output = this.#library.output(this.#context) ?? '';
    const error = this.#library.error(this.#context) ?? '';
    return status === 0 ? { kind: 'ok', output } : parseNftError(error);
  }
}

class NftProgram implements NftClient {
  readonly backend = 'nft-program';
  readonly #netns: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: NftOptions) {
    this.#netns = typeof options.netns === 'number' ? `/proc/${process.pid}/fd/${options.netns}` : options.netns;
  }

  run(text: string): Promise<NftResult> {
    return this.#start(['-f', '-'], text);
  }

  check(text: string): Promise<NftResult> {
    return this.#start(['--check', '-f', '-'], text);
  }

  async listJson(command: string): Promise<NftListResult> {
    const result = await this.#start(['--json', '--numeric', command]);
    return result.kind === 'ok' ? { kind: 'ok', objects: parseListing(result.output) } : result;
  }

  async close(): Promise<void> {
    await this.#last;
  }

  #start(args: readonly string[], input?: string): Promise<NftResult> {
    const work = this.#last.then(async (): Promise<NftResult> => {
      const { status, stdout, stderr } = await runProgram('nft', args, {
        timeoutMs: 120_000,
        ...(input !== undefined && { input }),
        ...(this.#netns && { netns: this.#netns }),
      });
      return status === 0 ? { kind: 'ok', output: stdout } : parseNftError(stderr);
    });
    this.#last = work.catch(() => {});
    return work;
  }
}

function parseListing(json: string): NftJsonObject[] {
  const document: unknown = json === '' ? { nftables: [] } : JSON.parse(json);
  const list: unknown = typeof document === 'object' && document && 'nftables' in document ? document.nftables : [];
  const objects: NftJsonObject[] = [];
  for (const item of Array.isArray(list) ? list : []) {
    if (isJsonObject(item) && !('metainfo' in item)) objects.push(item);
  }
  return objects;
}

const isJsonObject = (value: unknown): value is NftJsonObject => typeof value === 'object' && value !== null;
