// The nftables objects that felix writes: chains, rules, sets, maps, elements, named counters. All live in one table.
//
// Texts are canonical: one spelling for one meaning, the spelling that a listing of the kernel gives back (numbers for
// protocols and ports, prefixes where a range is one). So two states compare by comparing strings.

import { createHash } from 'node:crypto';
import { type Address, familyOf, formatAddress, widthOf } from '../../net/address.ts';
import { formatPrefix, lastAddress, type Prefix, prefixOf } from '../../net/prefix.ts';

/** The one table: both IP families in one. */
export const tableName = 'inet twill';

export type HookName = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';

/** Where the kernel enters the ruleset. The lower priority runs first. */
export interface BaseHook {
  readonly type: 'filter' | 'nat';
  readonly hook: HookName;
  readonly priority: number;
  /** What becomes of packets that no rule decides; ours accept. */
  readonly policy?: 'accept' | 'drop';
}

export interface Chain {
  readonly name: string;
  readonly base?: BaseHook;
  readonly rules: readonly Rule[];
}

export interface Rule {
  /** Matches and statements, in nft's language. */
  readonly text: string;
  /** For people; the rule's fingerprint is appended to it. */
  readonly comment: string;
}

/** Sets hold keys; maps give each key a verdict (`goto x`) or the name of a counter. */
export interface SetDeclaration {
  readonly name: string;
  /** Field types: ["ifname", "ipv4_addr"]. */
  readonly key: readonly KeyType[];
  /** Keys may be prefixes and ranges; none may overlap another. */
  readonly interval: boolean;
  readonly value?: 'verdict' | 'counter';
  /** Elements go by themselves. They are not part of the desired state. */
  readonly timeoutSec?: number;
}

export type KeyType =
  | 'ifname'
  | 'ipv4_addr'
  | 'ipv6_addr'
  | 'inet_proto'
  | 'inet_service'
  | 'icmp_type'
  | 'icmp_code'
  | 'icmpv6_type'
  | 'icmpv6_code';

/** Key text to value text; the value of a set's element is empty. */
export type Elements = ReadonlyMap<string, string>;

/** The state of the whole table. */
export interface TableState {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly sets: ReadonlyMap<string, { readonly declaration: SetDeclaration; readonly elements: Elements }>;
  readonly counters: ReadonlySet<string>;
  /** The table is switched off: none of its hooks is called. */
  readonly dormant?: boolean;
  /** It can not become what it should be by editing it. */
  readonly mustReplace?: boolean;
}

/** What was read of the kernel's table. */
export interface KernelState extends Omit<TableState, 'sets'> {
  /** Elements are undefined where they were not read: nothing is said of them. */
  readonly sets: ReadonlyMap<string, { readonly declaration: SetDeclaration; readonly elements: Elements | undefined }>;
}

/** The `hook` part of a chain's declaration; empty for a chain that is only jumped to. */
export const hookText = (base: BaseHook | undefined): string =>
  base ? `type ${base.type} hook ${base.hook} priority ${base.priority}; policy ${base.policy ?? 'accept'};` : '';

/**
 * A rule as the kernel remembers it: the comment ends in a hash of the text. That is how we know our own rules again
 * after a restart, without having to understand how the kernel prints them.
 */
export function ruleComment(rule: Rule): string {
  const known = comments.get(rule);
  if (known !== undefined) return known;
  const comment = makeComment(rule);
  comments.set(rule, comment);
  return comment;
}

/** A comparison with the kernel asks for those of all rules. */
const comments = new WeakMap<Rule, string>();

function makeComment(rule: Rule): string {
  const room = 127 - 10;
  const human = rule.comment.replaceAll(/[^ !#-~]/g, '?').slice(0, room);
  return `${human}${human === '' ? '' : ' '}#${fingerprint(rule.text)}`;
}

/** Eight characters that stand for a text. */
export const fingerprint = (text: string): string => createHash('sha1').update(text).digest('base64url').slice(0, 8);

export const sameDeclaration = (a: SetDeclaration, b: SetDeclaration): boolean =>
  a.key.join() === b.key.join() && a.interval === b.interval && a.value === b.value && a.timeoutSec === b.timeoutSec;

/** Fields of an element's key, joined as nft writes a concatenation. */
export const concat = (...fields: readonly string[]): string => fields.join(' . ');

export const interfaceKey = (name: string): string => `"${name}"`;

/** A lone address when the prefix is one host. */
export const prefixKey = (prefix: Prefix): string =>
  prefix.length === widthOf(familyOf(prefix.address)) ? formatAddress(prefix.address) : formatPrefix(prefix);

/** A range of addresses: an address, a prefix where the range is one, else "first-last". */
export function addressRangeKey(first: Address, last: Address): string {
  if (first === last) return formatAddress(first);
  const width = widthOf(familyOf(first));
  // The common prefix length tells whether the range is exactly one network.
  const difference = BigInt(first) ^ BigInt(last);
  const prefix = prefixOf(first, width - difference.toString(2).length);
  if (prefix.address === first && lastAddress(prefix) === last) return formatPrefix(prefix);
  return `${formatAddress(first)}-${formatAddress(last)}`;
}

export const numberRangeKey = (first: number, last: number): string =>
  first === last ? `${first}` : `${first}-${last}`;
