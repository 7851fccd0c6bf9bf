// Shows that converted ClusterNetworkPolicies mean what the API says: random policies beside Kubernetes NetworkPolicies, the
// answer of the evaluator against a direct reading of the text (Admin by priority, then NetworkPolicy, which is final for
// the pods it isolates, then Baseline, then allow).

import assert from 'node:assert/strict';
import { checkResource, type Resource } from '../../../datastore/model/index.ts';
import { PolicyWorld } from '../../../felix/explain/policy-world.ts';
import { namespaceProfile } from '../../../kube/namespace.ts';
import { convertClusterNetworkPolicy } from '../../../kube/policy/cluster-network-policy.ts';
import { convertNetworkPolicy } from '../../../kube/policy/network-policy.ts';
import { parseIpv4 } from '../../../net/address.ts';
import { parsePrefix, prefixContains } from '../../../net/prefix.ts';
import { randomInt, seededRandom } from '../../net/random.ts';

type Labels = Readonly<Record<string, string>>;
type Direction = 'ingress' | 'egress';
interface Selector {
  readonly matchLabels?: Labels;
}
interface Pods {
  readonly namespaceSelector: Selector;
  readonly podSelector: Selector;
}
interface Peer {
  readonly namespaces?: Selector;
  readonly pods?: Pods;
  readonly networks?: readonly string[];
}
interface Ports {
  readonly destinationPort?: {
    readonly number?: number;
    readonly range?: { readonly start: number; readonly end: number };
  };
}
interface Rule {
  readonly action: 'Accept' | 'Deny' | 'Pass';
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly protocols?: readonly { readonly tcp?: Ports; readonly udp?: Ports }[];
}
interface Policy {
  readonly tier: 'Admin' | 'Baseline';
  readonly priority: number;
  readonly subject: { readonly namespaces?: Selector; readonly pods?: Pods };
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}
interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly labels: Labels;
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
const several = <T>(most: number, make: () => T): T[] => Array.from({ length: 1 + randomInt(random, most) }, make);

const namespaceLabels: Readonly<Record<string, Labels>> = { n1: { team: 'x' }, n2: { team: 'y' }, n3: {} };
const podSelector = (): Selector => (chance(0.4) ? {} : { matchLabels: { a: pick(['1', '2']) } });
const namespaceSelector = (): Selector => (chance(0.4) ? {} : { matchLabels: { team: pick(['x', 'y']) } });
const randomPods = (): Pods => ({ namespaceSelector: namespaceSelector(), podSelector: podSelector() });
const randomSubject = (): Policy['subject'] =>
  chance(0.5) ? { namespaces: namespaceSelector() } : { pods: randomPods() };
const randomPorts = (): Ports =>
  pick<Ports>([
    {},
    { destinationPort: { number: 80 } },
    { destinationPort: { number: 8080 } },
    { destinationPort: { range: { start: 22, end: 80 } } },
  ]);
const randomRule = (direction: Direction): Rule => {
  const peer = (): Peer =>
    direction === 'egress' && chance(0.3)
      ? { networks: [pick(['10.0.0.0/30', '198.51.100.0/24', '0.0.0.0/0'])] }
      : randomSubject();
  return {
    action: pick(['Accept', 'Deny', 'Pass']),
    [direction === 'ingress' ? 'from' : 'to']: several(2, peer),
    ...(chance(0.5) && {
      protocols: several(2, () => (chance(0.5) ? { tcp: randomPorts() } : { udp: randomPorts() })),
    }),
  };
};
// Ties of priority are undefined: each has its own.
const randomPolicy = (i: number): Policy => ({
  tier: pick(['Admin', 'Baseline']),
  priority: ((i * 7) % 5) * 100 + i,
  subject: randomSubject(),
  ...(chance(0.7) && { ingress: several(3, () => randomRule('ingress')) }),
  ...(chance(0.7) && { egress: several(3, () => randomRule('egress')) }),
});

/** Isolates pods of a namespace for what comes in, but for one port. */
interface Isolation {
  readonly namespace: string;
  readonly podSelector: Selector;
  readonly port: number;
}
const randomIsolation = (): Isolation => ({
  namespace: pick(['n1', 'n2', 'n3']),
  podSelector: podSelector(),
  port: pick([80, 8080]),
});

const selects = ({ matchLabels = {} }: Selector, labels: Labels): boolean =>
  Object.entries(matchLabels).every(([key, value]) => labels[key] === value);

const within = (cidr: string, address: string): boolean => {
  const [prefix, value] = [parsePrefix(cidr), parseIpv4(address)];
  return prefix !== undefined && value !== undefined && prefixContains(prefix, value);
};

function isAmong({ namespaces, pods }: Policy['subject'], pod: Pod | undefined): boolean {
  if (!pod) return false;
  const ofNamespace = namespaceLabels[pod.namespace] ?? {};
  if (pods) return selects(pods.namespaceSelector, ofNamespace) && selects(pods.podSelector, pod.labels);
  return namespaces !== undefined && selects(namespaces, ofNamespace);
}

const isPeer = (peer: Peer, end: End): boolean =>
  peer.networks ? peer.networks.some((cidr) => within(cidr, end.address)) : isAmong(peer, end.pod);

function isTraffic({ protocols }: Rule, sent: 'tcp' | 'udp', port: number): boolean {
  return (
    !protocols ||
    protocols.some((one) => {
      const of = one[sent];
      if (!of) return false;
      const { number, range } = of.destinationPort ?? {};
      if (number !== undefined) return port === number;
      return !range || (port >= range.start && port <= range.end);
    })
  );
}

type Question = readonly [self: End, other: End, direction: Direction, sent: 'tcp' | 'udp', port: number];

