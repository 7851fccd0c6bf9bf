// All that may pass between two ends, as a short list: "tcp: 80, 8000-8100; udp: nothing; icmp: yes".
//
// Verdicts change only at the ports that some rule of either end names. So one packet between each two of them, for each
// protocol that rules can tell apart, tells everything.

import { protocolNumbers } from '../../datastore/model/index.ts';
import type { CalcRule, PortRange } from '../calc/output.ts';
import type { End } from './ends.ts';
import { CLIENT_PORT, hasPorts, protocolName, type Traffic } from './packet.ts';
import type { PolicyWorld } from './policy-world.ts';

export interface Reach {
  readonly protocol: string;
  /** Undefined for protocols without ports: see `allowed`. */
  readonly ports?: readonly PortRange[];
  /** Whether anything of the protocol may pass. */
  readonly allowed: boolean;
}

const alwaysAsked = [protocolNumbers.TCP, protocolNumbers.UDP, protocolNumbers.SCTP, protocolNumbers.ICMP];

/** Or the problem that keeps it from being answered. */
export function reachBetween(world: PolicyWorld, source: End, destination: End): readonly Reach[] | string {
  const result = world.flow(source, destination, {
    protocol: protocolNumbers.TCP,
    sourcePort: CLIENT_PORT,
    destinationPort: 80,
  });
  if (result.kind === 'problem') return result.problem;
  const rules = [...world.rulesAt(source, 'egress'), ...world.rulesAt(destination, 'ingress')];
  const passes = (traffic: Traffic): boolean => {
    const answer = world.flow(source, destination, traffic);
    return answer.kind === 'flow' && answer.flow.allowed;
  };
  const starts = portStarts(rules, world.portsOf(destination));
  return protocolsIn(rules).map((protocol) => {
    const name = protocolName(protocol);
    if (!hasPorts(protocol)) {
      const icmp = protocol === protocolNumbers.ICMP ? { icmpType: 8, icmpCode: 0 } : {};
      return { protocol: name, allowed: passes({ protocol, ...icmp }) };
    }
    const ports = allowedRanges(starts, (destinationPort) =>
      passes({ protocol, sourcePort: CLIENT_PORT, destinationPort }),
    );
    return { protocol: name, ports, allowed: ports.length > 0 };
  });
}

function protocolsIn(rules: readonly CalcRule[]): readonly number[] {
  const protocols = new Set<number>(alwaysAsked);
  for (const { protocol, notProtocol } of rules) {
    if (protocol !== undefined) protocols.add(protocol);
    if (notProtocol !== undefined) protocols.add(notProtocol);
  }
  // ICMPv6 is what ICMP means between IPv6 addresses.
  protocols.delete(protocolNumbers.ICMPv6);
  return [...protocols];
}

/** Ports at which a verdict may begin to differ from that of the port before. */
function portStarts(rules: readonly CalcRule[], named: readonly number[]): readonly number[] {
  const starts = new Set([1]);
  const addRange = ({ first, last }: PortRange): void => {
    starts.add(first);
    if (last < 65535) starts.add(last + 1);
  };
  for (const { destination } of rules)
    for (const range of [...destination.ports, ...destination.notPorts]) addRange(range);
  for (const port of named) addRange({ first: port, last: port });
  starts.delete(0);
  return [...starts].sort((a, b) => a - b);
}

function allowedRanges(starts: readonly number[], passes: (port: number) => boolean): readonly PortRange[] {
  const ranges: PortRange[] = [];
  for (const [i, first] of starts.entries()) {
    if (!passes(first)) continue;
    const last = (starts[i + 1] ?? 65536) - 1;
    const previous = ranges.at(-1);
    if (previous?.last === first - 1) ranges[ranges.length - 1] = { first: previous.first, last };
    else ranges.push({ first, last });
  }
  return ranges;
}

export function formatReach(reach: Reach): string {
  if (!reach.ports) return reach.allowed ? 'allowed' : 'denied';
  if (reach.ports.length === 0) return 'denied';
  if (reach.ports.length === 1 && reach.ports[0]?.first === 1 && reach.ports[0].last === 65535) return 'all ports';
  return reach.ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}
