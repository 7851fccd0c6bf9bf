// Rule texts → the kernel's expressions, as libnftables would make them. A subset of nft's language: what felix/rules says.
// Whatever else comes is refused, and the caller lets libnftables do it.
//
//   ip saddr @s tcp … → [meta nfproto → reg][cmp eq ipv4] [payload → reg][lookup @s] …
//
// A register slot is four bytes, numbered from 8. Matches load into the first slots, and compare or look up there.

import { encodeField, encodeName, encodeNumber, keyLength, keyTypes } from './keys.ts';
import type { KeyType } from './objects.ts';

export type Expression =
  | { readonly kind: 'meta'; readonly key: number; readonly register: number }
  | { readonly kind: 'meta-set'; readonly key: number; readonly register: number }
  | { readonly kind: 'ct'; readonly key: number; readonly register: number }
  | {
      readonly kind: 'payload';
      readonly base: 'network' | 'transport';
      readonly offset: number;
      readonly length: number;
      readonly register: number;
    }
  | { readonly kind: 'cmp'; readonly register: number; readonly op: CompareOp; readonly data: Uint8Array }
  | {
      readonly kind: 'range';
      readonly register: number;
      readonly op: 'eq' | 'neq';
      readonly from: Uint8Array;
      readonly to: Uint8Array;
    }
  | { readonly kind: 'bitwise'; readonly register: number; readonly mask: Uint8Array; readonly xor: Uint8Array }
  | {
      readonly kind: 'lookup';
      readonly set: SetReference;
      readonly register: number;
      readonly verdict?: boolean;
      readonly inverted?: boolean;
    }
  | { readonly kind: 'immediate'; readonly register: number; readonly data: Uint8Array }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'counter'; readonly name: string }
  | { readonly kind: 'counter-map'; readonly set: string; readonly register: number }
  | { readonly kind: 'limit'; readonly rate: number; readonly unitSec: number; readonly burst: number }
  | { readonly kind: 'log'; readonly prefix: string }
  | { readonly kind: 'reject' }
  | { readonly kind: 'notrack' }
  | { readonly kind: 'masquerade'; readonly ports?: number; readonly random: boolean }
  | { readonly kind: 'snat'; readonly address: number; readonly ports?: number; readonly random: boolean };

export type CompareOp = 'eq' | 'neq' | 'lte' | 'gte';

export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

/** A named set, or one that lives in the rule. */
export type SetReference = { readonly name: string } | { readonly keys: readonly string[]; readonly type: KeyType };

/** Undefined: not in our subset. */
export function compileRule(text: string): Expression[] | undefined {
  try {
    return new Compiler(text).compile();
  } catch (error) {
    if (error instanceof NotCompiled) return undefined;
    throw error;
  }
}

export function parseVerdict(text: string): Verdict | undefined {
  const [kind = '', chain, ...more] = text.split(' ');
  if (more.length > 0) return undefined;
  if (kind === 'accept' || kind === 'drop' || kind === 'return') return chain === undefined ? { kind } : undefined;
  return (kind === 'jump' || kind === 'goto') && chain !== undefined ? { kind, chain } : undefined;
}

class NotCompiled extends Error {}

const firstSlot = 8;
const META_MARK = 3;
const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;

interface Field {
  readonly type: KeyType | 'mark' | 'group' | 'state' | 'nfproto' | 'bytes';
  readonly length: number;
  readonly load: (register: number) => Expression;
  readonly needs?: { readonly nfproto?: number; readonly l4proto?: number };
}

const meta = (key: number, type: Field['type'], length: number): Field => ({
  type,
  length,
  load: (register) => ({ kind: 'meta', key, register }),
});
const payload = (base: 'network' | 'transport', offset: number, type: Field['type'], length: number): Field => ({
  type,
  length,
  load: (register) => ({ kind: 'payload', base, offset, length, register }),
});
const ipv4 = (offset: number): Field => ({
  ...payload('network', offset, 'ipv4_addr', 4),
  needs: { nfproto: NFPROTO_IPV4 },
});
const ipv6 = (offset: number): Field => ({
  ...payload('network', offset, 'ipv6_addr', 16),
  needs: { nfproto: NFPROTO_IPV6 },
});
const icmp = (type: KeyType, offset: number, l4proto: number): Field => ({
  ...payload('transport', offset, type, 1),
  needs: { l4proto },
});

