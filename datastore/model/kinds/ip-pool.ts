// IPPool, IPReservation, IPAMConfiguration, BlockAffinity: where addresses come from.

import { familyOfPrefix, parsePrefix, prefixesOverlap } from '../../../net/prefix.ts';
import { boolean, choice, integer, text } from '../schema/scalars.ts';
import { selector } from '../schema/scalars-names.ts';
import { canonicalCidr, cidr, network } from '../schema/scalars-net.ts';
import { defaulted, list, object, optional, type Report, type Rule, required } from '../schema/types.ts';
import { conditions, kind } from './common.ts';

const encapsulation = choice('Always', 'CrossSubnet', 'Never');

const linkLocal = [parsePrefix('169.254.0.0/16'), parsePrefix('fe80::/10')];

const ipPoolSpec = object(
  {
    cidr: required(canonicalCidr, 'The addresses of the pool.', { immutable: true }),
    vxlanMode: defaulted(encapsulation, 'Never', 'When packets to the pool’s addresses are wrapped in VXLAN.'),
    ipipMode: defaulted(encapsulation, 'Never', 'When packets to the pool’s addresses are wrapped in IP-in-IP.'),
    natOutgoing: optional(
      boolean,
      'Translate the source of packets that leave for addresses outside of every pool to the node’s address.',
      { omitFalse: true },
    ),
    disabled: optional(boolean, 'Assign no new addresses from the pool; those in use stay.', { omitFalse: true }),
    disableBGPExport: optional(boolean, 'Do not advertise the pool’s blocks to BGP peers outside the mesh.', {
      omitFalse: true,
    }),
    blockSize: defaulted(
      integer(20, 128),
      { from: (spec) => (String(spec['cidr']).includes(':') ? 122 : 26), doc: '26 for IPv4, 122 for IPv6' },
      'Prefix length of the blocks that nodes claim: 20 to 32 for IPv4, 116 to 128 for IPv6.',
      { immutable: true },
    ),
    nodeSelector: defaulted(selector(), 'all()', 'Nodes that may claim blocks of the pool.'),
    namespaceSelector: optional(selector(), 'Namespaces whose pods may get addresses of the pool.'),
    allowedUses: defaulted(
      list(choice('Workload', 'Tunnel', 'LoadBalancer')),
      ['Workload', 'Tunnel'],
      'What the addresses may be used for.',
    ),
    assignmentMode: defaulted(
      choice('Automatic', 'Manual'),
      'Automatic',
      'Automatic: used for every pod that asks for nothing particular; Manual: only for those that name the pool.',
    ),
  },
  checkBlockSize,
  checkLinkLocal,
  checkIpipFamily,
  checkOneEncapsulation,
  ...loadBalancerRules(),
);

interface PoolSpec {
  readonly cidr: string;
  readonly vxlanMode: string;
  readonly ipipMode: string;
  readonly blockSize: number;
  readonly disabled?: boolean;
  readonly disableBGPExport?: boolean;
  readonly nodeSelector: string;
  readonly allowedUses: readonly string[];
}

function checkBlockSize(spec: PoolSpec, report: Report): void {
  const prefix = parsePrefix(spec.cidr);
  if (!prefix) return;
  const family = familyOfPrefix(prefix);
  const [low, high] = family === 4 ? [20, 32] : [116, 128];
  if (spec.blockSize < low || spec.blockSize > high) {
    report('blockSize', `${spec.blockSize} is out of range for IPv${family}`, `give ${low} to ${high}`);
  } else if (!spec.disabled && prefix.length > spec.blockSize) {
    report('cidr', `is smaller than one block of /${spec.blockSize}`, `give /${spec.blockSize} or a shorter length`);
  }
}

function checkLinkLocal(spec: PoolSpec, report: Report): void {
  const prefix = parsePrefix(spec.cidr);
  if (!prefix) return;
  if (
    linkLocal.some((range) => range && typeof range.address === typeof prefix.address && prefixesOverlap(range, prefix))
  ) {
    report('cidr', 'overlaps the link-local range', 'choose a range outside 169.254.0.0/16 and fe80::/10');
  }
}

function checkIpipFamily(spec: PoolSpec, report: Report): void {
  const prefix = parsePrefix(spec.cidr);
  if (prefix && familyOfPrefix(prefix) === 6 && spec.ipipMode !== 'Never') {
    report('ipipMode', 'IP-in-IP carries IPv4 only', 'set Never, or use vxlanMode');
  }
}

