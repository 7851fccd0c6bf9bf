// What the kernel has of our table, read by netlink dumps: as the JSON listing (listing.ts), in a fraction of its time.
//
// Of rules only the comments are read; they carry fingerprints of the texts.

import { AttributeCursor, type MessageWriter, type NetlinkMessage } from '../../linux/netlink/message.ts';
import { nftMessageType, writeNfgenmsg } from '../../linux/netlink/nftables-batch.ts';
import type { NetlinkRequest, NetlinkSocket } from '../../linux/netlink/socket.ts';
import { decodeKey, keyTypes, predecessor } from './keys.ts';
import * as nf from './numbers.ts';
import {
  type BaseHook,
  type Chain,
  type Elements,
  type HookName,
  type KernelState,
  type KeyType,
  type Rule,
  type SetDeclaration,
  tableName,
} from './objects.ts';

const table = tableName.replace(/^inet /, '');
const NFPROTO_INET = 1;
/** Behind nfgenmsg. */
const attributesAt = 4;

/** One dump of a reading. */
interface Dumping {
  readonly request: NetlinkRequest;
  take(message: NetlinkMessage): void;
  /** The kernel's table changed meanwhile: all of it comes again. */
  restart(): void;
}

class Dump<T> implements Dumping {
  readonly request: NetlinkRequest;
  found: T[] = [];
  readonly #read: (payload: Uint8Array) => T | undefined;

  constructor(request: NetlinkRequest, read: (payload: Uint8Array) => T | undefined) {
    this.request = request;
    this.#read = read;
  }

  take({ payload }: NetlinkMessage): void {
    // nfgenmsg begins with the family: other families' tables may have our name.
    if (payload[0] !== NFPROTO_INET) return;
    const value = this.#read(payload);
    if (value !== undefined) this.found.push(value);
  }

  restart(): void {
    this.found = [];
  }
}

/** Undefined: there is no table of ours. */
export function readTable(socket: Pick<NetlinkSocket, 'dump'>): KernelState | undefined {
  const reading = readingOf(() => true);
  for (;;) {
    const step = reading.next();
    if (step.done) return step.value;
    run(socket, step.value);
  }
}

export interface PartialRead {
  /** Of which sets the elements are read: each costs a walk of the kernel through all sets of the table. */
  readonly elementsOf: (set: string) => boolean;
  /** Asked again and again; true ends the reading. */
  readonly isGivenUp: () => boolean;
}

export type PartialState =
  | { readonly kind: 'read'; readonly state: KernelState | undefined }
  | { readonly kind: 'given-up' };

/** As readTable(), while the event loop goes on. */
export async function readTableInThread(
  socket: Pick<NetlinkSocket, 'dumpInThread'>,
  { elementsOf, isGivenUp }: PartialRead,
): Promise<PartialState> {
  const reading = readingOf(elementsOf);
  for (;;) {
    const step = reading.next();
    if (step.done) return { kind: 'read', state: step.value };
    const dumping = step.value;
    await socket.dumpInThread(
      dumping.request,
      (message) => dumping.take(message),
      () => dumping.restart(),
    );
    if (isGivenUp()) return { kind: 'given-up' };
  }
}

