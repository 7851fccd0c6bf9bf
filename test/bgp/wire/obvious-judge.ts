// RFC 7606 read aloud: what an UPDATE's body must lead to, slowly and without regard to how the speaker does it. Fuzzing
// compares the two.

import type { WireContext } from '../../../bgp/wire/attributes.ts';

export type Judgement = 'good' | 'withdraw' | 'reset';

type Attribute = { readonly flags: number; readonly code: number; readonly value: readonly number[] };

const number = (octets: readonly number[], at: number, size: number): number =>
  octets.slice(at, at + size).reduce((sum, octet) => sum * 256 + octet, 0);

/** Whether the octets are prefixes and nothing else. */
function arePrefixes(octets: readonly number[], width: number, addPath: boolean): boolean {
  let left = octets;
  while (left.length > 0) {
    if (addPath) left = left.slice(4);
    const [length] = left;
    if (length === undefined || length > width) return false;
    const size = 1 + Math.ceil(length / 8);
    if (left.length < size) return false;
    left = left.slice(size);
  }
  return true;
}

function isPath(octets: readonly number[], size: number, types: readonly number[]): boolean {
  let left = octets;
  while (left.length > 0) {
    const [type = 0, count = 0] = left;
    const segment = left.slice(2, 2 + count * size);
    if (left.length < 2 || !types.includes(type) || count === 0 || segment.length < count * size) return false;
    for (let at = 0; at < segment.length; at += size) if (number(segment, at, size) === 0) return false;
    left = left.slice(2 + count * size);
  }
  return true;
}

/** TLVs that fill the octets; the types have as many octets as told, the lengths two. */
function areTlvs(octets: readonly number[], typeSize: number, isValue: (value: readonly number[]) => boolean): boolean {
  let left = octets;
  if (left.length === 0) return false;
  while (left.length > 0) {
    if (left.length < typeSize + 2) return false;
    const length = number(left, typeSize, 2);
    const value = left.slice(typeSize + 2, typeSize + 2 + length);
    if (value.length < length || !isValue(value)) return false;
    left = left.slice(typeSize + 2 + length);
  }
  return true;
}

function areSubTlvs(octets: readonly number[]): boolean {
  let left = octets;
  while (left.length > 0) {
    const size = (left[0] ?? 0) < 128 ? 1 : 2;
    if (left.length < 1 + size) return false;
    const length = number(left, 1, size);
    if (left.length < 1 + size + length) return false;
    left = left.slice(1 + size + length);
  }
  return true;
}

const widths = new Map([
  ['1/1', 32],
  ['2/1', 128],
]);

function isMp(value: readonly number[], reach: boolean, context: WireContext): boolean {
  if (value.length < (reach ? 5 : 3)) return false;
  const family = `${number(value, 0, 2)}/${value[2]}`;
  const width = widths.get(family);
  const addPath = width === 32 ? context.addPathIpv4 : context.addPathIpv6;
  if (!reach) return width === undefined || arePrefixes(value.slice(3), width, addPath);
  const nextHop = value[3] ?? 0;
  if (value.length < 5 + nextHop) return false;
  if (width === undefined) return true;
  const sizes = width === 32 ? [4, 16, 32] : [16, 32];
  return sizes.includes(nextHop) && arePrefixes(value.slice(5 + nextHop), width, addPath);
}

