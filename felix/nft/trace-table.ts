// A table beside ours, for a short while: marks the packets of one interface, so that the kernel reports what every rule
// does with them (`nft monitor trace` shows the same).
//
// The table is owned by the socket that creates it (NFT_TABLE_F_OWNER, Linux 5.12): when that is closed, for whatever
// reason, be it kill -9, the kernel removes the table. A trace can not be left on.

import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL } from '../../linux/netlink/message.ts';
import type { NftMessage } from '../../linux/netlink/nftables-batch.ts';
import type { Expression } from './compile.ts';
import { u32 } from './encode.ts';
import { writeExpression } from './encode-expression.ts';
import * as nf from './numbers.ts';

const table = 'twill-trace';
export const traceTableName = `inet ${table}`;

/** The table's chains; a packet that was marked in one of them is sent by the endpoint, or to it. */
export const traceChains = { prerouting: 'sent', forward: 'received', output: 'received-from-node' } as const;

/** Before everything: conntrack is at -200, our own first chain at -300, raw tables at -300. */
const priority = -450;
const registerNumber = 1;
const meta = { inputName: 6, outputName: 7, trace: 12 } as const;
const nameLength = 16;

/** A bulk transfer must not drown the machine in reports. */
export const tracedPacketsPerSec = 1000;

/** Fails with EEXIST when somebody traces already. */
export function traceTable(interfaceName: string): NftMessage[] {
  const messages: NftMessage[] = [
    message(nf.message.newTable, NLM_F_CREATE | NLM_F_EXCL, (w) => {
      w.attributeString(nf.table.name, table);
      u32(w, nf.table.flags, nf.tableFlag.owner);
    }),
  ];
  for (const hook of ['prerouting', 'forward', 'output'] as const) {
    const chain = traceChains[hook];
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
      message(nf.message.newRule, NLM_F_CREATE | NLM_F_APPEND, (w) => {
        w.attributeString(nf.rule.table, table);
        w.attributeString(nf.rule.chain, chain);
        const key = hook === 'prerouting' ? meta.inputName : meta.outputName;
        w.nest(nf.rule.expressions, () => {
          for (const expression of markPackets(key, interfaceName)) {
            w.nest(nf.listElement, () => writeExpression(w, expression, undefined));
          }
        });
      }),
    );
  }
  return messages;
}

function markPackets(key: number, interfaceName: string): Expression[] {
  const name = new Uint8Array(nameLength);
  name.set(Buffer.from(interfaceName).subarray(0, nameLength - 1));
  return [
    { kind: 'meta', key, register: registerNumber },
    { kind: 'cmp', op: 'eq', register: registerNumber, data: name },
    { kind: 'limit', rate: tracedPacketsPerSec, unitSec: 1, burst: tracedPacketsPerSec },
    { kind: 'immediate', register: registerNumber, data: Uint8Array.of(1) },
    { kind: 'meta-set', key: meta.trace, register: registerNumber },
  ];
}

const message = (type: number, flags: number, write: (writer: MessageWriter) => void): NftMessage => ({
  type,
  flags,
  describe: () => `table ${traceTableName}`,
  write,
});
