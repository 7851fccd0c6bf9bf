// What the conversions share: a rule is the product of its peers and its ports.

import type { PolicyEntity, PolicyRule, Port } from '../../datastore/model/index.ts';
import {
  familyOfPrefix,
  formatPrefix,
  parseInterfaceAddress,
  parsePrefixOrAddress,
  prefixOf,
} from '../../net/prefix.ts';

/** The annotation of a converted rule that says what it was made from: "spec.ingress[0].from[1]". */
export const ORIGIN_ANNOTATION = 'twill/origin';

export type Direction = 'ingress' | 'egress';

/** One side of a rule, and the field that it was made from; `from` is empty when anyone is meant. */
export interface Peer {
  readonly entity: PolicyEntity;
  readonly from: string;
}

/** Ports of one protocol; none: every port. No protocol: everything. */
export interface PortGroup {
  readonly protocol?: string | number;
  readonly ports: readonly Port[];
}

/** The most that a rule can list. */
const MOST_PORTS = 50;

export function makeRules(
  action: PolicyRule['action'],
  direction: Direction,
  peers: readonly Peer[],
  groups: readonly PortGroup[],
  origin: string,
): readonly PolicyRule[] {
  return peers.flatMap(({ entity, from }) =>
    groups.flatMap(chunks).map(({ protocol, ports }): PolicyRule => {
      const peerSide = direction === 'ingress' ? 'source' : 'destination';
      const withPorts = ports.length > 0 ? { ports } : {};
      const sides: Pick<PolicyRule, 'source' | 'destination'> =
        direction === 'ingress'
          ? { ...(hasFields(entity) && { source: entity }), ...(ports.length > 0 && { destination: withPorts }) }
          : { ...((hasFields(entity) || ports.length > 0) && { [peerSide]: { ...entity, ...withPorts } }) };
      return {
        action,
        ...(protocol !== undefined && { protocol }),
        ...sides,
        metadata: { annotations: { [ORIGIN_ANNOTATION]: from === '' ? origin : `${origin}.${from}` } },
      };
    }),
  );
}

function chunks({ protocol, ports }: PortGroup): readonly PortGroup[] {
  const parts: PortGroup[] = [];
  for (let i = 0; i === 0 || i < ports.length; i += MOST_PORTS) {
    parts.push({ ...(protocol !== undefined && { protocol }), ports: ports.slice(i, i + MOST_PORTS) });
  }
  return parts;
}

/** Networks as a rule may list them: without host bits, and of one IP version a list. Empty lists are left out. */
export function networksByFamily(texts: readonly string[]): readonly (readonly string[])[] {
  const byFamily: { readonly 4: string[]; readonly 6: string[] } = { 4: [], 6: [] };
  for (const text of texts) {
    const parsed = parseInterfaceAddress(text) ?? parsePrefixOrAddress(text);
    if (!parsed) continue;
    const prefix = prefixOf(parsed.address, parsed.length);
    byFamily[familyOfPrefix(prefix)].push(formatPrefix(prefix));
  }
  return [byFamily[4], byFamily[6]].filter((nets) => nets.length > 0);
}

const hasFields = (entity: PolicyEntity): boolean => Object.keys(entity).length > 0;