/** Undefined: passed, or no rule matches. */
function tierDecision(
  tier: Policy['tier'],
  policies: readonly Policy[],
  [self, other, direction, sent, port]: Question,
): 'Accept' | 'Deny' | undefined {
  const rules = policies
    .filter((policy) => policy.tier === tier && isAmong(policy.subject, self.pod))
    .sort((a, b) => a.priority - b.priority)
    .flatMap((policy) => policy[direction] ?? []);
  const first = rules.find(
    (rule) => isTraffic(rule, sent, port) && (rule.from ?? rule.to ?? []).some((peer) => isPeer(peer, other)),
  );
  return first && first.action !== 'Pass' ? first.action : undefined;
}

function admits(policies: readonly Policy[], isolations: readonly Isolation[], question: Question): boolean {
  const [{ pod }, , direction, sent, port] = question;
  if (!pod) return true;
  const admin = tierDecision('Admin', policies, question);
  if (admin) return admin === 'Accept';
  const isolating = isolations.filter(
    (one) => direction === 'ingress' && one.namespace === pod.namespace && selects(one.podSelector, pod.labels),
  );
  if (isolating.length > 0) return isolating.some((one) => sent === 'tcp' && one.port === port);
  return tierDecision('Baseline', policies, question) !== 'Deny';
}

const apiVersion = 'projectcalico.org/v3';

function worldOf(policies: readonly Policy[], isolations: readonly Isolation[], pods: readonly Pod[]): PolicyWorld {
  const tier = (name: string, order: number, defaultAction: string): unknown => ({
    kind: 'Tier',
    apiVersion,
    metadata: { name },
    spec: { order, defaultAction },
  });
  const drafts: unknown[] = [
    tier('kube-admin', 1000, 'Pass'),
    tier('default', 1_000_000, 'Deny'),
    tier('kube-baseline', 10_000_000, 'Pass'),
    ...Object.entries(namespaceLabels).map(([name, labels]) => namespaceProfile(name, labels)),
  ];
  for (const [i, spec] of policies.entries()) {
    const result = convertClusterNetworkPolicy({ metadata: { name: `c${i}` }, spec });
    if (result.kind === 'invalid') throw new Error(JSON.stringify(result.faults));
    if (result.policy) drafts.push(result.policy);
  }
  for (const [i, { namespace, podSelector: selector, port }] of isolations.entries()) {
    const spec = { podSelector: selector, policyTypes: ['Ingress'], ingress: [{ ports: [{ protocol: 'TCP', port }] }] };
    const result = convertNetworkPolicy({ metadata: { name: `p${i}`, namespace }, spec });
    if (result.kind === 'invalid') throw new Error(JSON.stringify(result.faults));
    drafts.push(result.policy);
  }
  for (const { namespace, name, address, labels } of pods) {
    const place = { orchestrator: 'k8s', node: 'n', pod: name, endpoint: 'eth0', interfaceName: `cali${name}` };
    const spec = { ...place, ipNetworks: [`${address}/32`], profiles: [`kns.${namespace}`] };
    drafts.push({
      kind: 'WorkloadEndpoint',
      apiVersion,
      metadata: { name: `n-k8s-${name}-eth0`, namespace, labels },
      spec,
    });
  }
  return PolicyWorld.of(
    drafts.map((draft): Resource => {
      const checked = checkResource(draft);
      if (checked.kind === 'invalid') throw new Error(JSON.stringify(checked.faults));
      return checked.resource;
    }),
  );
}

describe('ClusterNetworkPolicy, its meaning', function () {
  this.timeout(60_000);
  it('is that of the API, for random policies and pods', () => {
    const counts = { asked: 0, allowed: 0 };
    for (let round = 0; round < 60; round++) {
      const pods = Array.from(
        { length: 5 },
        (_, i): Pod => ({
          namespace: pick(['n1', 'n2', 'n3']),
          name: `p${i}`,
          address: `10.0.0.${i + 1}`,
          labels: chance(0.7) ? { a: pick(['1', '2']) } : {},
        }),
      );
      const policies = Array.from({ length: 1 + randomInt(random, 5) }, (_, i) => randomPolicy(i));
      const isolations = several(2, randomIsolation);
      const world = worldOf(policies, isolations, pods);
      const ends: End[] = [...pods.map((pod) => ({ address: pod.address, pod })), { address: '198.51.100.1' }];
      for (const source of ends) {
        for (const destination of ends) {
          // A pod's traffic to itself is not policy's.
          if (source === destination) continue;
          for (const [sent, protocol, port] of [
            ['tcp', 6, 80],
            ['tcp', 6, 8080],
            ['udp', 17, 80],
            ['tcp', 6, 22],
          ] as const) {
            const [from, to] = [world.end(source.address), world.end(destination.address)];
            if (from.kind === 'problem' || to.kind === 'problem') throw new Error('an address is an end');
            const result = world.flow(from.end, to.end, { protocol, sourcePort: 50_000, destinationPort: port });
            const expected =
              admits(policies, isolations, [source, destination, 'egress', sent, port]) &&
              admits(policies, isolations, [destination, source, 'ingress', sent, port]);
            counts.asked++;
            if (expected) counts.allowed++;
            assert.equal(
              result.kind === 'flow' ? result.flow.allowed : undefined,
              expected,
              `seed ${seed}, round ${round}: ${source.address} to ${destination.address} ${sent}/${port}\n` +
                `${JSON.stringify(policies)}\n${JSON.stringify(isolations)}\n${JSON.stringify(pods)}`,
            );
          }
        }
      }
    }
    assert.ok(counts.allowed > counts.asked / 10 && counts.allowed < (counts.asked * 9) / 10, JSON.stringify(counts));
  });
});