function checkOneEncapsulation(spec: PoolSpec, report: Report): void {
  if (spec.ipipMode !== 'Never' && spec.vxlanMode !== 'Never') {
    report('vxlanMode', 'is set together with ipipMode', 'set one of the two to Never');
  }
}

function loadBalancerRules(): readonly Rule<PoolSpec>[] {
  const rules: readonly Rule<PoolSpec>[] = [
    ({ allowedUses }, report) => {
      if (allowedUses.length > 1)
        report('allowedUses', 'LoadBalancer does not combine with other uses', 'make a pool of its own for it');
    },
    ({ ipipMode }, report) => {
      if (ipipMode !== 'Never') report('ipipMode', 'does not fit a LoadBalancer pool', 'set Never');
    },
    ({ vxlanMode }, report) => {
      if (vxlanMode !== 'Never') report('vxlanMode', 'does not fit a LoadBalancer pool', 'set Never');
    },
    ({ disableBGPExport }, report) => {
      if (disableBGPExport) report('disableBGPExport', 'does not fit a LoadBalancer pool', 'remove it');
    },
    ({ nodeSelector }, report) => {
      if (nodeSelector !== 'all()')
        report('nodeSelector', 'must select every node in a LoadBalancer pool', 'set all()');
    },
  ];
  return rules.map((rule) => (spec, report) => {
    if (spec.allowedUses.includes('LoadBalancer')) rule(spec, report);
  });
}

export const ipPool = kind('IPPool', {
  plural: 'ippools',
  shortNames: ['ipp', 'pool'],
  doc: 'A range of addresses for pods, tunnels or load balancers, and how packets to it travel.',
  spec: ipPoolSpec,
  status: object({ conditions: optional(conditions, 'Allocatable: whether addresses can be assigned from the pool.') }),
});

export const ipReservation = kind('IPReservation', {
  plural: 'ipreservations',
  shortNames: ['reservation'],
  doc: 'Addresses that are never assigned automatically.',
  spec: object({ reservedCIDRs: optional(list(network), 'The reserved addresses.') }),
});

export const ipamConfiguration = kind('IPAMConfiguration', {
  plural: 'ipamconfigurations',
  shortNames: ['ipamconfig'],
  doc: 'How blocks are given to nodes. The one in force is called default.',
  name: text({ name: 'name', pattern: /^default$/, remedy: 'call it default' }),
  spec: object(
    {
      strictAffinity: optional(boolean, 'Never borrow an address from a block of another node.'),
      maxBlocksPerHost: optional(integer(0), 'Blocks that one node may have; 0 means 20.'),
      autoAllocateBlocks: defaulted(boolean, true, 'Claim a new block when those of the node are full.'),
      kubeVirtVMAddressPersistence: optional(choice('Enabled', 'Disabled'), 'Keep the address of a KubeVirt machine.'),
      ipCooldownSeconds: optional(integer(0, 1200), 'Seconds for which a released address is not assigned again.'),
    },
    (spec, report) => {
      if (!spec.autoAllocateBlocks && !spec.strictAffinity) {
        report(
          'autoAllocateBlocks',
          'false needs strictAffinity',
          'set strictAffinity: true, or autoAllocateBlocks: true',
        );
      }
    },
    (spec, report) => {
      if ((spec.maxBlocksPerHost ?? 0) > 0 && !spec.strictAffinity) {
        report('maxBlocksPerHost', 'has no effect without strictAffinity', 'set strictAffinity: true, or 0 here');
      }
    },
  ),
  protectedNames: ['default'],
});

export const blockAffinity = kind('BlockAffinity', {
  plural: 'blockaffinities',
  doc: 'Which node has which block; written by IPAM.',
  readOnly: true,
  spec: object({
    state: required(choice('pending', 'confirmed', 'pendingDeletion'), 'Where the claim stands.'),
    node: required(text(), 'The node.'),
    type: optional(choice('host', 'virtual'), 'Whether a node or something virtual has the block.'),
    cidr: required(cidr(), 'The block.'),
    // Calico stores this boolean as text.
    deleted: optional(choice('true', 'false'), 'Whether the claim is being given up.'),
  }),
});
