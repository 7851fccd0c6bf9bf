// Shows that converted NetworkPolicies mean what Kubernetes says: random policies and pods, the answer of the evaluator
// against a direct reading of the API's text (isolation by union, no order, both ends must allow).

import assert from 'node:assert/strict';
import { checkResource, type Resource } from '../../../datastore/model/index.ts';
import { PolicyWorld } from '../../../felix/explain/policy-world.ts';
import { namespaceProfile } from '../../../kube/namespace.ts';
import { convertNetworkPolicy } from '../../../kube/policy/network-policy.ts';
import { parseIpv4 } from '../../../net/address.ts';
import { parsePrefix, prefixContains } from '../../../net/prefix.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

type Labels = Readonly<Record<string, string>>;
interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly labels: Labels;
  readonly ports: Labels;
}
interface Expression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}
interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly Expression[];
}
interface Peer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}
interface Port {
  readonly protocol?: 'TCP' | 'UDP';
  readonly port?: number | string;
  readonly endPort?: number;
}
interface Rule {
  readonly ports?: readonly Port[];
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
}
interface Policy {
  readonly namespace: string;
  readonly name: string;
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes?: readonly string[];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
}
/** A pod, or an address outside. */
interface End {
  readonly address: string;
  readonly pod?: Pod;
}

const seed = Number(process.env['SEED'] ?? 1);
const random = seededRandom(seed);
const chance = (part: number): boolean => random() < part;
function pick<T>(values: readonly [T, ...T[]]): T {
  return values[randomInt(random, values.length)] ?? values[0];
}
const several = <T>(most: number, make: () => T): T[] => Array.from({ length: randomInt(random, most + 1) }, make);

const namespaceLabels: Readonly<Record<string, Labels>> = { n1: { team: 'x' }, n2: { team: 'y' }, n3: {} };

const randomSelector = (
  keys: readonly [string, ...string[]],
  values: readonly [string, ...string[]],
): LabelSelector => ({
  ...(chance(0.5) && { matchLabels: { [pick(keys)]: pick(values) } }),
  ...(chance(0.3) && {
    matchExpressions: [
      pick<Expression>([
        { key: pick(keys), operator: 'In', values: [pick(values), pick(values)] },
        { key: pick(keys), operator: 'NotIn', values: [pick(values)] },
        { key: pick(keys), operator: 'Exists' },
        { key: pick(keys), operator: 'DoesNotExist' },
      ]),
    ],
  }),
});
const podSelector = (): LabelSelector => randomSelector(['a', 'b'], ['1', '2']);
const namespaceSelector = (): LabelSelector =>
  randomSelector(['team', 'kubernetes.io/metadata.name'], ['x', 'y', 'n1', 'n3']);

const randomPeer = (): Peer =>
  pick<() => Peer>([
    () => ({ podSelector: podSelector() }),
    () => ({ namespaceSelector: namespaceSelector() }),
    () => ({ podSelector: podSelector(), namespaceSelector: namespaceSelector() }),
    () => ({
      ipBlock: {
        cidr: pick(['10.0.0.0/24', '0.0.0.0/0', '10.0.0.0/29']),
        ...(chance(0.5) && { except: ['10.0.0.2/31'] }),
      },
    }),
  ])();
const randomPort = (): Port => ({
  ...(chance(0.6) && { protocol: pick(['TCP', 'UDP']) }),
  ...(chance(0.8) && pick<Port>([{ port: 80 }, { port: 'web' }, { port: 79, endPort: 81 }, { port: 8080 }])),
});
const randomRule = (field: 'from' | 'to'): Rule => ({
  ...(chance(0.7) && { ports: several(2, randomPort) }),
  ...(chance(0.8) && { [field]: several(2, randomPeer) }),
});
const randomPolicy = (i: number): Policy => ({
  namespace: pick(['n1', 'n2', 'n3']),
  name: `p${i}`,
  spec: {
    podSelector: chance(0.3) ? {} : podSelector(),
    ...(chance(0.5) && { policyTypes: pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]) }),
    ...(chance(0.8) && { ingress: several(2, () => randomRule('from')) }),
    ...(chance(0.6) && { egress: several(2, () => randomRule('to')) }),
  },
});
const randomPod = (i: number): Pod => ({
  namespace: pick(['n1', 'n2', 'n3']),
  name: `pod-${i}`,
  address: `10.0.0.${i + 1}`,
  labels: { ...(chance(0.6) && { a: pick(['1', '2']) }), ...(chance(0.6) && { b: pick(['1', '2']) }) },
  ports: chance(0.5) ? { web: pick(['TCP/80', 'TCP/8080', 'UDP/80']) } : {},
});

function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const isListed = value !== undefined && values.includes(value);
      return operator === 'In' ? isListed : !isListed;
    })
  );
}

const within = (cidr: string, address: string): boolean => {
  const [prefix, value] = [parsePrefix(cidr), parseIpv4(address)];
  return prefix !== undefined && value !== undefined && prefixContains(prefix, value);
};

