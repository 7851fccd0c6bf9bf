// What of the Felix parameters shapes the rules.

import { type Prefix, parsePrefixOrAddress } from '../../net/prefix.ts';

/** Values are as they stand in rule texts. */
export interface RulesConfig {
  /** Interfaces of workloads begin so: ["cali"]. */
  readonly interfacePrefixes: readonly string[];
  /** What becomes of a workload's packet to its own node once its egress policy has allowed it. */
  readonly endpointToHostAction: 'drop' | 'accept' | 'return';
  readonly denyVerdict: 'drop' | 'reject';
  /** Set by a Pass rule, read and cleared by the tiers chain: one bit of the mark mask. */
  readonly passMark: string;
  /** All bits but the pass mark's. */
  readonly withoutPassMark: string;
  /** Set on what an untracked or pre-DNAT policy of a host endpoint allows: the mask's second bit. */
  readonly acceptedMark: string;
  readonly withoutAcceptedMark: string;
  readonly failsafe: { readonly inbound: readonly FailsafePort[]; readonly outbound: readonly FailsafePort[] };
  readonly dropInvalid: boolean;
  readonly encapsulation: Encapsulation;
  readonly logPrefix: string;
  /** "10/second"; absent: every packet. */
  readonly logRate?: string;
  readonly logBurst: number;
  readonly nat: NatConfig;
}

/** What workloads may send: whoever unpacks it would take what is inside for another's. */
export interface Encapsulation {
  readonly ipip: boolean;
  readonly vxlan: boolean;
  readonly vxlanPort: number;
}

export interface NatConfig {
  /** Source address for outgoing packets; absent: that of the interface. */
  readonly address?: string;
  /** "first-last". */
  readonly ports?: string;
  readonly random: boolean;
}

/** A port of the node that host policy can not close. */
export interface FailsafePort {
  readonly protocol: number;
  /** Of the other side; absent: anybody. */
  readonly prefix?: Prefix;
  readonly port: number;
}

/** From Felix parameters by their names, see felix/config.ts; an absent one has its default. */
export function rulesConfig(parameters: Readonly<Record<string, string>> = {}): RulesConfig {
  const text = (name: string, otherwise: string): string => parameters[name] ?? otherwise;
  // Whichever of the two spellings was changed; nftables' own first.
  const either = (name: string, otherwise: string): string => {
    const [own, old] = [text(`Nftables${name}`, otherwise), text(`Iptables${name}`, otherwise)];
    return own === otherwise ? old : own;
  };
  const markMask = Number(either('MarkMask', '0xffff0000'));
  const passMark = lowestBit(markMask);
  const acceptedMark = lowestBit(markMask & ~passMark);
  // They become part of rule texts: what is not well-formed counts as not given, or it would hold up everything else.
  const wellFormed = (name: string, form: RegExp): string | undefined => {
    const value = parameters[name];
    return value !== undefined && form.test(value) ? value : undefined;
  };
  const limit = wellFormed('LogActionRateLimit', /^[1-9]\d*\/(second|minute|hour|day)$/);
  const address = wellFormed('NATOutgoingAddress', /^\d+\.\d+\.\d+\.\d+$/);
  const ports = wellFormed('NATPortRange', /^\d+[:-]\d+$/)?.replace(':', '-');
  return {
    interfacePrefixes: text('InterfacePrefix', 'cali')
      .split(',')
      .filter((prefix) => /^[\w.-]{1,14}$/.test(prefix)),
    endpointToHostAction: hostAction(text('DefaultEndpointToHostAction', 'Drop')),
    denyVerdict: either('FilterDenyAction', 'Drop').toLowerCase() === 'reject' ? 'reject' : 'drop',
    passMark: hex(passMark),
    withoutPassMark: hex(~passMark),
    acceptedMark: hex(acceptedMark),
    withoutAcceptedMark: hex(~acceptedMark),
    failsafe: {
      inbound: parseFailsafe(text('FailsafeInboundHostPorts', defaultFailsafeInbound)),
      outbound: parseFailsafe(text('FailsafeOutboundHostPorts', defaultFailsafeOutbound)),
    },
    dropInvalid: text('DisableConntrackInvalidCheck', 'false') !== 'true',
    encapsulation: {
      ipip: text('AllowIPIPPacketsFromWorkloads', 'false') === 'true',
      vxlan: text('AllowVXLANPacketsFromWorkloads', 'false') === 'true',
      vxlanPort: Number(wellFormed('VXLANPort', /^\d{1,5}$/) ?? 4789),
    },
    logPrefix: text('LogPrefix', 'calico-packet'),
    ...(limit !== undefined && { logRate: limit }),
    logBurst: Number(text('LogActionRateLimitBurst', '5')),
    nat: { ...(address !== undefined && { address }), ...(ports !== undefined && { ports }), random: false },
  };
}

function hostAction(text: string): RulesConfig['endpointToHostAction'] {
  const action = text.toLowerCase();
  // Anything unknown denies.
  return action === 'accept' || action === 'return' ? action : 'drop';
}

/** "tcp:22,udp:10.0.0.0/8:68"; a bare number is TCP, "none" is nothing. */
function parseFailsafe(text: string): FailsafePort[] {
  return text.split(',').flatMap((entry) => {
    const [, protocol = 'tcp', net, port] = /^(?:(tcp|udp|sctp):)?(?:(.+):)?(\d+)$/i.exec(entry.trim()) ?? [];
    const number = failsafeProtocols[protocol.toLowerCase()];
    const prefix = net === undefined ? undefined : parsePrefixOrAddress(net.replace(/^\[(.*)\]/, '$1'));
    if (number === undefined || port === undefined || (net !== undefined && !prefix)) return [];
    return [{ protocol: number, port: Number(port), ...(prefix && { prefix }) }];
  });
}

const failsafeProtocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
const defaultFailsafeInbound = 'tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667';
const defaultFailsafeOutbound = 'udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667';

const lowestBit = (mask: number): number => (mask & -mask) >>> 0;
const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