const fields: Readonly<Record<string, Field>> = {
  'meta mark': meta(META_MARK, 'mark', 4),
  iifname: meta(6, 'ifname', 16),
  oifname: meta(7, 'ifname', 16),
  iifgroup: meta(21, 'group', 4),
  oifgroup: meta(22, 'group', 4),
  'meta nfproto': meta(15, 'nfproto', 1),
  'meta l4proto': meta(16, 'inet_proto', 1),
  'ct state': { type: 'state', length: 4, load: (register) => ({ kind: 'ct', key: 0, register }) },
  'ip saddr': ipv4(12),
  'ip daddr': ipv4(16),
  'ip6 saddr': ipv6(8),
  'ip6 daddr': ipv6(24),
  'th sport': payload('transport', 0, 'inet_service', 2),
  'th dport': payload('transport', 2, 'inet_service', 2),
  '@th,0,16': payload('transport', 0, 'bytes', 2),
  'icmp type': icmp('icmp_type', 0, 1),
  'icmp code': icmp('icmp_code', 1, 1),
  'icmpv6 type': icmp('icmpv6_type', 0, 58),
  'icmpv6 code': icmp('icmpv6_code', 1, 58),
};

const stateBits: Readonly<Record<string, number>> = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 };

class Compiler {
  private readonly tokens: readonly string[];
  private position = 0;
  private readonly out: Expression[] = [];
  /** What earlier matches have made sure of, so that it is not asked twice. */
  private nfproto: number | undefined;
  private l4proto: number | undefined;

  constructor(text: string) {
    this.tokens = text.match(/"[^"]*"|\{[^}]*\}|\S+/g) ?? [];
  }

  compile(): Expression[] {
    while (this.position < this.tokens.length) this.statement();
    return this.out;
  }

  private statement(): void {
    const word = this.peek();
    switch (word) {
      case 'accept':
      case 'drop':
      case 'return':
        this.position++;
        this.out.push({ kind: 'verdict', verdict: { kind: word } });
        break;
      case 'jump':
      case 'goto':
        this.position++;
        this.out.push({ kind: 'verdict', verdict: { kind: word, chain: this.take() } });
        break;
      case 'counter':
        this.counter();
        break;
      case 'reject':
      case 'notrack':
        this.position++;
        this.out.push({ kind: word });
        break;
      case 'limit':
        this.limit();
        break;
      case 'log':
        this.expect('log', 'prefix');
        this.out.push({ kind: 'log', prefix: unquote(this.take()) });
        break;
      case 'masquerade':
        this.masquerade();
        break;
      case 'snat':
        this.snat();
        break;
      default:
        this.match();
    }
  }

  private counter(): void {
    this.expect('counter', 'name');
    if (this.peek()?.startsWith('"')) {
      this.out.push({ kind: 'counter', name: unquote(this.take()) });
      return;
    }
    this.load(this.key());
    this.expect('map');
    this.out.push({ kind: 'counter-map', set: this.setName(), register: firstSlot });
  }

  private limit(): void {
    this.expect('limit', 'rate');
    const [rate, unit] = this.take().split('/');
    const unitSec = { second: 1, minute: 60, hour: 3600, day: 86_400 }[unit ?? ''];
    this.expect('burst');
    const burst = Number(this.take());
    this.expect('packets');
    if (unitSec === undefined || !(Number(rate) > 0)) throw new NotCompiled();
    this.out.push({ kind: 'limit', rate: Number(rate), unitSec, burst });
  }