/** Yields one dump after the other, each to be filled before the next is asked for. */
function* readingOf(elementsOf: (set: string) => boolean): Generator<Dumping, KernelState | undefined, void> {
  const ofTable = (type: number) => (w: MessageWriter) => w.attributeString(type, table);
  const tables = new Dump(
    request('tables', nf.message.getTable, () => {}),
    readHead,
  );
  yield tables;
  const [head] = tables.found;
  if (!head) return undefined;
  const chains = new Dump(
    request('chains', nf.message.getChain, () => {}),
    readChain,
  );
  yield chains;
  const byName = new Map(chains.found.map((chain) => [chain.name, chain]));
  const rules = new Dump(request('rules', nf.message.getRule, ofTable(nf.rule.table)), readRule);
  yield rules;
  for (const { chain, comment } of rules.found) byName.get(chain)?.rules.push({ text: '', comment });
  const counters = new Dump(request('objects', nf.message.getObject, ofTable(nf.object.table)), readCounterName);
  yield counters;
  const declarations = new Dump(request('sets', nf.message.getSet, ofTable(nf.set.table)), readSet);
  yield declarations;
  const sets = new Map<string, { declaration: SetDeclaration; elements: Elements | undefined }>();
  for (const declaration of declarations.found) {
    const { name, timeoutSec } = declaration;
    if (timeoutSec !== undefined) sets.set(name, { declaration, elements: new Map() });
    else if (!elementsOf(name)) sets.set(name, { declaration, elements: undefined });
    else {
      const lists = dumpOfElements(declaration);
      yield lists;
      sets.set(name, { declaration, elements: elementsFrom(lists.found.flat(), declaration) });
    }
  }
  const dormant = (head.flags & nf.tableFlag.dormant) !== 0;
  return { chains: byName, sets, counters: new Set(counters.found), dormant };
}

export interface TableHead {
  readonly flags: number;
  /** Port id of the socket that owns it; 0: none. */
  readonly owner: number;
}

/** Undefined: there is no table of ours. */
export function readTableHead(socket: Pick<NetlinkSocket, 'dump'>): TableHead | undefined {
  const [head] = collect(
    socket,
    request('tables', nf.message.getTable, () => {}),
    readHead,
  );
  return head;
}

/** Packets and bytes of every counter of our table. */
export function readCounters(socket: Pick<NetlinkSocket, 'dump'>): Map<string, { packets: number; bytes: number }> {
  const objects = request('objects', nf.message.getObject, (w) => w.attributeString(nf.object.table, table));
  return new Map(collect(socket, objects, readCounter));
}

function readCounter(payload: Uint8Array): [string, { packets: number; bytes: number }] | undefined {
  const name = readCounterName(payload);
  if (name === undefined) return undefined;
  const count = { packets: 0, bytes: 0 };
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type !== nf.object.data) continue;
    const inner = cursor.nested();
    while (inner.next()) {
      if (inner.type === nf.counter.bytes) count.bytes = Number(bigU64(inner));
      else if (inner.type === nf.counter.packets) count.packets = Number(bigU64(inner));
    }
  }
  return [name, count];
}

/** The rules of one chain of our table: handle to comment, without the fingerprint. */
export function readRuleComments(socket: Pick<NetlinkSocket, 'dump'>, chain: string): Map<number, string> {
  const rules = request(`rules of ${chain}`, nf.message.getRule, (w) => {
    w.attributeString(nf.rule.table, table);
    w.attributeString(nf.rule.chain, chain);
  });
  const found = collect(socket, rules, readRule).filter((rule) => rule.chain === chain);
  return new Map(found.map(({ handle, comment }) => [handle, comment.replace(/ ?#[\w-]{8}$/, '')]));
}

function request(what: string, type: number, write: (writer: MessageWriter) => void): NetlinkRequest {
  return {
    type: nftMessageType(type),
    flags: 0,
    write: (writer) => {
      writeNfgenmsg(writer, NFPROTO_INET);
      write(writer);
    },
    describe: () => `dump nf_tables ${what}`,
  };
}

function collect<T>(
  socket: Pick<NetlinkSocket, 'dump'>,
  what: NetlinkRequest,
  read: (payload: Uint8Array) => T | undefined,
): T[] {
  const dump = new Dump(what, read);
  run(socket, dump);
  return dump.found;
}

function run(socket: Pick<NetlinkSocket, 'dump'>, dumping: Dumping): void {
  socket.dump(
    dumping.request,
    (message) => dumping.take(message),
    () => dumping.restart(),
  );
}

function readHead(payload: Uint8Array): TableHead | undefined {
  let name = '';
  let flags = 0;
  let owner = 0;
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type === nf.table.name) name = cursor.string();
    else if (cursor.type === nf.table.flags) flags = bigU32(cursor);
    else if (cursor.type === nf.table.owner) owner = bigU32(cursor);
  }
  return name === table ? { flags, owner } : undefined;
}

function readChain(payload: Uint8Array): (Chain & { readonly rules: Rule[] }) | undefined {
  let owner = '';
  let name = '';
  let type = '';
  let policy = 1;
  let hook: { readonly hook: HookName; readonly priority: number } | undefined;
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type === nf.chain.table) owner = cursor.string();
    else if (cursor.type === nf.chain.name) name = cursor.string();
    else if (cursor.type === nf.chain.type) type = cursor.string();
    else if (cursor.type === nf.chain.policy) policy = bigU32(cursor);
    else if (cursor.type === nf.chain.hook) hook = readHook(cursor.nested());
  }
  if (owner !== table) return undefined;
  // Whatever is not what we write differs in the comparison, which is all that this is for.
  const base = hook && {
    ...hook,
    type: type as BaseHook['type'],
    policy: policy === 1 ? ('accept' as const) : ('drop' as const),
  };
  return { name, rules: [], ...(base && { base }) };
}

