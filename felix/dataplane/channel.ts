// The ways to the kernel's table, and which one is taken.
//
//   own messages   one netlink batch, no library: what a change costs depends on the change alone
//   text           libnftables in process, or the `nft` program: for rules outside our compiler's subset, and for
//                  kernels that refuse our messages
//
// Whatever the way, a transaction happens as a whole or not at all. A table that is ours alone (table-owner.ts) takes our own
// messages only: for text it is released, and claimed again.

import { LinuxError } from '../../linux/errors.ts';
import type { NetlinkSocket } from '../../linux/netlink/socket.ts';
import type { NftClient } from '../../linux/nftables.ts';
import type { Logger } from '../../runtime/log.ts';
import { compileRule } from '../nft/compile.ts';
import {
  type PartialRead,
  type PartialState,
  readCounters,
  readRuleComments,
  readTableInThread,
} from '../nft/decode.ts';
import { encodeCommands } from '../nft/encode.ts';
import { type KernelState, type SetDeclaration, tableName } from '../nft/objects.ts';
import type { Transaction } from '../nft/transaction.ts';
import { type Claim, TableOwner, type TableOwnerOptions } from './table-owner.ts';

export type ApplyResult =
  | { readonly kind: 'ok' }
  | {
      readonly kind: 'failed';
      /** The kernel does not have what we think it has: read it, and try again. */
      readonly stale: boolean;
      readonly message: string;
      /** The chain or set whose content was refused, where that is known. */
      readonly object?: string;
    };

export interface TableChannel {
  /** For status and logs. */
  readonly name: string;
  /** The kernel lets nobody else edit the table. */
  readonly isOwned: boolean;
  /** To be called before anything is written. */
  claim(): Claim;
  /** `declarationOf`: of sets that exist already. */
  apply(transaction: Transaction, declarationOf: DeclarationOf): Promise<ApplyResult>;
  /** Undefined: there is no table of ours. Throws when it can not be read. */
  read(): Promise<KernelState | undefined>;
  /** As read(), of some sets; given up when something more urgent comes. */
  readPart(part: PartialRead): Promise<PartialState>;
  counters(): ReadonlyMap<string, Count>;
}

export type DeclarationOf = (set: string) => SetDeclaration | undefined;

export interface Count {
  readonly packets: number;
  readonly bytes: number;
}

export interface ChannelOptions extends Pick<TableOwnerOptions, 'openBatches'> {
  readonly dumps: Pick<NetlinkSocket, 'dump'>;
  /** Another socket: a reading of the whole table takes its time, and counters are asked for meanwhile. */
  readonly longDumps: Pick<NetlinkSocket, 'dumpInThread'>;
  /** Keep others from editing the table, where the kernel can. */
  readonly ownTable: boolean;
  /** Opened when it is needed first. */
  readonly openText: () => NftClient;
  readonly log: Logger;
}

/** What the kernel says when its table is not as we remember it. */
const staleCodes: ReadonlySet<string> = new Set(['ENOENT', 'EEXIST', 'EBUSY', 'ENOTEMPTY', 'EINTR', 'EAGAIN']);

export class KernelTable implements TableChannel {
  private readonly options: ChannelOptions;
  private readonly owner: TableOwner;
  private text: NftClient | undefined;
  private ownMessagesRefused = false;
  private reading: Promise<unknown> = Promise.resolve();

  constructor(options: ChannelOptions) {
    this.options = options;
    this.owner = new TableOwner({ ...options, wanted: options.ownTable });
  }

  get name(): string {
    return this.ownMessagesRefused && this.text ? this.text.backend : 'netlink';
  }

  get isOwned(): boolean {
    return this.owner.tableFlags !== 0;
  }

  claim(): Claim {
    return this.owner.claim();
  }

