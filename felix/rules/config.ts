// What of the Felix parameters shapes the rules.

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
  readonly dropInvalid: boolean;
  readonly logPrefix: string;
  /** "10/second"; absent: every packet. */
  readonly logRate?: string;
  readonly logBurst: number;
  readonly nat: NatConfig;
}

export interface NatConfig {
  /** Source address for outgoing packets; absent: that of the interface. */
  readonly address?: string;
  /** "first-last". */
  readonly ports?: string;
  readonly random: boolean;
}

/** From Felix parameters by their names, see felix/config.ts; an absent one has its default. */
export function rulesConfig(parameters: Readonly<Record<string, string>> = {}): RulesConfig {
  const text = (name: string, otherwise: string): string => parameters[name] ?? otherwise;
  // Whichever of the two spellings was changed; nftables' own first.
  const either = (name: string, otherwise: string): string => {
    const [own, old] = [text(`Nftables${name}`, otherwise), text(`Iptables${name}`, otherwise)];
    return own === otherwise ? old : own;
  };
  const passMark = lowestBit(Number(either('MarkMask', '0xffff0000')));
  const limit = parameters['LogActionRateLimit'];
  const address = parameters['NATOutgoingAddress'];
  const ports = parameters['NATPortRange']?.replace(':', '-');
  return {
    interfacePrefixes: text('InterfacePrefix', 'cali')
      .split(',')
      .filter((prefix) => prefix !== ''),
    endpointToHostAction: hostAction(text('DefaultEndpointToHostAction', 'Drop')),
    denyVerdict: either('FilterDenyAction', 'Drop').toLowerCase() === 'reject' ? 'reject' : 'drop',
    passMark: hex(passMark),
    withoutPassMark: hex(~passMark),
    dropInvalid: text('DisableConntrackInvalidCheck', 'false') !== 'true',
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

const lowestBit = (mask: number): number => (mask & -mask) >>> 0;
const hex = (value: number): string => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
