// The rules of policies and profiles.

import { familyOfPrefix, parsePrefix } from '../../../net/prefix.ts';
import { forEachSound, unlessFaulty } from '../schema/guard.ts';
import { choice, describe, integer, integerChoice, text } from '../schema/scalars.ts';
import { labelKey, selector } from '../schema/scalars-names.ts';
import {
  cidr,
  type Port,
  type Protocol,
  parseProtocol,
  portMatch,
  protocol,
  protocolNumbers,
} from '../schema/scalars-net.ts';
import { list, map, object, optional, type Report, required } from '../schema/types.ts';

const anyText = text();

const entity = object(
  {
    nets: optional(list(cidr(), { maxItems: 256 }), 'Addresses in one of these networks.'),
    notNets: optional(list(cidr(), { maxItems: 256 }), 'Addresses in none of these networks.'),
    selector: optional(selector(), 'Endpoints and network sets with matching labels.'),
    notSelector: optional(selector(), 'Everything except endpoints and network sets with matching labels.'),
    namespaceSelector: optional(
      selector({ globalAllowed: true }),
      'Narrows selector to namespaces with matching labels; global(): to what is in no namespace.',
    ),
    ports: optional(list(portMatch, { maxItems: 50 }), 'One of these ports.'),
    notPorts: optional(list(portMatch, { maxItems: 50 }), 'None of these ports.'),
    serviceAccounts: optional(
      object({
        names: optional(list(anyText), 'Names of service accounts.'),
        selector: optional(selector(), 'Service accounts with matching labels.'),
      }),
      'Endpoints that run as one of these service accounts.',
    ),
    services: optional(
      object({
        name: required(text({ minLength: 1 }), 'Name of the Service.'),
        namespace: optional(anyText, 'Its namespace; that of the policy when absent.'),
      }),
      'The endpoints behind a Kubernetes Service.',
    ),
  },
  checkGlobalSelector,
  checkServices,
);

interface Entity {
  readonly nets?: readonly string[];
  readonly notNets?: readonly string[];
  readonly ports?: readonly Port[];
  readonly notPorts?: readonly Port[];
  readonly selector?: string;
  readonly notSelector?: string;
  readonly namespaceSelector?: string;
  readonly serviceAccounts?: unknown;
  readonly services?: unknown;
}

function checkGlobalSelector({ namespaceSelector }: Entity, report: Report): void {
  if (namespaceSelector?.includes('global(') && namespaceSelector.replaceAll(/[ \t]/g, '') !== 'global()') {
    report('namespaceSelector', 'combines global() with something else', 'write global() alone, or leave it out');
  }
}

const notWithServices = ['selector', 'notSelector', 'namespaceSelector', 'serviceAccounts', 'nets', 'notNets'] as const;

function checkServices(value: Entity, report: Report): void {
  if (!value.services) return;
  forEachSound(notWithServices, (field) => {
    const given = value[field];
    if (given && (!Array.isArray(given) || given.length > 0)) {
      report(field, 'does not combine with services', `remove ${field} or services`);
    }
  });
}

const icmp = object(
  {
    type: optional(integer(0, 254), 'ICMP type.'),
    code: optional(integer(0, 255), 'ICMP code; needs type.'),
  },
  (value, report) => {
    if (value.code !== undefined && value.type === undefined)
      report('type', 'is missing, with code', 'give the type too');
  },
);

