// How a Felix parameter is declared, and the types that only Felix has.

import { duration, integer, text } from '../../schema/scalars.ts';
import { network, portNumber, portRange } from '../../schema/scalars-net.ts';
import { list, map, object, optional, required, type Type } from '../../schema/types.ts';

export interface FelixParameter<S extends Type = Type> {
  /** As in felix.cfg; in the environment FELIX_ and this, in upper case. */
  readonly name: string;
  readonly type: S;
  /** In the notation of felix.cfg; empty: no default. */
  readonly default: string;
  /** One sentence. */
  readonly doc: string;
}

export const parameter = <S extends Type>(
  name: string,
  type: S,
  fallback: string | number | boolean,
  doc: string,
): FelixParameter<S> => ({ name, type, default: String(fallback), doc });

export const anyText = text();

/** A regular expression, or several separated by commas. */
export const pattern = text({ name: 'regular expression' });

export const markMask = integer(0, 0xffffffff);

export const protoPorts = list(
  object({
    net: optional(network, 'Only for addresses of this network.'),
    protocol: required(
      {
        kind: 'scalar',
        name: 'TCP | UDP | SCTP',
        jsonSchema: { type: 'string' },
        read: (value: unknown) => text({ name: 'TCP, UDP or SCTP', pattern: /^(tcp|udp|sctp)$/i }).read(value),
      } as const,
      'Protocol.',
    ),
    port: required(portNumber, 'Port.'),
  }),
);

export const portRanges = list(portRange, { maxItems: 7 });

export const tableRange = object(
  { min: required(integer(1, 0xffffffff), 'First table.'), max: required(integer(1, 0xffffffff), 'Last table.') },
  (value, report) => {
    if (value.min > value.max) report('min', 'is greater than max', 'exchange them');
  },
);
export const tableRanges = list(tableRange);

export const healthTimeouts = list(
  object({ name: required(anyText, 'Name of the part.'), timeout: required(duration(), 'Its time-out.') }),
);

export const texts = list(anyText);
export const networks = list(network);
export const textMap = map(anyText, anyText);

const timeout = (doc: string) =>
  optional(text({ name: 'duration or Auto', pattern: /^(Auto|(\d+(\.\d*)?(ms|s|m|h))+)$/ }), doc);
export const conntrackTimeouts = object({
  creationGracePeriod: timeout('Time in which an entry is not cleaned up.'),
  tcpPreEstablished: timeout('TCP before the handshake is complete.'),
  tcpSynSent: timeout('TCP after a SYN.'),
  tcpEstablished: timeout('TCP connections.'),
  tcpFinsSeen: timeout('TCP after FINs of both sides.'),
  tcpResetSeen: timeout('TCP after a reset.'),
  udpTimeout: timeout('UDP.'),
  udpLastSeen: timeout('UDP, since the last packet.'),
  genericTimeout: timeout('Other protocols.'),
  genericIPLastSeen: timeout('Other protocols, since the last packet.'),
  icmpTimeout: timeout('ICMP.'),
  icmpLastSeen: timeout('ICMP, since the last packet.'),
});
