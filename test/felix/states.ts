// Named states of the calculation's output, and the table that each renders to.

import type { CalcUpdate } from '../../felix/calc/output.ts';
import { DesiredTable } from '../../felix/dataplane/table.ts';
import { ipSet, policyUpdate, port, portMember, prefix, profileUpdate, rule, tier, workload } from './updates.ts';

const open = profileUpdate('kns.web', [rule('allow')], [rule('allow')]);
const web = ['10.65.0.1', 'fd00:65::1'];

export const states: Readonly<Record<string, readonly CalcUpdate[]>> = {
  empty: [],
  'one endpoint with a profile': [open, workload('web/a', 'cali1', web, { profiles: ['kns.web'] })],
  'an endpoint without profile or policy': [workload('web/a', 'cali1', web)],
  'two endpoints share their chains': [
    open,
    policyUpdate('NetworkPolicy/web/p', {
      ingress: [rule('allow', { protocol: 6, destination: { ports: [port(80)] } })],
    }),
    ...['a', 'b'].map((name, i) =>
      workload(`web/${name}`, `cali${i}`, [`10.65.0.${i}`], {
        tiers: [tier(['NetworkPolicy/web/p'], [])],
        profiles: ['kns.web'],
      }),
    ),
  ],
  'tiers with pass': [
    open,
    policyUpdate('GlobalNetworkPolicy//first', {
      tier: 'security',
      ingress: [
        rule('deny', { source: { prefixes: [prefix('10.9.0.0/16')] } }),
        rule('pass', { source: { prefixes: [prefix('10.0.0.0/8'), prefix('fd00::/8')] } }),
      ],
    }),
    policyUpdate('NetworkPolicy/web/second', { ingress: [rule('log'), rule('allow', { protocol: 17 })] }),
    workload('web/a', 'cali1', web, {
      tiers: [
        tier(['GlobalNetworkPolicy//first'], [], { name: 'security' }),
        tier(['NetworkPolicy/web/second'], [], { name: 'app', defaultAction: 'pass' }),
      ],
      profiles: ['kns.web'],
    }),
  ],
  'only staged policies in a tier': [
    open,
    policyUpdate('StagedNetworkPolicy/web/try', {
      staged: true,
      ingress: [rule('deny', { protocol: 6 }), rule('pass')],
    }),
    workload('web/a', 'cali1', web, {
      tiers: [tier(['StagedNetworkPolicy/web/try'], [])],
      profiles: ['kns.web'],
    }),
  ],
  'selectors, named ports and what is not wanted': [
    ipSet('s:clients', '10.65.0.7', '10.66.0.0/16', '10.66.1.0/24', 'fd00:65::7'),
    ipSet('s:bad', '10.65.0.8'),
    ipSet('s:nobody'),
    {
      kind: 'ip-set',
      id: 'n:http',
      type: 'address-ports',
      members: [portMember('10.65.0.1', 6, 8080), portMember('fd00:65::1', 6, 8080)],
    },
    policyUpdate('NetworkPolicy/web/p', {
      ingress: [
        rule('allow', {
          protocol: 6,
          source: { ipSets: ['s:clients'], notIpSets: ['s:bad'], notPrefixes: [prefix('10.66.3.0/24')] },
          destination: { ports: [port(80), port(90, 99)], namedPortSets: ['n:http'], notPorts: [port(95)] },
        }),
        rule('allow', { source: { ipSets: ['s:nobody'] } }),
        rule('deny', { notProtocol: 17, destination: { notNamedPortSets: ['n:http'] } }),
      ],
      egress: [
        rule('allow', { protocol: 1, icmp: { type: 8 } }),
        rule('allow', { protocol: 1, icmp: { type: 3, code: 4 } }),
        rule('allow', { protocol: 58, notIcmp: { type: 128, code: 0 } }),
        rule('allow', { protocol: 1, notIcmp: { type: 13 } }),
        rule('allow', { family: 6, protocol: 132, source: { ports: [port(1000, 2000)] } }),
      ],
    }),
    workload('web/a', 'cali1', web, {
      tiers: [tier(['NetworkPolicy/web/p'], ['NetworkPolicy/web/p'])],
      allowedSourcePrefixes: [prefix('10.99.0.0/16'), prefix('10.99.1.0/24'), prefix('fd99::/64')],
    }),
  ],
  'rules that fold into lookups': [
    policyUpdate('GlobalNetworkPolicy//many', {
      ingress: [
        ...[1, 2, 3, 4, 5].map((i) =>
          rule('allow', {
            protocol: 6,
            source: { prefixes: [prefix(`10.${i}.0.0/16`)] },
            destination: { ports: [port(80)] },
          }),
        ),
        ...[1, 2, 3, 4].map((i) => rule('deny', { protocol: 17, destination: { ports: [port(50 + i)] } })),
      ],
    }),
    workload('web/a', 'cali1', web, { tiers: [tier(['GlobalNetworkPolicy//many'], [])] }),
  ],
  'pools with and without natOutgoing': [
    { kind: 'pool', pool: { prefix: prefix('10.65.0.0/16'), natOutgoing: true } },
    { kind: 'pool', pool: { prefix: prefix('10.65.64.0/18'), natOutgoing: false } },
    { kind: 'pool', pool: { prefix: prefix('10.66.0.0/16'), natOutgoing: false } },
    { kind: 'pool', pool: { prefix: prefix('fd00:65::/64'), natOutgoing: true } },
  ],
  'parameters that shape rules': [
    {
      kind: 'config',
      parameters: {
        InterfacePrefix: 'cali,tap',
        DefaultEndpointToHostAction: 'Accept',
        NftablesFilterDenyAction: 'Reject',
        IptablesMarkMask: '0x0ff00000',
        DisableConntrackInvalidCheck: 'true',
        LogPrefix: 'drop %p',
        LogActionRateLimit: '10/second',
        NATPortRange: '32768:65535',
        NATOutgoingAddress: '192.0.2.77',
      },
    },
    policyUpdate('NetworkPolicy/web/p', { ingress: [rule('log'), rule('pass')] }),
    workload('web/a', 'tap1', web, { tiers: [tier(['NetworkPolicy/web/p'], [])] }),
  ],
};

export const rendered = (updates: readonly CalcUpdate[]): DesiredTable => {
  const table = new DesiredTable();
  for (const update of updates) table.receive(update);
  table.render();
  return table;
};