  async apply(transaction: Transaction, declarationOf: DeclarationOf): Promise<ApplyResult> {
    if (transaction.isEmpty) return { kind: 'ok' };
    const errors = this.ownMessagesRefused ? undefined : this.runMessages(transaction, declarationOf);
    if (!errors) return this.applyReleased(transaction);
    const [first] = errors;
    if (!first) return { kind: 'ok' };
    if (first.code === 'EPERM' && this.owner.claim().kind === 'taken') {
      return { kind: 'failed', stale: true, message: this.owner.takenMessage() };
    }
    const message = errors
      .slice(0, 3)
      .map((error) => error.message)
      .join('; ');
    if (errors.some((error) => staleCodes.has(error.code))) return { kind: 'failed', stale: true, message };
    const result = await this.applyReleased(transaction);
    if (result.kind === 'ok') {
      this.options.log.warn({ error: message }, 'the kernel refuses our messages; from now on libnftables writes them');
      this.ownMessagesRefused = true;
      this.owner.giveUp('libnftables writes it');
    }
    return result;
  }

  /** By text; meanwhile the table is open to others. */
  private async applyReleased(transaction: Transaction): Promise<ApplyResult> {
    if (this.ownMessagesRefused) return this.applyText(transaction);
    this.owner.release();
    const result = await this.applyText(transaction);
    this.owner.claim();
    // What text makes anew has no owner: no use in making it anew for ever.
    if (result.kind === 'ok' && this.owner.mustReplace()) this.owner.giveUp('libnftables made it');
    return result;
  }

  /** Undefined, and nothing sent: there is something in it that our messages can not say. */
  private runMessages(transaction: Transaction, declarationOf: DeclarationOf): LinuxError[] | undefined {
    try {
      const messages = encodeCommands(transaction.commands, declarationOf, this.owner.tableFlags);
      return messages && this.owner.run(messages);
    } catch (error) {
      // A value that does not fit: libnftables says in which line.
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  async read(): Promise<KernelState | undefined> {
    const result = await this.readPart({ elementsOf: () => true, isGivenUp: () => false });
    return result.kind === 'read' ? result.state : undefined;
  }

  async readPart(part: PartialRead): Promise<PartialState> {
    // One after the other: a reading that nobody waits for any more may still be at its last dump.
    const reading = this.reading.then(() => readTableInThread(this.options.longDumps, part));
    this.reading = reading.catch(() => undefined);
    const result = await reading;
    if (result.kind === 'given-up' || !result.state) return result;
    return { kind: 'read', state: { ...result.state, mustReplace: this.owner.mustReplace() } };
  }

  counters(): ReadonlyMap<string, Count> {
    return readCounters(this.options.dumps);
  }

  /** Of one chain: handle to comment. Empty when there is no such chain. */
  ruleComments(chain: string): ReadonlyMap<number, string> {
    try {
      return readRuleComments(this.options.dumps, chain);
    } catch (error) {
      if (error instanceof LinuxError && error.code === 'ENOENT') return new Map();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.reading;
    await this.text?.close();
    this.owner.release();
  }

  private async applyText(transaction: Transaction): Promise<ApplyResult> {
    this.text ??= this.options.openText();
    const text = transaction.text();
    const result = await this.text.run(text);
    if (result.kind === 'ok') return { kind: 'ok' };
    const line = result.line === undefined ? undefined : text.split('\n')[result.line - 1]?.slice(0, 300);
    const message = `${result.message}${line ? ` (${line})` : ''}`;
    // Values out of range come without a line.
    const object = line ? contentOf(line) : unwritableChain(transaction);
    return { kind: 'failed', stale: staleCodes.has(result.code), message, ...(object && { object }) };
  }
}

/** The first chain with a value in it that fits no field. */
function unwritableChain({ commands }: Transaction): string | undefined {
  for (const command of commands) {
    if (command.kind !== 'add-rules') continue;
    try {
      for (const { text } of command.rules) compileRule(text);
    } catch {
      return command.chain;
    }
  }
  return undefined;
}

/** Of `add rule <table> <chain> …` the chain, of `add element <table> <set> …` the set. */
function contentOf(line: string): string | undefined {
  for (const start of [`add rule ${tableName} `, `add element ${tableName} `]) {
    if (line.startsWith(start)) return line.slice(start.length).split(' ', 1)[0];
  }
  return undefined;
}
