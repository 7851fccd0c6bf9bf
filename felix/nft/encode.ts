// Commands of a transaction → nf_tables messages. The same outcome as the text by libnftables, without its looking at
// everything that is in the kernel first: one element costs what one element costs, whatever else there is.

import type { MessageWriter } from '../../linux/netlink/message.ts';
import { NLM_F_APPEND, NLM_F_CREATE } from '../../linux/netlink/message.ts';
import type { NftMessage } from '../../linux/netlink/nftables-batch.ts';
import { compileRule, type Expression, parseVerdict, type SetReference, type Verdict } from './compile.ts';
import { writeExpression } from './encode-expression.ts';
import { encodeKey, fieldLengths, keyLength, keyTypeNumber, keyTypes, successor } from './keys.ts';
import * as nf from './numbers.ts';
import { type Chain, type KeyType, type Rule, ruleComment, type SetDeclaration, tableName } from './objects.ts';
import type { Command } from './transaction.ts';

const table = tableName.replace(/^inet /, '');
/** An attribute's length has 16 bits; elements of one message stay well below. */
const elementsPerMessage = 256;

/**
 * Undefined: some rule is not in the subset that compile.ts knows. `declarationOf`: of sets that exist. `tableFlags`: of a table
 * that is made.
 */
export function encodeCommands(
  commands: readonly Command[],
  declarationOf: (set: string) => SetDeclaration | undefined,
  tableFlags = 0,
): NftMessage[] | undefined {
  const encoder = new Encoder(declarationOf, tableFlags);
  for (const command of commands) if (!encoder.add(command)) return undefined;
  return encoder.messages;
}

/** `name`: "inet twill". A table that is there gets these flags, as far as the kernel lets it. */
export const createTableMessage = (name: string, flags: number): NftMessage => ({
  type: nf.message.newTable,
  flags: NLM_F_CREATE,
  describe: () => `nf_tables message ${nf.message.newTable}: table ${name}`,
  write: (w) => {
    w.attributeString(nf.table.name, name.replace(/^inet /, ''));
    u32(w, nf.table.flags, flags);
  },
});

export const deleteTableMessage = (name: string): NftMessage => ({
  type: nf.message.delTable,
  flags: 0,
  describe: () => `nf_tables message ${nf.message.delTable}: table ${name}`,
  write: (w) => w.attributeString(nf.table.name, name.replace(/^inet /, '')),
});

class Encoder {
  readonly messages: NftMessage[] = [];
  private readonly declarationOf: (set: string) => SetDeclaration | undefined;
  private readonly declared = new Map<string, SetDeclaration>();
  private readonly tableFlags: number;
  private nextSetId = 1;

  constructor(declarationOf: (set: string) => SetDeclaration | undefined, tableFlags: number) {
    this.declarationOf = declarationOf;
    this.tableFlags = tableFlags;
  }

  add(command: Command): boolean {
    switch (command.kind) {
      case 'add-table':
        this.messages.push(createTableMessage(tableName, this.tableFlags));
        return true;
      case 'delete-table':
        this.messages.push(deleteTableMessage(tableName));
        return true;
      case 'add-counter':
      case 'delete-counter':
        this.counter(command.kind === 'add-counter', command.name);
        return true;
      case 'add-set':
        this.declared.set(command.declaration.name, command.declaration);
        this.set(command.declaration);
        return true;
      case 'delete-set':
        this.push(nf.message.delSet, command.declaration.name, (w) => named(w, nf.set, command.declaration.name), 0);
        return true;
      case 'add-elements':
        return this.elements(nf.message.newElement, command.set, command.elements);
      case 'delete-elements':
        return this.elements(
          nf.message.delElement,
          command.set,
          command.keys.map((key) => [key, ''] as const),
        );
      case 'add-chain':
        this.chain(command.chain);
        return true;
      case 'flush-chain':
        this.push(nf.message.delRule, command.name, (w) => inChain(w, command.name), 0);
        return true;
      case 'delete-chain':
        this.push(nf.message.delChain, command.name, (w) => named(w, nf.chain, command.name), 0);
        return true;
      case 'add-rules':
        return command.rules.every((rule) => this.rule(command.chain, rule));
    }
  }

  private push(type: number, what: string, write: (writer: MessageWriter) => void, flags = NLM_F_CREATE): void {
    this.messages.push({ type, flags, describe: () => `nf_tables message ${type}: ${what}`, write });
  }

