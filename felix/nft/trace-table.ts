// A table beside ours, for a short while: marks the packets of one interface, so that the kernel reports what every rule
// does with them (`nft monitor trace` shows the same).
//
// The table is owned by the socket that creates it (NFT_TABLE_F_OWNER, Linux 5.12): when that is closed, for whatever
// reason, be it kill -9, the kernel removes the table. A trace can not be left on.

import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } from '../../linux/netlink/message.ts';
import type { NftMessage } from '../../linux/netlink/nftables-batch.ts';
import { type Address, familyOf, formatAddress } from '../../net/address.ts';
import { compileRule, type Expression } from './compile.ts';
import { u32 } from './encode.ts';
import { writeExpression } from './encode-expression.ts';
import * as nf from './numbers.ts';
import type { HookName } from './objects.ts';

const table = 'twill-trace';
export const traceTableName = `inet ${table}`;

/** What is followed. */
export interface TraceTarget {
  readonly interfaceName: string;
  /** What is sent to them is followed from where it comes in: it may be dropped before it gets to the interface. */
  readonly addresses: readonly Address[];
}

/** The table's chains; a packet that was marked in one of them is sent by the endpoint, or to it. */
export const traceChains = {
  sent: 'prerouting',
  arriving: 'prerouting',
  received: 'forward',
  'received-from-node': 'output',
} as const satisfies Record<string, HookName>;

/** Before everything: conntrack is at -200, our own first chain at -300, raw tables at -300. */
const priority = -450;
const registerNumber = 1;
const meta = { inputName: 6, outputName: 7, trace: 12 } as const;
const nameLength = 16;

/** A bulk transfer must not drown the machine in reports. */
export const tracedPacketsPerSec = 1000;

/** Fails with EEXIST when somebody traces already. */
export function traceTable({ interfaceName, addresses }: TraceTarget): NftMessage[] {
  const messages: NftMessage[] = [
    message(nf.message.newTable, NLM_F_CREATE | NLM_F_EXCL, (w) => {
      w.attributeString(nf.table.name, table);
      u32(w, nf.table.flags, nf.tableFlag.owner);
    }),
  ];
  for (const [chain, hook] of Object.entries(traceChains)) {
    const matches =
      chain === 'arriving'
        ? addresses.map(toAddress)
        : [onInterface(chain === 'sent' ? meta.inputName : meta.outputName, interfaceName)];
    messages.push(
      message(nf.message.newChain, NLM_F_CREATE, (w) => {
        w.attributeString(nf.chain.table, table);
        w.attributeString(nf.chain.name, chain);
        w.nest(nf.chain.hook, () => {
          u32(w, nf.hook.number, nf.hookNumbers[hook]);
          u32(w, nf.hook.priority, priority);
        });
        u32(w, nf.chain.policy, nf.verdictCodes.accept);
        w.attributeString(nf.chain.type, 'filter');
      }),
      ...matches.map((match) =>
        message(nf.message.newRule, NLM_F_CREATE | NLM_F_APPEND, (w) => {
          w.attributeString(nf.rule.table, table);
          w.attributeString(nf.rule.chain, chain);
          w.nest(nf.rule.expressions, () => {
            for (const expression of [...match, ...markPacket]) {
              w.nest(nf.listElement, () => writeExpression(w, expression, undefined));
            }
          });
        }),
      ),
    );
  }
  return messages;
}

const toAddress = (address: Address): Expression[] =>
  compileRule(`${familyOf(address) === 4 ? 'ip' : 'ip6'} daddr ${formatAddress(address)}`) ?? [];

function onInterface(key: number, interfaceName: string): Expression[] {
  const name = new Uint8Array(nameLength);
  name.set(Buffer.from(interfaceName).subarray(0, nameLength - 1));
  return [
    { kind: 'meta', key, register: registerNumber },
    { kind: 'cmp', op: 'eq', register: registerNumber, data: name },
  ];
}

const markPacket: readonly Expression[] = [
  { kind: 'limit', rate: tracedPacketsPerSec, unitSec: 1, burst: tracedPacketsPerSec },
  { kind: 'immediate', register: registerNumber, data: Uint8Array.of(1) },
  { kind: 'meta-set', key: meta.trace, register: registerNumber },
];

const message = (type: number, flags: number, write: (writer: MessageWriter) => void): NftMessage => ({
  type,
  flags,
  describe: () => `table ${traceTableName}`,
  write,
});