function isPeer(peer: Peer, end: End, ownNamespace: string): boolean {
  if (peer.ipBlock) {
    const { cidr, except = [] } = peer.ipBlock;
    return within(cidr, end.address) && !except.some((left) => within(left, end.address));
  }
  if (!end.pod) return false;
  const { namespace, labels } = end.pod;
  const ofNamespace = { ...namespaceLabels[namespace], 'kubernetes.io/metadata.name': namespace };
  const inNamespace = peer.namespaceSelector
    ? selects(peer.namespaceSelector, ofNamespace)
    : namespace === ownNamespace;
  return inNamespace && selects(peer.podSelector ?? {}, labels);
}

function isPort({ protocol = 'TCP', port, endPort }: Port, sent: string, number: number, destination: End): boolean {
  if (protocol !== sent) return false;
  if (port === undefined) return true;
  if (typeof port === 'string') return destination.pod?.ports[port] === `${protocol}/${number}`;
  return number >= port && number <= (endPort ?? port);
}

/** One end's answer, as the API's documentation has it. */
function admits(
  policies: readonly Policy[],
  self: End,
  other: End,
  direction: 'ingress' | 'egress',
  sent: string,
  port: number,
): boolean {
  const { pod } = self;
  if (!pod) return true;
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  const isolating = policies.filter(({ namespace, spec }) => {
    const types = spec.policyTypes ?? (spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress']);
    return namespace === pod.namespace && selects(spec.podSelector, pod.labels) && types.includes(type);
  });
  if (isolating.length === 0) return true;
  const destination = direction === 'ingress' ? self : other;
  return isolating.some(({ namespace, spec }) =>
    (spec[direction] ?? []).some(({ ports = [], from, to }) => {
      const peers = from ?? to ?? [];
      const peerFits = peers.length === 0 || peers.some((peer) => isPeer(peer, other, namespace));
      return peerFits && (ports.length === 0 || ports.some((one) => isPort(one, sent, port, destination)));
    }),
  );
}

function worldOf(policies: readonly Policy[], pods: readonly Pod[]): PolicyWorld {
  const drafts: unknown[] = Object.entries(namespaceLabels).map(([name, labels]) => namespaceProfile(name, labels));
  for (const { namespace, name, spec } of policies) {
    const result = convertNetworkPolicy({ metadata: { name, namespace }, spec });
    if (result.kind === 'invalid') throw new Error(JSON.stringify(result.faults));
    drafts.push(result.policy);
  }
  for (const { namespace, name, address, labels, ports } of pods) {
    const named = Object.entries(ports).map(([port, text]) => ({
      name: port,
      protocol: text.split('/')[0],
      port: Number(text.split('/')[1]),
    }));
    const spec = {
      orchestrator: 'k8s',
      node: 'n',
      pod: name,
      endpoint: 'eth0',
      interfaceName: `cali${name}`,
      ipNetworks: [`${address}/32`],
      profiles: [`kns.${namespace}`],
      ports: named,
    };
    const metadata = { name: `n-k8s-${name.replaceAll('-', '--')}-eth0`, namespace, labels };
    drafts.push({ kind: 'WorkloadEndpoint', apiVersion: 'projectcalico.org/v3', metadata, spec });
  }
  return PolicyWorld.of(
    drafts.map((draft): Resource => {
      const checked = checkResource(draft);
      if (checked.kind === 'invalid') throw new Error(JSON.stringify(checked.faults));
      return checked.resource;
    }),
  );
}

describe('Kubernetes NetworkPolicy, its meaning', function () {
  this.timeout(60_000);
  it('is that of the API, for random policies and pods', () => {
    const counts = { asked: 0, allowed: 0 };
    for (let round = 0; round < 60; round++) {
      const pods = Array.from({ length: 5 }, (_, i) => randomPod(i));
      const policies = Array.from({ length: 1 + randomInt(random, 4) }, (_, i) => randomPolicy(i));
      const world = worldOf(policies, pods);
      const ends: End[] = [...pods.map((pod) => ({ address: pod.address, pod })), { address: '198.51.100.1' }];
      for (const source of ends) {
        for (const destination of ends) {
          // A pod's traffic to itself is not policy's.
          if (source === destination) continue;
          for (const [sent, protocol, port] of [
            ['TCP', 6, 80],
            ['TCP', 6, 8080],
            ['UDP', 17, 80],
            ['TCP', 6, 22],
          ] as const) {
            const [from, to] = [world.end(source.address), world.end(destination.address)];
            if (from.kind === 'problem' || to.kind === 'problem') throw new Error('an address is an end');
            const result = world.flow(from.end, to.end, { protocol, sourcePort: 50_000, destinationPort: port });
            const expected =
              admits(policies, source, destination, 'egress', sent, port) &&
              admits(policies, destination, source, 'ingress', sent, port);
            counts.asked++;
            if (expected) counts.allowed++;
            const flow = result.kind === 'flow' ? result.flow : undefined;
            assert.equal(
              flow?.allowed,
              expected,
              `seed ${seed}, round ${round}: ${source.address} to ${destination.address} ${sent}/${port}\n` +
                `${JSON.stringify(policies)}\n${JSON.stringify(pods)}`,
            );
          }
        }
      }
    }
    assert.ok(counts.allowed > counts.asked / 10 && counts.allowed < (counts.asked * 9) / 10, JSON.stringify(counts));
  });
});
