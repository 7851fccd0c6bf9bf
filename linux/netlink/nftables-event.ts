// Notifications of nf_tables: which tables a transaction touched, and who ran it.
//
// The kernel sends one message for each object of a transaction and then NEWGEN, which carries the generation and the
// thread that did it. All of them begin with nfgenmsg: family(1) version(1) resource id(2), and in all but NEWGEN
// attribute 1 is the table's name.

import { existsSync } from 'node:fs';
import { AttributeCursor, type NetlinkMessage, viewOf } from './message.ts';

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
const NFTA_TABLE_NAME = 1;
const NFTA_GEN_PROC_PID = 2;
const NFTA_GEN_PROC_NAME = 3;

const families: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};

/** One transaction. */
export interface NftChange {
  /** "inet twill" …, each once. */
  readonly tables: readonly string[];
  /** True when a thread of this process ran it. */
  readonly own: boolean;
  /** Name of the thread that ran it, as in /proc/<pid>/comm: "nft", "iptables-nft". */
  readonly by: string;
}

export class NftChangeReader {
  #tables = new Set<string>();
  readonly #isOwnThread: (threadId: number) => boolean;

  constructor(isOwnThread = (threadId: number): boolean => existsSync(`/proc/self/task/${threadId}`)) {
    this.#isOwnThread = isOwnThread;
  }

  /** A change when the message ends one. */
  read({ type, payload }: NetlinkMessage): NftChange | undefined {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES || payload.length < 4) return undefined;
    if ((type & 0xff) === NFT_MSG_NEWGEN) return this.#endOfTransaction(payload);
    const cursor = new AttributeCursor(payload, 4);
    while (cursor.next()) {
      if (cursor.type !== NFTA_TABLE_NAME) continue;
      const family = families[payload[0] ?? 0] ?? String(payload[0]);
      this.#tables.add(`${family} ${cursor.string()}`);
      break;
    }
    return undefined;
  }

  #endOfTransaction(payload: Uint8Array): NftChange {
    let threadId = 0;
    let by = '';
    const cursor = new AttributeCursor(payload, 4);
    while (cursor.next()) {
      // Big-endian, as all numbers in nf_tables attributes.
      if (cursor.type === NFTA_GEN_PROC_PID) threadId = viewOf(cursor.value()).getUint32(0);
      else if (cursor.type === NFTA_GEN_PROC_NAME) by = cursor.string();
    }
    const tables = [...this.#tables];
    this.#tables = new Set();
    return { tables, own: this.#isOwnThread(threadId), by };
  }
}