function readHook(cursor: AttributeCursor): { hook: HookName; priority: number } {
  let number = 0;
  let priority = 0;
  while (cursor.next()) {
    if (cursor.type === nf.hook.number) number = bigU32(cursor);
    else if (cursor.type === nf.hook.priority) priority = bigU32(cursor) | 0;
  }
  const names = Object.keys(nf.hookNumbers) as HookName[];
  return { hook: names[number] ?? 'prerouting', priority };
}

interface FoundRule {
  readonly chain: string;
  readonly handle: number;
  readonly comment: string;
}

function readRule(payload: Uint8Array): FoundRule | undefined {
  let handle = 0;
  let owner = '';
  let chain = '';
  let comment = '';
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type === nf.rule.table) owner = cursor.string();
    else if (cursor.type === nf.rule.chain) chain = cursor.string();
    else if (cursor.type === nf.rule.handle) handle = Number(bigU64(cursor));
    else if (cursor.type === nf.rule.userdata) comment = readComment(cursor.value());
  }
  return owner === table ? { chain, handle, comment } : undefined;
}

/** type(1) length(1) text with its zero; type 0 is the comment. */
function readComment(userdata: Uint8Array): string {
  for (let offset = 0; offset + 2 <= userdata.length; offset += 2 + (userdata[offset + 1] ?? 0)) {
    if (userdata[offset] !== 0) continue;
    const length = userdata[offset + 1] ?? 0;
    return Buffer.from(userdata.subarray(offset + 2, offset + 2 + Math.max(length - 1, 0))).toString();
  }
  return '';
}

function readCounterName(payload: Uint8Array): string | undefined {
  let owner = '';
  let name = '';
  let type = 0;
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type === nf.object.table) owner = cursor.string();
    else if (cursor.type === nf.object.name) name = cursor.string();
    else if (cursor.type === nf.object.type) type = bigU32(cursor);
  }
  return owner === table && type === nf.objectCounter ? name : undefined;
}

const typesByNumber: ReadonlyMap<number, KeyType> = new Map(
  (Object.keys(keyTypes) as KeyType[]).map((type) => [keyTypes[type].number, type]),
);

function readSet(payload: Uint8Array): SetDeclaration | undefined {
  let owner = '';
  let name = '';
  let flags = 0;
  let keyType = 0;
  let timeoutSec: number | undefined;
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type === nf.set.table) owner = cursor.string();
    else if (cursor.type === nf.set.name) name = cursor.string();
    else if (cursor.type === nf.set.flags) flags = bigU32(cursor);
    else if (cursor.type === nf.set.keyType) keyType = bigU32(cursor);
    else if (cursor.type === nf.set.timeout) timeoutSec = Number(bigU64(cursor) / 1000n);
  }
  // A rule's own set comes and goes with the rule.
  if (owner !== table || (flags & nf.setFlag.anonymous) !== 0) return undefined;
  const value = flags & nf.setFlag.map ? 'verdict' : flags & nf.setFlag.object ? 'counter' : undefined;
  return {
    name,
    key: readKeyType(keyType),
    interval: (flags & nf.setFlag.interval) !== 0,
    ...(value && { value }),
    ...(timeoutSec !== undefined && { timeoutSec }),
  };
}