/** Flags, whether the value is good, and what happens when it is not. */
function rulesOf({ code, value }: Attribute, context: WireContext) {
  const { length } = value;
  const size = context.fourOctetAs ? 4 : 2;
  const [wellKnown, optional, transitive] = [0x40, 0x80, 0xc0];
  const rule = (flags: number, good: boolean, otherwise: Judgement | 'discard') => ({ flags, good, otherwise });
  switch (code) {
    case 1:
      return rule(wellKnown, length === 1 && (value[0] ?? 9) < 3, 'withdraw');
    case 2:
      return rule(wellKnown, isPath(value, size, [1, 2]), 'withdraw');
    case 3:
      return rule(wellKnown, length === 4 && value[0] !== 0 && (value[0] ?? 0) < 224, 'withdraw');
    case 4:
      return rule(optional, length === 4, 'withdraw');
    case 5:
      return rule(wellKnown, length === 4, 'withdraw');
    case 6:
      return rule(wellKnown, length === 0, 'discard');
    case 7:
      return rule(transitive, length === size + 4 && number(value, 0, size) !== 0, 'discard');
    case 8:
      return rule(transitive, length > 0 && length % 4 === 0, 'withdraw');
    case 9:
      return rule(optional, length === 4, 'withdraw');
    case 10:
      return rule(optional, length > 0 && length % 4 === 0, 'withdraw');
    case 14:
    case 15:
      return rule(optional, isMp(value, code === 14, context), 'reset');
    case 16:
      return rule(transitive, length > 0 && length % 8 === 0, 'withdraw');
    case 17:
      return rule(transitive, isPath(value, 4, [1, 2, 3, 4]), 'discard');
    case 18:
      return rule(transitive, length === 8 && number(value, 0, 4) !== 0, 'discard');
    case 23:
      return rule(transitive, areTlvs(value, 2, areSubTlvs), 'withdraw');
    case 25:
      return rule(transitive, length > 0 && length % 20 === 0, 'withdraw');
    case 26:
      return rule(optional, length >= 3 && (value[0] !== 1 || number(value, 1, 2) === 11), 'discard');
    case 32:
      return rule(transitive, length > 0 && length % 12 === 0, 'withdraw');
    case 35:
      return rule(transitive, length === 4, 'withdraw');
    case 40:
      return rule(
        transitive,
        areTlvs(value, 1, () => true),
        'discard',
      );
    default:
      return undefined;
  }
}

/** The attributes, up to where their lengths make sense. */
function readAttributes(octets: readonly number[]): { readonly list: Attribute[]; readonly overruns: boolean } {
  const list: Attribute[] = [];
  let left = octets;
  while (left.length > 0) {
    const [flags = 0, code = 0] = left;
    const size = (flags & 0x10) === 0 ? 1 : 2;
    if (left.length < 2 + size) return { list, overruns: true };
    const length = number(left, 2, size);
    const value = left.slice(2 + size, 2 + size + length);
    if (value.length < length) return { list, overruns: true };
    list.push({ flags: flags & 0xc0, code, value });
    left = left.slice(2 + size + length);
  }
  return { list, overruns: false };
}

const onlyInside = [5, 9, 10, 40];

export function judge(body: Uint8Array, context: WireContext): Judgement {
  const octets = [...body];
  if (octets.length < 4) return 'reset';
  const withdrawnLength = number(octets, 0, 2);
  if (octets.length < 4 + withdrawnLength) return 'reset';
  const attributesLength = number(octets, 2 + withdrawnLength, 2);
  const from = 4 + withdrawnLength;
  if (octets.length < from + attributesLength) return 'reset';
  const nlri = octets.slice(from + attributesLength);
  const withdrawn = octets.slice(2, 2 + withdrawnLength);
  if (!arePrefixes(withdrawn, 32, context.addPathIpv4) || !arePrefixes(nlri, 32, context.addPathIpv4)) return 'reset';
  return judgeAttributes(readAttributes(octets.slice(from, from + attributesLength)), nlri.length > 0, context);
}

function judgeAttributes(
  { list, overruns }: ReturnType<typeof readAttributes>,
  hasNlri: boolean,
  context: WireContext,
): Judgement {
  if (!hasNlri && list.length === 0 && !overruns) return 'good';
  const seen = new Set<number>();
  const kept = new Set<number>();
  let mustWithdraw = overruns;
  let onlyUnreach = !overruns;
  for (const attribute of list) {
    const { code, flags } = attribute;
    if (seen.has(code)) {
      if (code === 14 || code === 15) return 'reset';
      continue;
    }
    seen.add(code);
    const rule = rulesOf(attribute, context);
    if (!rule) {
      if ((flags & 0x80) === 0) return 'reset';
      continue;
    }
    if (onlyInside.includes(code) && context.external) continue;
    const outcome = flags !== rule.flags && (rule.otherwise !== 'reset' || rule.good) ? 'withdraw' : rule.otherwise;
    const isGood = flags === rule.flags && rule.good;
    if (!isGood && outcome === 'reset') return 'reset';
    if (!isGood && outcome === 'withdraw') mustWithdraw = true;
    if (!isGood && outcome === 'withdraw' && code !== 15) onlyUnreach = false;
    if (isGood || code === 14 || code === 15) kept.add(code);
  }
  if (!hasNlri && !kept.has(14)) return mustWithdraw && !onlyUnreach ? 'reset' : mustWithdraw ? 'withdraw' : 'good';
  const mandatory = hasNlri ? [1, 2, 3] : [1, 2];
  return mustWithdraw || mandatory.some((code) => !kept.has(code)) ? 'withdraw' : 'good';
}
