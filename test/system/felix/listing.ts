// Reads what the kernel has of our table out of libnftables' JSON listing: the independent way, for comparison with
// felix/nft/decode.ts.

import type {
  BaseHook,
  Chain,
  HookName,
  KeyType,
  Rule,
  SetDeclaration,
  TableState,
} from '../../../felix/nft/objects.ts';
import { formatAddress, parseAddress } from '../../../net/address.ts';

/** Objects of `nft -j list table inet twill`; rules come with their comment only, which names their text. */
export function parseTable(objects: readonly Readonly<Record<string, unknown>>[]): TableState {
  const chains = new Map<string, Chain & { rules: Rule[] }>();
  const sets = new Map<string, { declaration: SetDeclaration; elements: Map<string, string> }>();
  const counters = new Set<string>();
  let dormant = false;
  for (const object of objects) {
    const [kind, value] = Object.entries(object)[0] ?? [];
    if (!isRecord(value)) continue;
    const name = String(value['name']);
    if (kind === 'table') dormant = JSON.stringify(value['flags'] ?? '').includes('dormant');
    else if (kind === 'chain') {
      const base = parseHook(value);
      chains.set(name, { name, rules: [], ...(base && { base }) });
    } else if (kind === 'rule') {
      chains.get(String(value['chain']))?.rules.push({ text: '', comment: String(value['comment'] ?? '') });
    } else if (kind === 'counter') counters.add(name);
    else if (kind === 'set' || kind === 'map') sets.set(name, parseSet(name, value));
  }
  return { chains, sets, counters, dormant };
}

function parseHook(chain: Readonly<Record<string, unknown>>): BaseHook | undefined {
  const { type, hook, prio, policy } = chain;
  if (typeof hook !== 'string') return undefined;
  // Whatever is not what we write differs in the comparison, which is all that this is for.
  return {
    type: type as BaseHook['type'],
    hook: hook as HookName,
    priority: Number(prio),
    policy: policy === 'drop' ? 'drop' : 'accept',
  };
}

function parseSet(
  name: string,
  value: Readonly<Record<string, unknown>>,
): { declaration: SetDeclaration; elements: Map<string, string> } {
  const key = (Array.isArray(value['type']) ? value['type'] : [value['type']]) as KeyType[];
  const flags = Array.isArray(value['flags']) ? value['flags'] : [value['flags']];
  const { map: mapped, timeout } = value;
  const declaration: SetDeclaration = {
    name,
    key,
    interval: flags.includes('interval'),
    ...(typeof timeout === 'number' && { timeoutSec: timeout }),
    ...((mapped === 'verdict' || mapped === 'counter') && { value: mapped }),
  };
  const elements = new Map<string, string>();
  if (declaration.timeoutSec !== undefined) return { declaration, elements };
  for (const element of Array.isArray(value['elem']) ? value['elem'] : []) {
    if (mapped === undefined) elements.set(keyText(element, key), '');
    else if (Array.isArray(element)) elements.set(keyText(element[0], key), valueText(element[1]));
  }
  return { declaration, elements };
}

function keyText(element: unknown, types: readonly KeyType[]): string {
  if (isRecord(element)) {
    // {elem: {val, counter…}}: somebody gave the element more than a key.
    if (isRecord(element['elem'])) return keyText(element['elem']['val'], types);
    const fields = element['concat'];
    if (Array.isArray(fields)) return fields.map((field, i) => fieldText(field, types[i])).join(' . ');
  }
  return fieldText(element, types[0]);
}

function fieldText(field: unknown, type: KeyType | undefined): string {
  if (isRecord(field)) {
    const { prefix, range } = field;
    if (isRecord(prefix)) return `${fieldText(prefix['addr'], type)}/${String(prefix['len'])}`;
    if (Array.isArray(range)) return `${fieldText(range[0], type)}-${fieldText(range[1], type)}`;
  }
  const text = String(field);
  if (type === 'ifname') return `"${text}"`;
  if (type === 'ipv6_addr') {
    const address = parseAddress(text);
    return address === undefined ? text : formatAddress(address);
  }
  return text;
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (!isRecord(value)) return String(value);
  for (const verb of ['goto', 'jump']) {
    const target = value[verb];
    if (isRecord(target)) return `${verb} ${String(target['target'])}`;
  }
  return Object.keys(value)[0] ?? '';
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
