// How a Felix parameter is declared, and the types that only Felix has.

import { checkedText, duration, integer, regularExpression, text } from '../../schema/scalars.ts';
import { network, portNumber, portRange } from '../../schema/scalars-net.ts';
import { list, map, object, optional, Refused, required, type Type } from '../../schema/types.ts';
import { interfaceName } from '../common.ts';

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

export const pattern = regularExpression;

/** Names, or regular expressions between slashes, separated by commas. */
export const interfaceList = checkedText('list of interfaces', (value) => {
  for (const entry of value.split(',')) {
    const [, expression] = /^\/(.*)\/$/.exec(entry) ?? [];
    const read = expression === undefined ? interfaceName.read(entry) : regularExpression.read(expression);
    if (read instanceof Refused) return read;
  }
  return undefined;
});

/** They become part of rules, so nothing but names may come through. */
export const interfacePrefixes = text({
  name: 'list of prefixes',
  pattern: /^[a-zA-Z0-9_.-]{1,15}(,[a-zA-Z0-9_.-]{1,15})*$/,
  remedy: 'give what names of interfaces begin with, separated by commas: cali,tap',
});

/** A name, or with "+" at its end all that begin like it. */
export const interfaceFilter = text({
  name: 'interface filter',
  pattern: /^[a-zA-Z0-9:._+-]{1,15}$/,
  remedy: 'use at most 15 letters, digits, ":", "_", "." and "-", with "+" for any end',
});
export const interfaceFilters = list(interfaceFilter);

export const listenHost = text({
  name: 'host',
  pattern: /^[a-zA-Z0-9:._+-]{1,64}$/,
  remedy: 'give an address, or a name of at most 64 characters',
});

export const overrides = text({
  name: 'list of overrides',
  pattern: /^([\w-]+=(true|false|)(,|$))*$/,
  remedy: 'write name=true or name=false, separated by commas without blanks',
});

export const gates = text({
  name: 'list of gates',
  pattern: /^([\w-]+=[^=,]+(,|$))*$/,
  remedy: 'write name=value, separated by commas without blanks',
});

export const logRate = text({
  name: 'rate',
  pattern: /^[1-9]\d*\/(second|minute|hour|day)$/,
  remedy: 'write it as 10/second; also minute, hour, day',
});

export const markMask = integer(0, 0xffffffff);

export const protoPorts = list(
  object({
    net: optional(network, 'Only for addresses of this network.'),
    protocol: required(
      {
        kind: 'scalar',
        name: 'TCP | UDP | SCTP',
        jsonSchema: { type: 'string' },
        read: (value: unknown) =>
          text({ name: 'protocol', pattern: /^(tcp|udp|sctp)$/i, remedy: 'give TCP, UDP or SCTP' }).read(value),
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

/** The older setting knows the tables of one octet only. */
export const smallTableRange = object(
  { min: required(integer(1, 250), 'First table.'), max: required(integer(1, 250), 'Last table.') },
  (value, report) => {
    if (value.min > value.max) report('min', 'is greater than max', 'exchange them');
  },
);

export const healthTimeouts = list(
  object({ name: required(anyText, 'Name of the part.'), timeout: required(duration(), 'Its time-out.') }),
);

export const texts = list(anyText);
export const networks = list(network);
export const textMap = map(anyText, anyText);

const timeout = (doc: string) =>
  optional(
    text({
      name: 'duration or Auto',
      pattern: /^(Auto|(\d+(\.\d*)?(ms|s|m|h))+)$/,
      remedy: 'write Auto, or numbers with units, such as 90s or 1m30s',
    }),
    doc,
  );
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