const httpPath = object(
  { exact: optional(anyText, 'This path.'), prefix: optional(anyText, 'Paths that begin so.') },
  (value, report) => {
    const path = value.exact ?? value.prefix;
    if (path === undefined || (value.exact !== undefined && value.prefix !== undefined)) {
      report('', 'needs one of exact and prefix', 'give exactly one of the two');
    } else if (!path.startsWith('/') || /[?#\s]/.test(path)) {
      report(
        value.exact === undefined ? 'prefix' : 'exact',
        `${describe(path)} is not a path`,
        'begin with "/", without "?", "#" and blanks',
      );
    }
  },
);

const http = object(
  {
    methods: optional(list(anyText), 'One of these methods.'),
    paths: optional(list(httpPath), 'One of these paths.'),
  },
  (value, report) => {
    if (new Set(value.methods).size !== (value.methods?.length ?? 0))
      report('methods', 'has duplicates', 'name each once');
  },
);

export const rule = object(
  {
    action: required(choice('Allow', 'Deny', 'Log', 'Pass'), 'What happens to a packet that matches everything given.'),
    ipVersion: optional(integerChoice(4, 6), 'Only packets of this IP version.'),
    protocol: optional(protocol, 'Only this protocol.'),
    icmp: optional(icmp, 'Only this kind of ICMP; needs protocol ICMP or ICMPv6.'),
    notProtocol: optional(protocol, 'Any protocol but this.'),
    notICMP: optional(icmp, 'Any ICMP but this.'),
    source: optional(entity, 'Where the packet comes from.'),
    destination: optional(entity, 'Where the packet goes to.'),
    http: optional(http, 'Only such HTTP requests; needs a sidecar, action Allow and ingress.'),
    metadata: optional(
      object({ annotations: optional(map(labelKey, anyText), 'Free text by name.') }),
      'Notes for people and programs.',
    ),
  },
  checkPorts,
  checkServicePorts,
  checkIcmp,
  checkHttpProtocol,
  checkHttpAction,
  checkIcmpFamily,
  checkFamilies,
);

interface CheckedRule {
  readonly action: string;
  readonly ipVersion?: 4 | 6;
  readonly protocol?: Protocol;
  readonly notProtocol?: Protocol;
  readonly icmp?: unknown;
  readonly notICMP?: unknown;
  readonly http?: unknown;
  readonly source?: Entity;
  readonly destination?: Entity;
}

const withPorts: readonly number[] = [protocolNumbers.TCP, protocolNumbers.UDP, protocolNumbers.SCTP];
const numberOf = (value: Protocol | undefined): number | undefined =>
  value === undefined ? undefined : parseProtocol(value);

const sides = ['source', 'destination'] as const;

function checkPorts(value: CheckedRule, report: Report): void {
  forEachSound(sides, (side) =>
    forEachSound(['ports', 'notPorts'] as const, (field) => {
      if (!value[side]?.[field]?.length) return;
      const number = numberOf(value.protocol);
      if (number !== undefined && withPorts.includes(number)) return;
      report(`${side}.${field}`, 'need a protocol that has ports', 'set protocol to TCP, UDP or SCTP');
    }),
  );
}

function checkServicePorts({ destination }: CheckedRule, report: Report): void {
  forEachSound(['ports', 'notPorts'] as const, (field) => {
    if (!destination?.[field]?.length || !destination.services) return;
    const remedy = 'remove them: the ports are those of the Service';
    report(`destination.${field}`, 'do not combine with services', remedy);
  });
}

function checkIcmp(value: CheckedRule, report: Report): void {
  const isIcmp = icmpFamily(numberOf(value.protocol)) !== undefined;
  forEachSound(['icmp', 'notICMP'] as const, (field) => {
    if (value[field] && !isIcmp) report(field, 'needs protocol ICMP or ICMPv6', 'set protocol to ICMP or ICMPv6');
  });
}

function checkHttpProtocol({ http, protocol: given }: CheckedRule, report: Report): void {
  const number = numberOf(given);
  if (http && number !== undefined && number !== protocolNumbers.TCP) {
    report('http', 'needs protocol TCP', 'set protocol to TCP or remove it');
  }
}

function checkHttpAction({ http, action }: CheckedRule, report: Report): void {
  if (http && action !== 'Allow') report('http', 'is for action Allow only', 'remove it');
}

function checkIcmpFamily(value: CheckedRule, report: Report): void {
  const { ipVersion } = value;
  forEachSound(['protocol', 'notProtocol'] as const, (field) => {
    const family = icmpFamily(numberOf(value[field]));
    if (family && ipVersion && ipVersion !== family) {
      report('ipVersion', `does not fit ${field} ${value[field]}`, `set ipVersion to ${family} or remove it`);
    }
  });
}

/** One rule is about one IP version: its networks and its ipVersion agree. */
function checkFamilies(value: CheckedRule, report: Report): void {
  const wanted = new Map<4 | 6, string>();
  unlessFaulty(() => value.ipVersion && wanted.set(value.ipVersion, 'ipVersion'));
  forEachSound(sides, (side) =>
    forEachSound(['nets', 'notNets'] as const, (field) =>
      forEachSound(value[side]?.[field], (net, i) => {
        const prefix = parsePrefix(net);
        if (!prefix) return;
        const family = familyOfPrefix(prefix);
        const other = wanted.get(family === 4 ? 6 : 4);
        if (other)
          report(`${side}.${field}[${i}]`, `${net} is IPv${family}, against ${other}`, 'make one rule per IP version');
        else if (!wanted.has(family)) wanted.set(family, `${side}.${field}[${i}]`);
      }),
    ),
  );
}

const icmpFamily = (number: number | undefined): 4 | 6 | undefined =>
  number === protocolNumbers.ICMP ? 4 : number === protocolNumbers.ICMPv6 ? 6 : undefined;

export const rules = list(rule, { maxItems: 1024 });
export const unlimitedRules = list(rule);