  private counter(isNew: boolean, name: string): void {
    this.push(
      isNew ? nf.message.newObject : nf.message.delObject,
      name,
      (w) => {
        named(w, nf.object, name);
        u32(w, nf.object.type, nf.objectCounter);
        if (isNew) w.nest(nf.object.data, () => {});
      },
      isNew ? NLM_F_CREATE : 0,
    );
  }

  private chain({ name, base }: Chain): void {
    this.push(nf.message.newChain, name, (w) => {
      named(w, nf.chain, name);
      if (!base) return;
      w.nest(nf.chain.hook, () => {
        u32(w, nf.hook.number, nf.hookNumbers[base.hook]);
        u32(w, nf.hook.priority, base.priority);
      });
      u32(w, nf.chain.policy, base.policy === 'drop' ? 0 : 1);
      w.attributeString(nf.chain.type, base.type);
    });
  }

  private set(declaration: SetDeclaration): void {
    const { name, key, interval, value, timeoutSec } = declaration;
    const flags =
      (interval ? nf.setFlag.interval : 0) |
      (interval && key.length > 1 ? nf.setFlag.concat : 0) |
      (value === 'verdict' ? nf.setFlag.map : 0) |
      (value === 'counter' ? nf.setFlag.object : 0) |
      (timeoutSec === undefined ? 0 : nf.setFlag.timeout);
    const id = this.nextSetId++;
    this.push(nf.message.newSet, name, (w) => {
      writeSetHead(w, { name, key, flags, id });
      if (value === 'verdict') {
        u32(w, nf.set.dataType, nf.dataTypeVerdict);
        u32(w, nf.set.dataLength, 16);
      }
      if (value === 'counter') u32(w, nf.set.objectType, nf.objectCounter);
      if (timeoutSec !== undefined) u64(w, nf.set.timeout, timeoutSec * 1000);
      w.nest(nf.set.description, () => {
        if (!interval || key.length < 2) return;
        w.nest(nf.setDescription.concat, () => {
          for (const length of fieldLengths(key)) {
            w.nest(nf.listElement, () => u32(w, nf.fieldLength, length));
          }
        });
      });
      w.attribute(nf.set.userdata, setUserdata(key));
    });
  }

  private elements(type: number, name: string, elements: readonly (readonly [string, string])[]): boolean {
    const declaration = this.declared.get(name) ?? this.declarationOf(name);
    if (!declaration) return false;
    for (let start = 0; start < elements.length; start += elementsPerMessage) {
      const some = elements.slice(start, start + elementsPerMessage);
      this.push(
        type,
        `elements of ${name}`,
        (w) => writeElements(w, { name }, declaration, some),
        type === nf.message.newElement ? NLM_F_CREATE : 0,
      );
    }
    return true;
  }

  private rule(chain: string, rule: Rule): boolean {
    const compiled = compileRule(rule.text);
    if (!compiled) return false;
    const setIds = new Map<Expression, number>();
    for (const expression of compiled) {
      if (expression.kind === 'lookup' && 'keys' in expression.set) {
        setIds.set(expression, this.anonymousSet(expression.set));
      }
    }
    this.push(
      nf.message.newRule,
      `${chain}: ${rule.text}`,
      (w) => {
        inChain(w, chain);
        w.nest(nf.rule.expressions, () => {
          for (const expression of compiled) {
            w.nest(nf.listElement, () => writeExpression(w, expression, setIds.get(expression)));
          }
        });
        w.attribute(nf.rule.userdata, commentUserdata(ruleComment(rule)));
      },
      NLM_F_CREATE | NLM_F_APPEND,
    );
    return true;
  }

  /** A set that lives and dies with its rule. The kernel finds it by the id while the transaction runs. */
  private anonymousSet({ keys, type }: Extract<SetReference, { keys: readonly string[] }>): number {
    const id = this.nextSetId++;
    const interval = keys.some((key) => /[-/]/.test(key));
    const flags = nf.setFlag.anonymous | nf.setFlag.constant | (interval ? nf.setFlag.interval : 0);
    const declaration: SetDeclaration = { name: anonymousSetName, key: [type], interval };
    this.push(nf.message.newSet, 'set of a rule', (w) => {
      writeSetHead(w, { name: anonymousSetName, key: [type], flags, id });
      w.nest(nf.set.description, () => u32(w, nf.setDescription.size, interval ? keys.length * 2 : keys.length));
      w.attribute(nf.set.userdata, setUserdata([type]));
    });
    const elements = keys.map((key) => [key, ''] as const);
    for (let start = 0; start < elements.length; start += elementsPerMessage) {
      const some = elements.slice(start, start + elementsPerMessage);
      this.push(nf.message.newElement, 'set of a rule', (w) =>
        writeElements(w, { name: anonymousSetName, id }, declaration, some),
      );
    }
    return id;
  }
}