/** A type that we do not know makes the set foreign, and the comparison sees that. */
function readKeyType(number: number): KeyType[] {
  const types: KeyType[] = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 64)) {
    const type = typesByNumber.get(rest % 64);
    if (type) types.unshift(type);
  }
  return types;
}

interface RawElement {
  readonly key: Uint8Array;
  readonly keyEnd: Uint8Array | undefined;
  readonly isEnd: boolean;
  readonly value: string;
}

function dumpOfElements({ name }: SetDeclaration): Dump<RawElement[]> {
  const elements = request(`elements of ${name}`, nf.message.getElement, (w) => {
    w.attributeString(nf.elementList.table, table);
    w.attributeString(nf.elementList.set, name);
  });
  return new Dump(elements, readElementList);
}

function elementsFrom(raw: RawElement[], { key: types, interval }: SetDeclaration): Elements {
  if (interval && types.length === 1) return pairIntervals(raw, types);
  return new Map(raw.map(({ key, keyEnd, value }) => [decodeKey(key, keyEnd, types), value]));
}

/** Plain intervals come as beginnings and ends, in no particular order. */
function pairIntervals(raw: RawElement[], types: readonly KeyType[]): Map<string, string> {
  const sorted = raw.sort((a, b) => Buffer.compare(a.key, b.key));
  const elements = new Map<string, string>();
  for (const [i, { key, isEnd, value }] of sorted.entries()) {
    if (isEnd) continue;
    const next = sorted[i + 1];
    const last = next ? predecessor(next.key) : new Uint8Array(key.length).fill(255);
    elements.set(decodeKey(key, last, types), value);
  }
  return elements;
}

function readElementList(payload: Uint8Array): RawElement[] {
  const found: RawElement[] = [];
  const cursor = new AttributeCursor(payload, attributesAt);
  while (cursor.next()) {
    if (cursor.type !== nf.elementList.elements) continue;
    const list = cursor.nested();
    while (list.next()) found.push(readElement(list.nested()));
  }
  return found;
}

function readElement(cursor: AttributeCursor): RawElement {
  let key: Uint8Array = new Uint8Array();
  let keyEnd: Uint8Array | undefined;
  let flags = 0;
  let value = '';
  while (cursor.next()) {
    if (cursor.type === nf.element.key) key = readValue(cursor.nested());
    else if (cursor.type === nf.element.keyEnd) keyEnd = readValue(cursor.nested());
    else if (cursor.type === nf.element.flags) flags = bigU32(cursor);
    else if (cursor.type === nf.element.object) value = cursor.string();
    else if (cursor.type === nf.element.data) value = readVerdict(cursor.nested());
  }
  return { key, keyEnd, isEnd: (flags & nf.elementFlag.intervalEnd) !== 0, value };
}

/** A copy: the datagram's buffer is used again. */
function readValue(cursor: AttributeCursor): Uint8Array {
  while (cursor.next()) if (cursor.type === nf.data.value) return Uint8Array.from(cursor.value());
  return new Uint8Array();
}

const verdictNames = new Map<number, string>(Object.entries(nf.verdictCodes).map(([name, code]) => [code, name]));

function readVerdict(cursor: AttributeCursor): string {
  let code = 0;
  let chain = '';
  while (cursor.next()) {
    if (cursor.type !== nf.data.verdict) continue;
    const inner = cursor.nested();
    while (inner.next()) {
      if (inner.type === nf.verdict.code) code = bigU32(inner) | 0;
      else if (inner.type === nf.verdict.chain) chain = inner.string();
    }
  }
  const name = verdictNames.get(code) ?? 'drop';
  return chain === '' ? name : `${name} ${chain}`;
}

function bigU32(cursor: AttributeCursor): number {
  const value = cursor.value();
  return value.length < 4 ? 0 : new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
}

function bigU64(cursor: AttributeCursor): bigint {
  const value = cursor.value();
  return value.length < 8 ? 0n : new DataView(value.buffer, value.byteOffset, 8).getBigUint64(0);
}
