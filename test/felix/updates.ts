// Hand-made output of the calculation, in a few words.

import type {
  CalcEntity,
  CalcHostEndpoint,
  CalcPolicy,
  CalcRule,
  CalcTier,
  CalcUpdate,
  CalcWorkload,
  IpSetMember,
  RuleAction,
} from '../../felix/calc/output.ts';
import { parseAddress } from '../../net/address.ts';
import { type Prefix, parsePrefixOrAddress } from '../../net/prefix.ts';

export function prefix(text: string): Prefix {
  const parsed = parsePrefixOrAddress(text);
  if (!parsed) throw new Error(`not a prefix: ${text}`);
  return parsed;
}

export const member = (text: string): IpSetMember => ({ kind: 'prefix', prefix: prefix(text) });

export function portMember(addressText: string, protocol: number, port: number): IpSetMember {
  const address = parseAddress(addressText);
  if (address === undefined) throw new Error(`not an address: ${addressText}`);
  return { kind: 'address-port', address, protocol, port };
}

const anything: CalcEntity = {
  prefixes: [],
  notPrefixes: [],
  ipSets: [],
  notIpSets: [],
  ports: [],
  namedPortSets: [],
  notPorts: [],
  notNamedPortSets: [],
};

export const entity = (given: Partial<CalcEntity>): CalcEntity => ({ ...anything, ...given });

export type RuleGiven = Partial<Omit<CalcRule, 'source' | 'destination' | 'action'>> & {
  readonly source?: Partial<CalcEntity>;
  readonly destination?: Partial<CalcEntity>;
};

export const rule = (action: RuleAction, { source = {}, destination = {}, ...given }: RuleGiven = {}): CalcRule => ({
  origin: 'ingress[0]',
  ...given,
  action,
  source: entity(source),
  destination: entity(destination),
});

export const port = (first: number, last = first) => ({ first, last });

const numbered = (direction: string, rules: readonly CalcRule[]): CalcRule[] =>
  rules.map((one, i) => ({ ...one, origin: `${direction}[${i}]` }));

export function policy(
  id: string,
  given: { tier?: string; staged?: boolean; ingress?: readonly CalcRule[]; egress?: readonly CalcRule[] },
): CalcPolicy {
  return {
    id,
    tier: given.tier ?? 'default',
    staged: given.staged ?? false,
    ingress: numbered('ingress', given.ingress ?? []),
    egress: numbered('egress', given.egress ?? []),
  };
}

export const policyUpdate = (...args: Parameters<typeof policy>): CalcUpdate => ({
  kind: 'policy',
  policy: policy(...args),
});

export const profileUpdate = (name: string, ingress: readonly CalcRule[], egress: readonly CalcRule[]): CalcUpdate => ({
  kind: 'profile',
  profile: { name, ingress: numbered('ingress', ingress), egress: numbered('egress', egress) },
});

export const tier = (
  ingress: readonly string[],
  egress: readonly string[],
  given: { name?: string; defaultAction?: 'deny' | 'pass' } = {},
): CalcTier => ({ name: given.name ?? 'default', defaultAction: given.defaultAction ?? 'deny', ingress, egress });

export function workload(
  id: string,
  interfaceName: string,
  addresses: readonly string[],
  given: Partial<CalcWorkload> = {},
): CalcUpdate & { kind: 'workload' } {
  return {
    kind: 'workload',
    workload: {
      id,
      interfaceName,
      addresses: addresses.map(prefix),
      tiers: [],
      profiles: [],
      allowedSourcePrefixes: [],
      revision: 1,
      ...given,
    },
  };
}

export const hostEndpointUpdate = (id: string, given: Partial<CalcHostEndpoint>): CalcUpdate => ({
  kind: 'host-endpoint',
  hostEndpoint: {
    id,
    expectedAddresses: [],
    tiers: [],
    forwardTiers: [],
    preDnatTiers: [],
    untrackedTiers: [],
    profiles: [],
    revision: 1,
    ...given,
  },
});

export const ipSet = (id: string, ...members: readonly string[]): CalcUpdate => ({
  kind: 'ip-set',
  id,
  type: 'prefixes',
  members: members.map(member),
});

export const inSync: CalcUpdate = { kind: 'in-sync' };