  private masquerade(): void {
    this.expect('masquerade');
    const ports = this.accept('to') ? this.loadPorts(this.take().slice(1), firstSlot) : undefined;
    this.out.push({ kind: 'masquerade', random: this.accept('fully-random'), ...(ports !== undefined && { ports }) });
  }

  private snat(): void {
    this.expect('snat', 'ip', 'to');
    const [address = '', range] = this.take().split(':');
    this.out.push({ kind: 'immediate', register: firstSlot, data: encodeField(address, 'ipv4_addr').first });
    const ports = range === undefined ? undefined : this.loadPorts(range, firstSlot + 4);
    const random = this.accept('fully-random');
    this.out.push({ kind: 'snat', address: firstSlot, random, ...(ports !== undefined && { ports }) });
  }

  /** Loads both ends of a range of ports; the register of the first, the second is one register (four slots) further. */
  private loadPorts(text: string, register: number): number {
    const { first, last } = encodeField(text, 'inet_service');
    this.out.push({ kind: 'immediate', register, data: first });
    this.out.push({ kind: 'immediate', register: register + 4, data: last });
    return register;
  }

  private match(): void {
    const key = this.key();
    const [field] = key;
    if (this.accept('vmap')) {
      this.load(key);
      this.out.push({ kind: 'lookup', set: { name: this.setName() }, register: firstSlot, verdict: true });
      return;
    }
    if (field?.type === 'mark') {
      this.mark();
      return;
    }
    const inverted = this.accept('!=');
    if (!inverted) this.accept('==');
    const value = this.take();
    this.load(key);
    if (value.startsWith('@')) {
      this.out.push({ kind: 'lookup', set: { name: value.slice(1) }, register: firstSlot, inverted });
    } else if (field && key.length === 1) this.compare(field, value, inverted);
    else throw new NotCompiled();
  }

  private mark(): void {
    this.out.push({ kind: 'meta', key: META_MARK, register: firstSlot });
    if (this.accept('set')) {
      this.expect('meta', 'mark');
      const operator = this.take();
      const value = Number(this.take());
      const [mask, xor] = operator === '&' ? [value, 0] : operator === '|' ? [~value, value] : [Number.NaN, 0];
      if (Number.isNaN(mask)) throw new NotCompiled();
      this.out.push({ kind: 'bitwise', register: firstSlot, mask: hostU32(mask), xor: hostU32(xor) });
      this.out.push({ kind: 'meta-set', key: META_MARK, register: firstSlot });
      return;
    }
    this.expect('&');
    const mask = Number(this.take());
    this.expect('==');
    const wanted = Number(this.take());
    this.out.push({ kind: 'bitwise', register: firstSlot, mask: hostU32(mask), xor: hostU32(0) });
    this.out.push({ kind: 'cmp', register: firstSlot, op: 'eq', data: hostU32(wanted) });
  }

  private compare(field: Field, value: string, inverted: boolean): void {
    const op = inverted ? 'neq' : 'eq';
    const register = firstSlot;
    const { type } = field;
    if (type === 'state') {
      const bits = value.split(',').reduce((all, word) => all | (stateBits[word] ?? this.refuse()), 0);
      this.out.push({ kind: 'bitwise', register, mask: hostU32(bits), xor: hostU32(0) });
      this.out.push({ kind: 'cmp', register, op: 'neq', data: hostU32(0) });
    } else if (type === 'nfproto') {
      const number = value === 'ipv4' ? NFPROTO_IPV4 : value === 'ipv6' ? NFPROTO_IPV6 : this.refuse();
      if (!inverted) this.nfproto = number;
      this.out.push({ kind: 'cmp', register, op, data: Uint8Array.of(number) });
    } else if (type === 'bytes') {
      this.out.push({ kind: 'cmp', register, op, data: encodeNumber(Number(value), field.length) });
    } else if (type === 'ifname') {
      const name = unquote(value);
      const data = name.endsWith('*') ? Buffer.from(name.slice(0, -1)) : encodeName(name);
      this.out.push({ kind: 'cmp', register, op, data });
    } else if (type === 'group') {
      this.out.push({ kind: 'cmp', register, op, data: hostU32(Number(value)) });
    } else if (type === 'mark') throw new NotCompiled();
    else if (value.startsWith('{')) {
      const keys = value
        .slice(1, -1)
        .split(',')
        .map((key) => key.trim());
      this.out.push({ kind: 'lookup', set: { keys, type }, register, inverted });
    } else this.compareValue(type, value, op);
  }

