// BGPFilters, pools and advertised ranges → the import and export filter of one peer.
//
//     import: rules of the BGPFilters in the peer's order, then accept
//     export: rules of the BGPFilters, pools with disableBGPExport: reject, our own blocks: accept,
//             routes inside a pool: accept (reflectors and nodes between racks pass them on), the rest: reject
//
// So what we learn from a fabric is never sent back into it, unless a BGPFilter says so.

import type { BGPFilter, BGPPeer } from '../../datastore/model/index.ts';
import { familyOfPrefix, parsePrefix, parsePrefixOrAddress } from '../../net/prefix.ts';
import type { AddressFamily, Community, FilterOperation, FilterRule, FilterSettings } from '../settings.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

type GivenRule = NonNullable<BGPFilter['spec']['exportV4']>[number];
type GivenOperation = NonNullable<GivenRule['operations']>[number];

export interface PeerFilters {
  readonly importFilter: FilterSettings;
  readonly exportFilter: FilterSettings;
  readonly problems: readonly ConfigProblem[];
}

/** The rules that follow from pools, the same for every peer: made once. */
export function poolExportRules(resources: BgpResources): readonly FilterRule[] {
  const disabled: FilterRule[] = [];
  const enabled: FilterRule[] = [];
  for (const [name, { spec }] of sorted(resources.pools)) {
    const prefix = parsePrefix(spec.cidr);
    if (!prefix) continue;
    const match = { prefix, operator: 'in' } as const;
    const family = familyName(familyOfPrefix(prefix));
    if (spec.disableBGPExport) {
      disabled.push({ origin: `IPPool/${name} disableBGPExport`, action: 'reject', family, match, operations: [] });
    } else {
      enabled.push({ origin: `IPPool/${name}`, action: 'accept', family, match, operations: [] });
    }
  }
  const own: FilterRule = { origin: 'own blocks', action: 'accept', source: 'local', operations: [] };
  return [...disabled, own, ...enabled];
}

export function peerFilters(
  peer: BGPPeer | undefined,
  resources: BgpResources,
  poolRules: readonly FilterRule[],
): PeerFilters {
  const importRules: FilterRule[] = [];
  const exportRules: FilterRule[] = [];
  const problems: ConfigProblem[] = [];
  for (const [i, name] of (peer?.spec.filters ?? []).entries()) {
    const filter = resources.filters.get(name);
    if (!filter) {
      problems.push({
        resource: `BGPPeer/${peer?.metadata.name}`,
        field: `spec.filters[${i}]`,
        problem: `there is no valid BGPFilter ${name}; until there is one, this peer gets no routes and its routes are not used`,
      });
      continue;
    }
    const { spec } = filter;
    importRules.push(...rulesOf(name, 'importV4', spec.importV4), ...rulesOf(name, 'importV6', spec.importV6));
    exportRules.push(...rulesOf(name, 'exportV4', spec.exportV4), ...rulesOf(name, 'exportV6', spec.exportV6));
  }
  // A filter that is missing was there to keep something out.
  if (problems.length > 0) return { importFilter: rejectAll, exportFilter: rejectAll, problems };
  const normal = normalPriorities(resources);
  const isUsual = Object.values(normal).every((priority) => priority === defaultRoutePriority);
  const common = isUsual ? {} : { normalPriority: normal };
  return {
    importFilter: { rules: importRules, otherwise: 'accept', ...common },
    exportFilter: { rules: [...exportRules, ...poolRules], otherwise: 'reject', ...common },
    problems,
  };
}

const defaultRoutePriority = 1024;

/** The metrics of learned routes that no filter gives another. */
export function normalPriorities({ configurations }: BgpResources): Readonly<Record<AddressFamily, number>> {
  const common = configurations.get('default')?.spec;
  return {
    'ipv4-unicast': common?.ipv4NormalRoutePriority ?? defaultRoutePriority,
    'ipv6-unicast': common?.ipv6NormalRoutePriority ?? defaultRoutePriority,
  };
}

const rejectAll: FilterSettings = { rules: [], otherwise: 'reject' };

const familyName = (family: 4 | 6): AddressFamily => (family === 4 ? 'ipv4-unicast' : 'ipv6-unicast');

function rulesOf(filter: string, list: string, rules: readonly GivenRule[] | undefined): FilterRule[] {
  const family = familyName(list.endsWith('4') ? 4 : 6);
  return (rules ?? []).map((rule, i) => filterRule(rule, `BGPFilter/${filter} ${list}[${i}]`, family));
}

const operators = { Equal: 'equal', NotEqual: 'not-equal', In: 'in', NotIn: 'not-in' } as const;

function filterRule(rule: GivenRule, origin: string, family: AddressFamily): FilterRule {
  // A lone address is its /32 or /128.
  const prefix = rule.cidr === undefined ? undefined : parsePrefixOrAddress(rule.cidr);
  return {
    origin,
    action: rule.action === 'Accept' ? 'accept' : 'reject',
    family,
    ...(prefix && rule.matchOperator
      ? {
          match: {
            prefix,
            operator: operators[rule.matchOperator],
            ...(rule.prefixLength?.min === undefined ? {} : { minLength: rule.prefixLength.min }),
            ...(rule.prefixLength?.max === undefined ? {} : { maxLength: rule.prefixLength.max }),
          },
        }
      : {}),
    ...(rule.source ? { source: 'remote-peers' as const } : {}),
    ...(rule.interface ? { interface: rule.interface } : {}),
    ...(rule.peerType ? { peerType: rule.peerType === 'eBGP' ? ('ebgp' as const) : ('ibgp' as const) } : {}),
    ...(rule.communities ? { communities: rule.communities.values.map(parseCommunity) } : {}),
    ...(rule.asPathPrefix ? { asPathPrefix: rule.asPathPrefix } : {}),
    ...(rule.priority === undefined ? {} : { priority: rule.priority }),
    operations: (rule.operations ?? []).flatMap(filterOperation),
  };
}

function filterOperation(operation: GivenOperation): FilterOperation[] {
  if (operation.addCommunity) {
    return [{ kind: 'add-community', community: parseCommunity(operation.addCommunity.value) }];
  }
  if (operation.prependASPath) return [{ kind: 'prepend-as-path', asns: operation.prependASPath.prefix }];
  if (operation.setPriority) return [{ kind: 'set-priority', priority: operation.setPriority.value }];
  return [];
}

/** `aa:nn` or `aa:nn:mm`; the model has checked the form. */
export function parseCommunity(text: string): Community {
  const [first = 0, second = 0, third] = text.split(':').map(Number);
  return third === undefined
    ? { kind: 'standard', value: ((first << 16) | second) >>> 0 }
    : { kind: 'large', global: first, local1: second, local2: third };
}

/** By name, so that the result does not depend on the order of arrival. */
export function sorted<V>(map: ReadonlyMap<string, V>): readonly (readonly [string, V])[] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
