// The columns of each kind's tables: which ones `ps` and `wide` show, and what is in them.

import type { Kind, Resource, ResourceOf } from '../../datastore/model/index.ts';

/** What cells need to know beside their resource. */
export interface TableContext {
  /** The AS of nodes that have none of their own. */
  readonly asNumber: number;
}

type Cell<K extends Kind> = (resource: ResourceOf<K>, context: TableContext) => string;

interface Table<K extends Kind> {
  readonly narrow: readonly string[];
  readonly wide: readonly string[];
  readonly cells: Readonly<Record<string, Cell<K>>>;
}

const joined = (items: readonly unknown[] | undefined): string => (items ?? []).join(',');
const word = (value: unknown): string => (value === undefined ? '' : String(value));
const table = <K extends Kind>(
  narrow: readonly string[],
  wide: readonly string[],
  cells: Table<K>['cells'],
): Table<K> => ({
  narrow,
  wide,
  cells,
});

const nameOnly = ['NAME'];

interface PolicyLike {
  readonly spec: { readonly tier: string; readonly order?: number; readonly selector?: string };
}
const policyCells = {
  TIER: ({ spec }: PolicyLike) => spec.tier,
  ORDER: ({ spec }: PolicyLike) => word(spec.order),
  SELECTOR: ({ spec }: PolicyLike) => word(spec.selector),
};
const policyNarrow = ['NAME', 'TIER'];
const policyWide = ['NAME', 'TIER', 'ORDER', 'SELECTOR'];
const setCells = { NETS: ({ spec }: { readonly spec: { readonly nets?: readonly string[] } }) => joined(spec.nets) };

