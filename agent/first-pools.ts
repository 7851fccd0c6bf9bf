// The pools that a node makes in a datastore that has none: twill-node's options and Calico's environment names for them.
//
// They say what a pool is like when it is made. A pool that is there is never changed by them.

import type { FirstPool } from '../datastore/bootstrap.ts';
import { flag, type OptionSpec, type OptionValues, optionalInteger, optionalText } from '../runtime/options.ts';

type Encapsulation = 'Always' | 'CrossSubnet' | 'Never';

const encapsulations: Readonly<Record<string, Encapsulation>> = {
  always: 'Always',
  crosssubnet: 'CrossSubnet',
  'cross-subnet': 'CrossSubnet',
  never: 'Never',
  off: 'Never',
};

const encapsulation = (spec: { readonly flag: string; readonly environment: string; readonly help: string }) =>
  ({
    ...spec,
    default: 'Never',
    value: 'mode',
    parse: (text) => {
      const mode = encapsulations[text.toLowerCase()];
      if (mode === undefined) throw new Error(`"${text}" is none of Never, Always, CrossSubnet`);
      return mode;
    },
  }) satisfies OptionSpec<Encapsulation>;

export const poolOptions = {
  ipv4Pool: optionalText({
    flag: 'ipv4-pool',
    environment: 'CALICO_IPV4POOL_CIDR',
    value: 'cidr',
    help: 'Make an IPv4 pool of these addresses when there is none yet; none: make none.',
  }),
  ipv4PoolBlockSize: optionalInteger({
    flag: 'ipv4-pool-block-size',
    environment: 'CALICO_IPV4POOL_BLOCK_SIZE',
    min: 20,
    max: 32,
    value: 'length',
    help: 'Prefix length of that pool’s blocks; absent: 26.',
  }),
  ipv4PoolIpip: encapsulation({
    flag: 'ipv4-pool-ipip',
    environment: 'CALICO_IPV4POOL_IPIP',
    help: 'Its ipipMode: Never, Always or CrossSubnet.',
  }),
  ipv4PoolVxlan: encapsulation({
    flag: 'ipv4-pool-vxlan',
    environment: 'CALICO_IPV4POOL_VXLAN',
    help: 'Its vxlanMode, likewise.',
  }),
  ipv4PoolNatOutgoing: flag({
    flag: 'ipv4-pool-nat-outgoing',
    environment: 'CALICO_IPV4POOL_NAT_OUTGOING',
    default: true,
    help: 'Its natOutgoing.',
  }),
  ipv4PoolNodeSelector: optionalText({
    flag: 'ipv4-pool-node-selector',
    environment: 'CALICO_IPV4POOL_NODE_SELECTOR',
    value: 'selector',
    help: 'Its nodeSelector; absent: all().',
  }),
  ipv4PoolDisableBgpExport: flag({
    flag: 'ipv4-pool-disable-bgp-export',
    environment: 'CALICO_IPV4POOL_DISABLE_BGP_EXPORT',
    default: false,
    help: 'Its disableBGPExport.',
  }),
  ipv6Pool: optionalText({
    flag: 'ipv6-pool',
    environment: 'CALICO_IPV6POOL_CIDR',
    value: 'cidr',
    help: 'The same for IPv6.',
  }),
  ipv6PoolBlockSize: optionalInteger({
    flag: 'ipv6-pool-block-size',
    environment: 'CALICO_IPV6POOL_BLOCK_SIZE',
    min: 116,
    max: 128,
    value: 'length',
    help: 'Prefix length of that pool’s blocks; absent: 122.',
  }),
  ipv6PoolVxlan: encapsulation({
    flag: 'ipv6-pool-vxlan',
    environment: 'CALICO_IPV6POOL_VXLAN',
    help: 'Its vxlanMode: Never, Always or CrossSubnet.',
  }),
  ipv6PoolNatOutgoing: flag({
    flag: 'ipv6-pool-nat-outgoing',
    environment: 'CALICO_IPV6POOL_NAT_OUTGOING',
    default: false,
    help: 'Its natOutgoing.',
  }),
  ipv6PoolNodeSelector: optionalText({
    flag: 'ipv6-pool-node-selector',
    environment: 'CALICO_IPV6POOL_NODE_SELECTOR',
    value: 'selector',
    help: 'Its nodeSelector; absent: all().',
  }),
  ipv6PoolDisableBgpExport: flag({
    flag: 'ipv6-pool-disable-bgp-export',
    environment: 'CALICO_IPV6POOL_DISABLE_BGP_EXPORT',
    default: false,
    help: 'Its disableBGPExport.',
  }),
  defaultPool: flag({
    flag: 'default-pool',
    default: false,
    help: 'When there is no IP pool at all, make them: 192.168.0.0/16, or the next private range that this machine does not use, and for IPv6 a random unique local /48.',
  }),
  ipv6Support: flag({
    flag: 'ipv6-support',
    environment: 'FELIX_IPV6SUPPORT',
    default: true,
    help: 'Whether an IPv6 pool is among those made by themselves.',
  }),
} as const;

export type PoolOptions = OptionValues<typeof poolOptions>;

/** The cidr that was asked for; undefined when none was, or when it says that there shall be none. */
export const askedFor = (cidr: string | undefined): string | undefined =>
  cidr === undefined || cidr === '' || cidr.toLowerCase() === 'none' ? undefined : cidr;

export function firstIpv4Pool(options: PoolOptions, cidr: string): FirstPool {
  return {
    cidr,
    ...(options.ipv4PoolBlockSize === undefined ? {} : { blockSize: options.ipv4PoolBlockSize }),
    ...(options.ipv4PoolNodeSelector === undefined ? {} : { nodeSelector: options.ipv4PoolNodeSelector }),
    ipipMode: options.ipv4PoolIpip,
    vxlanMode: options.ipv4PoolVxlan,
    natOutgoing: options.ipv4PoolNatOutgoing,
    disableBGPExport: options.ipv4PoolDisableBgpExport,
  };
}

export function firstIpv6Pool(options: PoolOptions, cidr: string): FirstPool {
  return {
    cidr,
    ...(options.ipv6PoolBlockSize === undefined ? {} : { blockSize: options.ipv6PoolBlockSize }),
    ...(options.ipv6PoolNodeSelector === undefined ? {} : { nodeSelector: options.ipv6PoolNodeSelector }),
    vxlanMode: options.ipv6PoolVxlan,
    natOutgoing: options.ipv6PoolNatOutgoing,
    disableBGPExport: options.ipv6PoolDisableBgpExport,
  };
}