  private compareValue(type: KeyType, value: string, op: 'eq' | 'neq'): void {
    const register = firstSlot;
    const { first, last } = encodeField(value, type);
    if (Buffer.compare(first, last) === 0) {
      this.out.push({ kind: 'cmp', register, op, data: first });
      if (type === 'inet_proto' && op === 'eq' && this.lastLoadIsL4proto()) this.l4proto = first[0];
    } else if (value.includes('/')) {
      const mask = first.map((byte, i) => ~(byte ^ (last[i] ?? 0)) & 255);
      this.out.push({ kind: 'bitwise', register, mask, xor: new Uint8Array(first.length) });
      this.out.push({ kind: 'cmp', register, op, data: first });
    } else if (op === 'eq') {
      this.out.push({ kind: 'cmp', register, op: 'gte', data: first });
      this.out.push({ kind: 'cmp', register, op: 'lte', data: last });
    } else this.out.push({ kind: 'range', register, op, from: first, to: last });
  }

  private lastLoadIsL4proto(): boolean {
    const load = this.out.at(-2);
    return load?.kind === 'meta' && load.key === 16;
  }

  /** "ip saddr . meta l4proto" */
  private key(): Field[] {
    const key = [this.field()];
    while (this.accept('.')) key.push(this.field());
    return key;
  }

  private field(): Field {
    const one = this.take();
    const field = fields[one] ?? fields[`${one} ${this.take()}`];
    if (!field) throw new NotCompiled();
    return field;
  }

  private load(key: readonly Field[]): void {
    for (const { needs } of key) if (needs) this.require(needs);
    let register = firstSlot;
    for (const field of key) {
      this.out.push(field.load(register));
      register += (field.length + 3) >> 2;
    }
  }

  private require({ nfproto, l4proto }: NonNullable<Field['needs']>): void {
    if (nfproto !== undefined && this.nfproto !== nfproto) {
      this.nfproto = nfproto;
      this.out.push({ kind: 'meta', key: 15, register: firstSlot });
      this.out.push({ kind: 'cmp', register: firstSlot, op: 'eq', data: Uint8Array.of(nfproto) });
    }
    if (l4proto !== undefined && this.l4proto !== l4proto) {
      this.l4proto = l4proto;
      this.out.push({ kind: 'meta', key: 16, register: firstSlot });
      this.out.push({ kind: 'cmp', register: firstSlot, op: 'eq', data: Uint8Array.of(l4proto) });
    }
  }

  private setName(): string {
    const name = this.take();
    if (!name.startsWith('@')) throw new NotCompiled();
    return name.slice(1);
  }

  private peek(): string | undefined {
    return this.tokens[this.position];
  }

  private take(): string {
    const token = this.tokens[this.position++];
    if (token === undefined) throw new NotCompiled();
    return token;
  }

  private accept(word: string): boolean {
    if (this.peek() !== word) return false;
    this.position++;
    return true;
  }

  private expect(...words: readonly string[]): void {
    for (const word of words) if (this.take() !== word) throw new NotCompiled();
  }

  private refuse(): never {
    throw new NotCompiled();
  }
}

const unquote = (text: string): string => text.replaceAll('"', '');

/** Marks, groups and states are numbers of the machine. */
function hostU32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value >>> 0).buffer);
}

/** Bytes of the keys of a set inside a rule. */
export const fieldLength = (type: KeyType): number => keyLength([type]) || keyTypes[type].length;