const tables: { readonly [K in Kind]: Table<K> } = {
  BGPConfiguration: table(
    ['NAME', 'LOGSEVERITY', 'MESHENABLED', 'ASNUMBER'],
    ['NAME', 'LOGSEVERITY', 'MESHENABLED', 'ASNUMBER'],
    {
      LOGSEVERITY: ({ spec }) => word(spec.logSeverityScreen),
      MESHENABLED: ({ spec }) => word(spec.nodeToNodeMeshEnabled ?? '-'),
      ASNUMBER: ({ spec }) => word(spec.asNumber ?? '-'),
    },
  ),
  BGPFilter: table(nameOnly, ['NAME', 'EXPORTV4', 'IMPORTV4', 'EXPORTV6', 'IMPORTV6'], {
    EXPORTV4: ({ spec }) => rulesCount(spec.exportV4),
    IMPORTV4: ({ spec }) => rulesCount(spec.importV4),
    EXPORTV6: ({ spec }) => rulesCount(spec.exportV6),
    IMPORTV6: ({ spec }) => rulesCount(spec.importV6),
  }),
  BGPPeer: table(['NAME', 'PEERIP', 'NODE', 'ASN'], ['NAME', 'PEERIP', 'NODE', 'ASN'], {
    PEERIP: ({ spec }) => word(spec.peerIP ?? spec.peerSelector ?? spec.localWorkloadSelector),
    NODE: ({ spec }) => spec.node ?? spec.nodeSelector ?? '(global)',
    ASN: ({ spec }) => word(spec.asNumber ?? 0),
  }),
  BlockAffinity: table(['NAME', 'CIDR', 'NODE'], ['NAME', 'CIDR', 'NODE', 'STATE', 'TYPE'], {
    CIDR: ({ spec }) => spec.cidr,
    NODE: ({ spec }) => spec.node,
    STATE: ({ spec }) => spec.state,
    TYPE: ({ spec }) => word(spec.type),
  }),
  CalicoNodeStatus: table(['NAME', 'NODE'], ['NAME', 'NODE', 'CLASSES', 'INTERVAL', 'LASTUPDATED'], {
    NODE: ({ spec }) => word(spec.node),
    CLASSES: ({ spec }) => joined(spec.classes),
    INTERVAL: ({ spec }) => word(spec.updatePeriodSeconds),
    LASTUPDATED: ({ status }) => word(status?.lastUpdated),
  }),
  ClusterInformation: table(['NAME', 'GUID', 'VERSION'], ['NAME', 'TYPE', 'GUID', 'VERSION', 'READY'], {
    TYPE: ({ spec }) => word(spec.clusterType),
    GUID: ({ spec }) => word(spec.clusterGUID),
    VERSION: ({ spec }) => word(spec.calicoVersion),
    READY: ({ spec }) => word(spec.datastoreReady),
  }),
  FelixConfiguration: table(nameOnly, nameOnly, {}),
  GlobalNetworkPolicy: table(policyNarrow, policyWide, policyCells),
  GlobalNetworkSet: table(nameOnly, ['NAME', 'NETS'], setCells),
  HostEndpoint: table(['NAME', 'NODE'], ['NAME', 'NODE', 'INTERFACE', 'IPS', 'PROFILES'], {
    NODE: ({ spec }) => spec.node,
    INTERFACE: ({ spec }) => word(spec.interfaceName),
    IPS: ({ spec }) => joined(spec.expectedIPs),
    PROFILES: ({ spec }) => joined(spec.profiles),
  }),
  IPAMConfiguration: table(nameOnly, ['NAME', 'STRICTAFFINITY', 'AUTOALLOCATE', 'MAXBLOCKS'], {
    STRICTAFFINITY: ({ spec }) => word(spec.strictAffinity ?? false),
    AUTOALLOCATE: ({ spec }) => word(spec.autoAllocateBlocks),
    MAXBLOCKS: ({ spec }) => word(spec.maxBlocksPerHost ?? 0),
  }),
  IPPool: table(
    ['NAME', 'CIDR', 'SELECTOR'],
    ['NAME', 'CIDR', 'NAT', 'IPIPMODE', 'VXLANMODE', 'DISABLED', 'DISABLEBGPEXPORT', 'SELECTOR'],
    {
      CIDR: ({ spec }) => spec.cidr,
      NAT: ({ spec }) => word(spec.natOutgoing ?? false),
      IPIPMODE: ({ spec }) => spec.ipipMode,
      VXLANMODE: ({ spec }) => spec.vxlanMode,
      DISABLED: ({ spec }) => word(spec.disabled ?? false),
      DISABLEBGPEXPORT: ({ spec }) => word(spec.disableBGPExport ?? false),
      BLOCKSIZE: ({ spec }) => word(spec.blockSize),
      SELECTOR: ({ spec }) => spec.nodeSelector,
    },
  ),
  IPReservation: table(nameOnly, ['NAME', 'CIDRS'], { CIDRS: ({ spec }) => joined(spec.reservedCIDRs) }),
  KubeControllersConfiguration: table(nameOnly, nameOnly, {}),
  NetworkPolicy: table(policyNarrow, policyWide, policyCells),
  NetworkSet: table(nameOnly, ['NAME', 'NETS'], setCells),
  Node: table(nameOnly, ['NAME', 'ASN', 'IPV4', 'IPV6'], {
    ASN: ({ spec }, { asNumber }) => (spec.bgp ? word(spec.bgp.asNumber ?? `(${asNumber})`) : ''),
    IPV4: ({ spec }) => word(spec.bgp?.ipv4Address),
    IPV6: ({ spec }) => word(spec.bgp?.ipv6Address),
  }),
  Profile: table(nameOnly, ['NAME', 'LABELS'], {
    LABELS: ({ spec }) => joined(Object.entries(spec.labelsToApply ?? {}).map(([key, value]) => `${key}=${value}`)),
  }),
  StagedGlobalNetworkPolicy: table(policyNarrow, policyWide, policyCells),
  StagedKubernetesNetworkPolicy: table(nameOnly, ['NAME', 'STAGEDACTION'], {
    STAGEDACTION: ({ spec }) => spec.stagedAction,
  }),
  StagedNetworkPolicy: table(policyNarrow, policyWide, policyCells),
  Tier: table(['NAME', 'ORDER'], ['NAME', 'ORDER', 'DEFAULTACTION'], {
    ORDER: ({ spec }) => word(spec.order),
    DEFAULTACTION: ({ spec }) => spec.defaultAction,
  }),
  WorkloadEndpoint: table(
    ['WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE'],
    ['NAME', 'WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE', 'PROFILES', 'NATS'],
    {
      NODE: ({ spec }) => word(spec.node),
      ORCHESTRATOR: ({ spec }) => word(spec.orchestrator),
      WORKLOAD: ({ spec }) => word(spec.workload ?? spec.pod),
      NETWORKS: ({ spec }) => joined(spec.ipNetworks),
      NATS: ({ spec }) => joined(spec.ipNATs?.map((nat) => `${nat.internalIP}=${nat.externalIP}`)),
      PROFILES: ({ spec }) => joined(spec.profiles),
      INTERFACE: ({ spec }) => word(spec.interfaceName),
    },
  ),
};

function rulesCount(rules: readonly unknown[] | undefined): string {
  return rules ? `${rules.length} rule${rules.length === 1 ? '' : 's'}` : '';
}

export const headingsOf = (kind: Kind, wide: boolean): readonly string[] => tables[kind][wide ? 'wide' : 'narrow'];

export const columnsOf = (kind: Kind): readonly string[] => [
  ...new Set(['NAME', 'NAMESPACE', ...tables[kind].wide, ...Object.keys(tables[kind].cells)]),
];

/** Undefined when the kind has no such column. */
export function cellOf(resource: Resource, heading: string, context: TableContext): string | undefined {
  if (heading === 'NAME') return resource.metadata.name;
  if (heading === 'NAMESPACE') return word(resource.metadata.namespace);
  // The table is looked up by the resource's own kind, which the compiler cannot follow through the union.
  const cell = tables[resource.kind].cells[heading] as
    | ((resource: Resource, context: TableContext) => string)
    | undefined;
  return cell?.(resource, context);
}
