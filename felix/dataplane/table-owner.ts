// Keeps others from editing our table, where the kernel can: a table that was created with the flags OWNER and PERSIST (Linux
// 6.9) takes changes from the socket that owns it alone. `nft flush ruleset` passes it over, anything else gets EPERM.
//
//   none ──create──► ours ──our socket closes: end, kill -9──► orphan ──claim()──► ours
//   plain: of an older agent, or of libnftables ──replaced within one transaction──► ours
//
// As an orphan it keeps working, and anybody may edit, remove or claim it. Whether the kernel knows the flags is found out by
// trying. OWNER without PERSIST is no choice: the table would go with our socket, and policy with it.

import type { LinuxError } from '../../linux/errors.ts';
import type { NftBatchSocket, NftMessage } from '../../linux/netlink/nftables-batch.ts';
import { holderOfPort } from '../../linux/netlink/port-holder.ts';
import { NETLINK_NETFILTER, type NetlinkSocket } from '../../linux/netlink/socket.ts';
import { readTableHead } from '../nft/decode.ts';
import { createTableMessage, deleteTableMessage } from '../nft/encode.ts';
import * as nf from '../nft/numbers.ts';
import { tableName } from '../nft/objects.ts';

export type Batches = Pick<NftBatchSocket, 'run' | 'close'>;

export interface TableOwnerOptions {
  readonly openBatches: () => Batches;
  readonly dumps: Pick<NetlinkSocket, 'dump'>;
  /** False: the table stays open to others, and what they do to it is undone. */
  readonly wanted: boolean;
}

/** `open`: others may edit the table. `taken`: the table is another process', and no change of ours is possible. */
export type Claim =
  | { readonly kind: 'owned' }
  | { readonly kind: 'open'; readonly reason: string }
  | { readonly kind: 'taken'; readonly message: string };

const ownFlags = nf.tableFlag.owner | nf.tableFlag.persist;

export class TableOwner {
  private readonly options: TableOwnerOptions;
  private socket: Batches | undefined;
  /** Why the table is open to others, whatever may come; undefined: it is to be ours alone. */
  private openReason: string | undefined;
  private probed = false;

  constructor(options: TableOwnerOptions) {
    this.options = options;
    if (!options.wanted) this.openReason = 'switched off';
  }

  /** Of a table that is made now. */
  get tableFlags(): number {
    return this.openReason === undefined ? ownFlags : 0;
  }

  /** Makes an existing table ours, where that can be. */
  claim(): Claim {
    const flags = readTableHead(this.options.dumps)?.flags ?? 0;
    // A table that has the flag answers the question.
    if ((flags & nf.tableFlag.persist) === 0) this.probe();
    const isOwned = (flags & nf.tableFlag.owner) !== 0;
    const isOrphan = !isOwned && (flags & nf.tableFlag.persist) !== 0;
    if (isOwned || (isOrphan && this.openReason === undefined)) {
      return this.take(flags) ? { kind: 'owned' } : { kind: 'taken', message: this.takenMessage() };
    }
    return this.openReason === undefined ? { kind: 'owned' } : { kind: 'open', reason: this.openReason };
  }

  /** The table in the kernel has to be made anew to become ours. */
  mustReplace(): boolean {
    if (this.openReason !== undefined) return false;
    const head = readTableHead(this.options.dumps);
    return head !== undefined && (head.flags & nf.tableFlag.persist) === 0;
  }

  /** As `NftBatchSocket.run`. */
  run(messages: readonly NftMessage[]): LinuxError[] {
    return this.batches().run(messages);
  }

  /** From now on others can write, until the next claim(): for what only libnftables can say. */
  release(): void {
    this.socket?.close();
    this.socket = undefined;
  }

  /** For good. */
  giveUp(reason: string): void {
    this.openReason ??= reason;
    this.release();
  }

  private batches(): Batches {
    this.socket ??= this.options.openBatches();
    return this.socket;
  }

  takenMessage(): string {
    return takenBy(readTableHead(this.options.dumps)?.owner ?? 0);
  }

  /** Succeeds with a table that has no owner, and with one that is ours already. */
  private take(flags: number): boolean {
    const [error] = this.run([createTableMessage(tableName, (flags & nf.tableFlag.dormant) | ownFlags)]);
    return error === undefined;
  }

  /** Makes and removes a table within one transaction: nobody sees it. */
  private probe(): void {
    if (this.probed || this.openReason !== undefined) return;
    this.probed = true;
    const [error] = this.run([createTableMessage(probeName, ownFlags), deleteTableMessage(probeName)]);
    if (error) this.openReason = `the kernel does not keep a table for its owner: ${error.code}`;
  }
}

const probeName = `${tableName}-probe`;

function takenBy(port: number): string {
  const holder = holderOfPort(NETLINK_NETFILTER, port);
  const who = holder ? `process ${holder.pid} (${holder.command})` : `netlink port ${port}`;
  return `nftables table ${tableName} belongs to ${who}: another agent runs in this network namespace; end one of the two`;
}