/** The kernel puts a number in its place. */
export const anonymousSetName = '__set%d';

function writeSetHead(
  w: MessageWriter,
  { name, key, flags, id }: { name: string; key: readonly KeyType[]; flags: number; id: number },
): void {
  named(w, nf.set, name);
  u32(w, nf.set.flags, flags);
  u32(w, nf.set.keyType, keyTypeNumber(key));
  u32(w, nf.set.keyLength, keyLength(key));
  u32(w, nf.set.id, id);
}

function writeElements(
  w: MessageWriter,
  set: { readonly name: string; readonly id?: number },
  declaration: SetDeclaration,
  elements: readonly (readonly [string, string])[],
): void {
  w.attributeString(nf.elementList.table, table);
  w.attributeString(nf.elementList.set, set.name);
  if (set.id !== undefined) u32(w, nf.elementList.setId, set.id);
  w.nest(nf.elementList.elements, () => {
    for (const [key, value] of elements) writeElement(w, declaration, key, value);
  });
}

function writeElement(
  w: MessageWriter,
  { key: types, interval, value: kind }: SetDeclaration,
  key: string,
  value: string,
): void {
  const { first, last } = encodeKey(key, types);
  w.nest(nf.listElement, () => {
    w.nest(nf.element.key, () => w.attribute(nf.data.value, first));
    if (interval && types.length > 1) w.nest(nf.element.keyEnd, () => w.attribute(nf.data.value, last));
    if (kind === 'verdict' && value !== '') {
      w.nest(nf.element.data, () => writeVerdict(w, parseVerdict(value) ?? { kind: 'drop' }));
    }
    if (kind === 'counter' && value !== '') w.attributeString(nf.element.object, value);
  });
  if (!interval || types.length > 1) return;
  // A plain interval is two elements: where it begins, and where it has ended. The highest value needs no end.
  const end = successor(last);
  if (!end) return;
  w.nest(nf.listElement, () => {
    w.nest(nf.element.key, () => w.attribute(nf.data.value, end));
    u32(w, nf.element.flags, nf.elementFlag.intervalEnd);
  });
}

export function writeVerdict(w: MessageWriter, verdict: Verdict): void {
  w.nest(nf.data.verdict, () => {
    u32(w, nf.verdict.code, nf.verdictCodes[verdict.kind]);
    if ('chain' in verdict) w.attributeString(nf.verdict.chain, verdict.chain);
  });
}

function named(w: MessageWriter, numbers: { readonly table: number; readonly name: number }, name: string): void {
  w.attributeString(numbers.table, table);
  w.attributeString(numbers.name, name);
}

function inChain(w: MessageWriter, chain: string): void {
  w.attributeString(nf.rule.table, table);
  w.attributeString(nf.rule.chain, chain);
}

/** nf_tables' numbers are big-endian. */
export function u32(w: MessageWriter, type: number, value: number): void {
  w.attributeBigU32(type, value >>> 0);
}

export function u64(w: MessageWriter, type: number, value: number): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  w.attribute(type, bytes);
}

/** type(1) length(1) text with its zero: what nft shows as the rule's comment. */
function commentUserdata(comment: string): Uint8Array {
  const text = Buffer.from(`${comment}\0`);
  return Buffer.concat([Uint8Array.of(0, text.length), text]);
}

/** type(1) length(1) number(4): without the byte order of the key nft's listings are wrong. */
function setUserdata(key: readonly KeyType[]): Uint8Array {
  const [only] = key;
  const host = key.length === 1 && only !== undefined && keyTypes[only].hostOrder === true;
  const order = key.length > 1 ? 0 : host ? nf.byteOrder.host : nf.byteOrder.big;
  return Uint8Array.of(nf.setUserdata.keyByteOrder, 4, order, 0, 0, 0);
}
