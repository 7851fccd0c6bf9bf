// Named states of the datastore, and the lines that the output must describe as (describe-output.ts) on the node "here".

import { entry, key, namespace, pod } from './world.ts';

export interface NamedState {
  readonly world: readonly (readonly [string, string])[];
  readonly lines: readonly string[];
}

const web = pod(
  'here',
  'prod/web',
  '10.0.0.1',
  { app: 'web' },
  { ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] },
);
const client = pod('there', 'prod/client', '10.0.1.1', { app: 'client' });
const stranger = pod('there', 'test/client', '10.0.1.2', { app: 'client' });
const prod = namespace('prod', { stage: 'prod' });
const test = namespace('test', { stage: 'test' });
const webId = 'prod/here-k8s-web-eth0';
const allow = { action: 'Allow' };
const deny = { action: 'Deny' };

function policy(path: string, spec: Readonly<Record<string, unknown>>): [string, string] {
  return entry('NetworkPolicy', path, { spec });
}
function globalPolicy(name: string, spec: Readonly<Record<string, unknown>>): [string, string] {
  return entry('GlobalNetworkPolicy', name, { spec });
}

export const states: Readonly<Record<string, NamedState>> = {
  'nothing local': { world: [prod, client, policy('prod/a', { ingress: [allow] })], lines: [] },

  'a pod without policy': { world: [prod, web], lines: [`${webId}: kns.prod`] },

  'a policy between pods': {
    world: [
      prod,
      test,
      web,
      client,
      stranger,
      policy('prod/web', {
        selector: "app == 'web'",
        ingress: [
          {
            action: 'Allow',
            protocol: 'TCP',
            source: { selector: "app == 'client'" },
            destination: { ports: [80, '81:90', 'http'] },
          },
        ],
      }),
    ],
    lines: [
      'NetworkPolicy/prod/web in: allow 6 from {10.0.1.1/32} to :80-90 :{10.0.0.1,6:8080}',
      `${webId}: default(deny) in NetworkPolicy/prod/web; kns.prod`,
    ],
  },

  'namespace and service account selectors': {
    world: [
      prod,
      test,
      web,
      client,
      stranger,
      pod(
        'there',
        'test/robot',
        '10.0.1.3',
        {},
        { serviceAccountName: 'robot', profiles: ['kns.test', 'ksa.test.robot'] },
      ),
      entry('Profile', 'ksa.test.robot', { spec: { labelsToApply: { 'pcsa.team': 'blue' } } }),
      entry('GlobalNetworkSet', 'office', { labels: { kind: 'office' }, spec: { nets: ['192.0.2.0/24'] } }),
      policy('prod/web', {
        selector: "app == 'web'",
        ingress: [
          { ...allow, source: { namespaceSelector: "stage == 'test'" } },
          { ...allow, source: { namespaceSelector: 'all()', selector: "app == 'client'" } },
          { ...allow, source: { namespaceSelector: 'global()' } },
          { ...allow, source: { namespaceSelector: 'all()', serviceAccounts: { names: ['robot'] } } },
          { ...allow, source: { namespaceSelector: 'all()', serviceAccounts: { selector: "team == 'blue'" } } },
          { ...allow, source: { serviceAccounts: { names: ['robot'] } } },
          { ...allow, source: { notSelector: "app == 'client'" } },
        ],
      }),
    ],
    lines: [
      'NetworkPolicy/prod/web in: allow from {10.0.0.1/32 10.0.1.1/32} not {10.0.1.1/32 10.0.1.2/32}',
      'NetworkPolicy/prod/web in: allow from {10.0.1.1/32 10.0.1.2/32}',
      'NetworkPolicy/prod/web in: allow from {10.0.1.2/32 10.0.1.3/32}',
      'NetworkPolicy/prod/web in: allow from {10.0.1.3/32}',
      'NetworkPolicy/prod/web in: allow from {10.0.1.3/32}',
      'NetworkPolicy/prod/web in: allow from {192.0.2.0/24}',
      'NetworkPolicy/prod/web in: allow from {}',
      `${webId}: default(deny) in NetworkPolicy/prod/web; kns.prod`,
    ],
  },

  'tiers and orders': {
    world: [
      prod,
      web,
      entry('Tier', 'security', { spec: { order: 10, defaultAction: 'Pass' } }),
      entry('Tier', 'last', {}),
      globalPolicy('z', { tier: 'security', order: 1, egress: [deny] }),
      globalPolicy('y', { tier: 'security', order: 2, types: ['Ingress', 'Egress'], ingress: [{ action: 'Pass' }] }),
      globalPolicy('late', { tier: 'last', ingress: [allow] }),
      policy('prod/no-order', { ingress: [allow] }),
      policy('prod/b', { order: 5, ingress: [allow] }),
      policy('prod/a', { order: 5, ingress: [allow] }),
      policy('prod/other', { selector: "app == 'other'", ingress: [allow] }),
    ],
    lines: [
      'GlobalNetworkPolicy//late in: allow',
      'GlobalNetworkPolicy//y in: pass',
      'GlobalNetworkPolicy//z out: deny',
      'NetworkPolicy/prod/a in: allow',
      'NetworkPolicy/prod/b in: allow',
      'NetworkPolicy/prod/no-order in: allow',
      `${webId}: security(pass) in GlobalNetworkPolicy//y out GlobalNetworkPolicy//z GlobalNetworkPolicy//y; ` +
        'default(deny) in NetworkPolicy/prod/a NetworkPolicy/prod/b NetworkPolicy/prod/no-order; ' +
        'last(deny) in GlobalNetworkPolicy//late; kns.prod',
    ],
  },

  'types by default': {
    world: [
      prod,
      web,
      policy('prod/both', { ingress: [allow], egress: [allow] }),
      policy('prod/egress', { egress: [allow] }),
      policy('prod/empty-types', { types: [], egress: [allow] }),
      policy('prod/ingress', { ingress: [allow] }),
      policy('prod/neither', {}),
      policy('prod/unlisted', { types: ['Ingress'], egress: [allow] }),
    ],
    lines: [
      'NetworkPolicy/prod/both in: allow',
      'NetworkPolicy/prod/both out: allow',
      'NetworkPolicy/prod/egress out: allow',
      'NetworkPolicy/prod/empty-types out: allow',
      'NetworkPolicy/prod/ingress in: allow',
      `${webId}: default(deny) in NetworkPolicy/prod/both NetworkPolicy/prod/ingress NetworkPolicy/prod/neither ` +
        'NetworkPolicy/prod/unlisted out NetworkPolicy/prod/both NetworkPolicy/prod/egress ' +
        'NetworkPolicy/prod/empty-types; kns.prod',
    ],
  },

  'networks that overlap': {
    world: [
      prod,
      web,
      entry('GlobalNetworkSet', 'wide', {
        labels: { s: '' },
        spec: { nets: ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3'] },
      }),
      entry('GlobalNetworkSet', 'twin', {
        labels: { s: '' },
        spec: { nets: ['10.0.0.0/8', '192.0.2.7/24', 'fd00::1'] },
      }),
      entry('NetworkSet', 'prod/own', { labels: { s: '' }, spec: { nets: ['192.0.2.77', 'fd00::/64'] } }),
      globalPolicy('all', {
        ingress: [
          { ...deny, source: { selector: 'has(s)' } },
          { ...deny, source: { selector: "has(s) && projectcalico.org/namespace == 'prod'" } },
          { ...deny, source: { nets: ['10.0.0.0/8', '10.0.0.0/16', '11.0.0.0/8'] } },
        ],
      }),
    ],
    lines: [
      'GlobalNetworkPolicy//all in: deny from 10.0.0.0/8,11.0.0.0/8',
      'GlobalNetworkPolicy//all in: deny from {10.0.0.0/8 192.0.2.0/24 fd00::/64}',
      'GlobalNetworkPolicy//all in: deny from {192.0.2.77/32 fd00::/64}',
      `${webId}: default(deny) in GlobalNetworkPolicy//all; kns.prod`,
    ],
  },

  'an address that two pods claim': {
    world: [
      prod,
      web,
      client,
      pod('there', 'prod/heir', '10.0.1.1,fd00::1', { app: 'client' }),
      policy('prod/web', { ingress: [{ ...allow, source: { selector: "app == 'client'" } }] }),
    ],
    lines: [
      'NetworkPolicy/prod/web in: allow from {10.0.1.1/32 fd00::1/128}',
      `${webId}: default(deny) in NetworkPolicy/prod/web; kns.prod`,
    ],
  },

  'own labels do not lie about the namespace': {
    world: [
      prod,
      test,
      pod('here', 'test/liar', '10.0.0.9', { 'projectcalico.org/namespace': 'prod', app: 'web' }),
      policy('prod/web', { ingress: [allow] }),
      policy('test/own', { egress: [{ ...allow, destination: { selector: "app == 'web'" } }] }),
    ],
    lines: [
      'NetworkPolicy/test/own out: allow to {10.0.0.9/32}',
      'test/here-k8s-liar-eth0: default(deny) out NetworkPolicy/test/own; kns.test',
    ],
  },

  'protocols and ICMP': {
    world: [
      prod,
      web,
      policy('prod/web', {
        ingress: [
          { ...allow, protocol: 'ICMP', icmp: { type: 8 } },
          { ...allow, protocol: 'ICMPv6', notICMP: { type: 128, code: 0 } },
          { ...allow, notProtocol: 'SCTP', ipVersion: 6 },
          { ...allow, protocol: 89 },
          { action: 'Log', protocol: 'UDPLite' },
          { ...deny, protocol: 'UDP', source: { notNets: ['10.0.0.0/8'], notPorts: [53, 'http'] } },
        ],
      }),
    ],
    lines: [
      'NetworkPolicy/prod/web in: allow 1 icmp 8/*',
      'NetworkPolicy/prod/web in: allow 58 not icmp 128/0',
      'NetworkPolicy/prod/web in: allow 89',
      'NetworkPolicy/prod/web in: allow v6 not 132',
      'NetworkPolicy/prod/web in: deny 17 from not 10.0.0.0/8 not :53 not :{}',
      'NetworkPolicy/prod/web in: log 136',
      `${webId}: default(deny) in NetworkPolicy/prod/web; kns.prod`,
    ],
  },

  'what cannot be read denies': {
    world: [
      prod,
      web,
      client,
      entry('GlobalNetworkSet', 'half', { labels: { s: 'x' }, spec: { nets: ['10.0.0.0/8', 'nonsense'] } }),
      policy('prod/rule', { order: 1, ingress: [allow, { ...allow, protocol: 'nonsense' }, allow] }),
      policy('prod/selector', {
        order: 2,
        selector: 'app ==',
        ingress: [{ ...allow, source: { selector: 's == "x"' } }],
      }),
      policy('prod/order', { order: 'first', ingress: [allow] }),
      policy('prod/tier', { tier: 'missing', ingress: [allow] }),
      globalPolicy('elsewhere', { selector: "app == 'client'", ingress: 'nonsense' }),
      globalPolicy('no-rules', { selector: "app == 'web'", ingress: 'nonsense' }),
      [key('NetworkPolicy', 'prod/garbage'), '{'],
      [key('NetworkPolicy', 'test/garbage'), 'null'],
      globalPolicy('http', {
        order: 3,
        ingress: [
          { ...allow, http: { methods: ['GET'] } },
          { action: 'Pass', source: { services: { name: 'a', namespace: 'b' } } },
        ],
      }),
    ],
    lines: [
      'GlobalNetworkPolicy//http in: deny',
      'GlobalNetworkPolicy//no-rules in: deny',
      'GlobalNetworkPolicy//no-rules out: deny',
      'NetworkPolicy/prod/garbage in: deny',
      'NetworkPolicy/prod/garbage out: deny',
      'NetworkPolicy/prod/order in: deny',
      'NetworkPolicy/prod/rule in: allow',
      'NetworkPolicy/prod/rule in: allow',
      'NetworkPolicy/prod/rule in: deny',
      'NetworkPolicy/prod/selector in: deny',
      'NetworkPolicy/prod/tier in: deny',
      'NetworkPolicy/prod/tier out: deny',
      `${webId}: ?(deny) in NetworkPolicy/prod/garbage out NetworkPolicy/prod/garbage; missing(deny) in NetworkPolicy/prod/tier; ` +
        'default(deny) in NetworkPolicy/prod/order NetworkPolicy/prod/rule NetworkPolicy/prod/selector ' +
        'GlobalNetworkPolicy//http GlobalNetworkPolicy//no-rules out GlobalNetworkPolicy//no-rules; kns.prod',
    ],
  },

  'an endpoint whose profile is missing': {
    world: [web, entry('StagedNetworkPolicy', 'prod/idea', { spec: { ingress: [deny] } })],
    lines: [
      'StagedNetworkPolicy/prod/idea in: deny',
      `${webId}: default(deny) in StagedNetworkPolicy/prod/idea; kns.prod`,
    ],
  },

  'host endpoints': {
    world: [
      prod,
      web,
      entry('HostEndpoint', 'all', {
        labels: { host: '' },
        spec: { node: 'here', interfaceName: '*', profiles: ['p'] },
      }),
      entry('HostEndpoint', 'nic', {
        labels: { host: '' },
        spec: { node: 'here', expectedIPs: ['192.0.2.1', '2001:db8::1'] },
      }),
      entry('HostEndpoint', 'far', {
        labels: { host: '' },
        spec: {
          node: 'there',
          interfaceName: 'eth0',
          expectedIPs: ['192.0.2.2'],
          ports: [{ name: 'ssh', protocol: 'TCP', port: 22 }],
        },
      }),
      entry('HostEndpoint', 'odd', { labels: { host: 'x y' }, spec: { node: 'here', interfaceName: 'eth1' } }),
      globalPolicy('normal', {
        selector: 'has(host)',
        ingress: [{ ...allow, source: { namespaceSelector: 'global()', selector: 'has(host)' } }],
        egress: [{ ...allow, protocol: 'TCP', destination: { ports: ['ssh'] } }],
      }),
      globalPolicy('forward', { order: 1, selector: 'has(host)', applyOnForward: true, ingress: [deny] }),
      globalPolicy('pre', { selector: 'has(host)', applyOnForward: true, preDNAT: true, ingress: [deny] }),
      globalPolicy('raw', {
        selector: 'all()',
        applyOnForward: true,
        doNotTrack: true,
        ingress: [allow],
        egress: [allow],
      }),
    ],
    lines: [
      'GlobalNetworkPolicy//forward in: deny',
      'GlobalNetworkPolicy//normal in: allow from {192.0.2.1/32 192.0.2.2/32 2001:db8::1/128}',
      'GlobalNetworkPolicy//normal out: allow 6 to :{192.0.2.2,6:22}',
      'GlobalNetworkPolicy//pre in: deny',
      'GlobalNetworkPolicy//raw in: allow',
      'GlobalNetworkPolicy//raw out: allow',
      'all forward: default(deny) in GlobalNetworkPolicy//forward',
      'all on *: default(deny) in GlobalNetworkPolicy//forward GlobalNetworkPolicy//normal out GlobalNetworkPolicy//normal; p',
      'all pre-dnat: default(deny) in GlobalNetworkPolicy//pre',
      'all untracked: default(deny) in GlobalNetworkPolicy//raw out GlobalNetworkPolicy//raw',
      'nic forward: default(deny) in GlobalNetworkPolicy//forward',
      'nic on 192.0.2.1 2001:db8::1: default(deny) in GlobalNetworkPolicy//forward GlobalNetworkPolicy//normal out GlobalNetworkPolicy//normal; ',
      'nic pre-dnat: default(deny) in GlobalNetworkPolicy//pre',
      'nic untracked: default(deny) in GlobalNetworkPolicy//raw out GlobalNetworkPolicy//raw',
      'odd forward: default(deny) in GlobalNetworkPolicy//forward',
      'odd on eth1: default(deny) in GlobalNetworkPolicy//forward GlobalNetworkPolicy//normal out GlobalNetworkPolicy//normal; ?',
      'odd pre-dnat: default(deny) in GlobalNetworkPolicy//pre',
      'odd untracked: default(deny) in GlobalNetworkPolicy//raw out GlobalNetworkPolicy//raw',
      `${webId}: kns.prod`,
    ],
  },

  'a profile of which nothing can be read': {
    world: [[key('Profile', 'kns.prod'), '['], web, policy('prod/web', { ingress: [allow] })],
    lines: [
      'NetworkPolicy/prod/web in: allow',
      'Profile//unreadable in: deny',
      'Profile//unreadable out: deny',
      `${webId}: ?(deny) in Profile//unreadable out Profile//unreadable; default(deny) in NetworkPolicy/prod/web; kns.prod`,
    ],
  },

  'an endpoint that is not valid': {
    world: [
      prod,
      pod('here', 'prod/odd', '10.0.0.1', {}, { mac: 'nonsense' }),
      policy('prod/web', { ingress: [allow] }),
    ],
    lines: [],
  },
};
