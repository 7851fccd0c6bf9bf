// Folding: many rules of one action become one lookup, so that a policy of 5,000 rules costs what one of 5 costs.
//
//   allow from 10.0.0.0/24 to tcp 80   #0   ┐    counter name ip saddr . meta l4proto . th dport map @fold0 accept
//   allow from 10.0.9.0/24 to tcp 443  #1   ├─►  fold0: 10.0.0.0/24 . 6 . 80 : "…/0", 10.0.9.0/24 . 6 . 443 : "…/1", …
//   …                                       ┘
//
// The map gives each key its rule's counter. No key: the rule does not match, and the next one is tried. What is in one
// map must not overlap, and a packet must count at the first rule that matches it. So a clause joins an earlier map only
// if it overlaps neither with that map nor with anything between. Within a run all actions are equal, so moving a clause
// past one that it does not overlap with changes neither verdict nor counter.

import type { PortRange } from '../calc/output.ts';
import { addressRangeKey, concat, type KeyType, numberRangeKey } from '../nft/objects.ts';
import { BoxIndex } from './box-index.ts';
import type { Box, Clause } from './match.ts';
import type { AddressRange } from './ranges.ts';

/** A clause and the counter of the rule it comes from. */
export interface CountedClause {
  readonly clause: Clause;
  readonly counter: string;
  /** For the comment. */
  readonly origin: string;
}

export type Step =
  | { readonly kind: 'single'; readonly clause: CountedClause }
  | {
      readonly kind: 'lookup';
      /** The key's fields as nft expressions: "ip saddr . meta l4proto . th dport". */
      readonly expression: string;
      readonly key: readonly KeyType[];
      readonly interval: boolean;
      /** Key text to counter name. */
      readonly elements: ReadonlyMap<string, string>;
      readonly rest: readonly string[];
      readonly clauses: readonly CountedClause[];
    };

/** Below this a chain of single rules is as quick, and needs no map. */
const foldFrom = 4;
/** A clause that is a product of more keys than this stays a rule of its own, with a set for each dimension. */
const mostKeysOfClause = 64;

/** Orders the clauses of one run into rules and lookups, with the same verdicts and the same counters. */
export function fold(clauses: readonly CountedClause[]): Step[] {
  if (clauses.length < foldFrom) return clauses.map((clause) => ({ kind: 'single', clause }));
  const groups: Group[] = [];
  for (const counted of clauses) {
    const signature = signatureOf(counted.clause);
    const group = signature === undefined ? undefined : findGroup(groups, signature, counted.clause);
    if (group) group.add(counted);
    else groups.push(new Group(signature, counted));
  }
  return groups.flatMap((group) => group.steps());
}

function findGroup(groups: readonly Group[], signature: string, clause: Clause): Group | undefined {
  for (let i = groups.length - 1; i >= 0; i--) {
    const group = groups[i];
    if (!group || group.overlaps(clause)) return undefined;
    if (group.signature === signature) return group;
  }
  return undefined;
}

class Group {
  readonly signature: string | undefined;
  private readonly clauses: CountedClause[] = [];
  private readonly index: BoxIndex;

  constructor(signature: string | undefined, first: CountedClause) {
    this.signature = signature;
    this.index = new BoxIndex(first.clause);
    this.add(first);
  }

  add(counted: CountedClause): void {
    this.clauses.push(counted);
    this.index.add(counted.clause.box);
  }

  /** Whether a packet can match both. The rest of the matches is not looked at: when unsure, yes. */
  overlaps(clause: Clause): boolean {
    return this.index.overlaps(clause);
  }

  steps(): Step[] {
    const first = this.clauses[0];
    if (!first || this.clauses.length < foldFrom) return this.clauses.map((clause) => ({ kind: 'single', clause }));
    const { clause } = first;
    const dimensions = dimensionsOf(clause);
    const elements = new Map<string, string>();
    for (const counted of this.clauses) {
      for (const key of keysOf(dimensions, counted.clause.box)) elements.set(key, counted.counter);
    }
    return [
      {
        kind: 'lookup',
        expression: concat(...dimensions.map((dimension) => dimension.expression)),
        key: dimensions.map((dimension) => dimension.type),
        interval: this.clauses.some((counted) => !isPoint(counted.clause.box)),
        elements,
        rest: clause.rest,
        clauses: this.clauses,
      },
    ];
  }
}

interface Dimension {
  readonly expression: string;
  readonly type: KeyType;
  readonly keys: (box: Box) => readonly string[];
}

const addressKeys = (ranges: readonly AddressRange[] = []): string[] =>
  ranges.map(({ first, last }) => addressRangeKey(first, last));
const portKeys = (ranges: readonly PortRange[] = []): string[] =>
  ranges.map(({ first, last }) => numberRangeKey(first, last));

function dimensionsOf({ family, box }: Clause): Dimension[] {
  const ip = family === 6 ? 'ip6' : 'ip';
  const type: KeyType = family === 6 ? 'ipv6_addr' : 'ipv4_addr';
  const dimensions: Dimension[] = [];
  if (box.source) dimensions.push({ expression: `${ip} saddr`, type, keys: (b) => addressKeys(b.source) });
  if (box.destination) dimensions.push({ expression: `${ip} daddr`, type, keys: (b) => addressKeys(b.destination) });
  if (box.protocol !== undefined) {
    dimensions.push({ expression: 'meta l4proto', type: 'inet_proto', keys: (b) => [`${b.protocol}`] });
  }
  if (box.sourcePorts) {
    dimensions.push({ expression: 'th sport', type: 'inet_service', keys: (b) => portKeys(b.sourcePorts) });
  }
  if (box.destinationPorts) {
    dimensions.push({ expression: 'th dport', type: 'inet_service', keys: (b) => portKeys(b.destinationPorts) });
  }
  return dimensions;
}

/** Equal for clauses that can share one lookup; undefined when this one has to stay alone. */
function signatureOf(clause: Clause): string | undefined {
  const { family, box, rest } = clause;
  const keyCount =
    (box.source?.length ?? 1) *
    (box.destination?.length ?? 1) *
    (box.sourcePorts?.length ?? 1) *
    (box.destinationPorts?.length ?? 1);
  const shape = [box.source, box.destination, box.protocol, box.sourcePorts, box.destinationPorts]
    .map((dimension) => (dimension === undefined ? '-' : 'x'))
    .join('');
  if (shape === '-----' || keyCount > mostKeysOfClause) return undefined;
  return `${family ?? ''} ${shape} ${rest.join(' ')}`;
}

function keysOf(dimensions: readonly Dimension[], box: Box): string[] {
  let keys = [''];
  for (const dimension of dimensions) {
    const fields = dimension.keys(box);
    keys = keys.flatMap((key) => fields.map((field) => (key === '' ? field : concat(key, field))));
  }
  return keys;
}

/** Without ranges: a key that a hash can hold. */
const isPoint = ({ source, destination, sourcePorts, destinationPorts }: Box): boolean =>
  [source, destination, sourcePorts, destinationPorts].every(
    (ranges) => !ranges || ranges.every(({ first, last }) => first === last),
  );
