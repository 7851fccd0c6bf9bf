// Shows what Kubernetes' NetworkPolicy and ClusterNetworkPolicy mean with real packets, IPv4 and IPv6: manifests, converted, in
// the kernel. Random ones are held against the API's text in test/kube/policy.

import assert from 'node:assert/strict';
import { checkResource, encodeResource, keyOf } from '../../../datastore/model/index.ts';
import { convertManifest } from '../../../kube/manifest.ts';
import { type Json, PolicyNode } from './policy-node.ts';

describe('Kubernetes policies on the wire', function () {
  this.timeout(120_000);
  let site: PolicyNode;

  before(async () => {
    site = await PolicyNode.start();
  });
  after(() => site.remove());

  /** Pods a, b, c of namespace n1 (team one) and d of n2 (team two), and these objects. */
  const world = (...manifests: readonly Json[]): Promise<void> =>
    site.world([namespace('n1', { team: 'one' }), namespace('n2', { team: 'two' }), ...manifests].flatMap(stored), {
      b: { ports: [{ name: 'web', protocol: 'UDP', port: 7 }] },
      c: { ports: [{ name: 'web', protocol: 'UDP', port: 8 }] },
    });
  const expect: PolicyNode['expect'] = (expected) => site.expect(expected);

  it('isolate the pods that they select, in their namespace and direction, and allow by union', async () => {
    await world(networkPolicy('n1/closed', { podSelector: app('b') }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': false, 'outside > b udp/1': false });
    await expect({ 'b > a udp/1': true, 'a > c udp/1': true, 'a > d udp/1': true });
    await world(
      networkPolicy('n1/closed', { podSelector: app('b') }),
      networkPolicy('n1/one', { podSelector: app('b'), ingress: [{ ports: [{ protocol: 'UDP', port: 1 }] }] }),
      networkPolicy('n1/two', { podSelector: {}, ingress: [{ from: [{ podSelector: app('c') }] }] }),
    );
    await expect({ 'a > b udp/1': true, 'outside > b udp/1': true, 'a > b udp/2': false, 'c > b udp/2': true });
    await expect({ 'b > a udp/2': false, 'c > a udp/2': true, 'c > d udp/2': true });
  });

  it('take their direction from policyTypes, or else Egress only where it has rules', async () => {
    await world(networkPolicy('n1/e', { podSelector: app('b'), egress: [] }));
    await expect({ 'b > a udp/1': true, 'a > b udp/1': false });
    await world(networkPolicy('n1/e', { podSelector: app('b'), policyTypes: ['Egress'] }));
    await expect({ 'b > a udp/1': false, 'a > b udp/1': true });
    const toD = { to: [{ namespaceSelector: { matchLabels: { team: 'two' } } }] };
    await world(networkPolicy('n1/e', { podSelector: app('b'), policyTypes: ['Egress'], egress: [toD] }));
    await expect({ 'b > d udp/1': true, 'b > a udp/1': false, 'b > outside udp/1': false });
    await world(networkPolicy('n1/e', { podSelector: app('b'), ingress: [{}], egress: [{}] }));
    await expect({ 'b > outside udp/1': true, 'outside > b udp/1': true });
  });

  it('mean pods of namespaces, never hosts outside, by selectors', async () => {
    const from = (peer: Json): Json => networkPolicy('n1/p', { podSelector: app('b'), ingress: [{ from: [peer] }] });
    await world(from({ namespaceSelector: {} }));
    await expect({ 'a > b udp/1': true, 'd > b udp/1': true, 'outside > b udp/1': false });
    await world(from({ podSelector: {} }));
    await expect({ 'a > b udp/1': true, 'd > b udp/1': false });
    await world(from({ namespaceSelector: { matchLabels: { team: 'two' } }, podSelector: app('a') }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': false });
    await world(from({ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'n2' } } }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': true });
    const notOne = { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['one'] }] };
    await world(from({ namespaceSelector: notOne }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': true });
  });

  it('mean addresses less some by ipBlock, pods’ too', async () => {
    const blocks = [
      { ipBlock: { cidr: '10.65.0.0/24', except: ['10.65.0.1/32'] } },
      { ipBlock: { cidr: 'fd00:65::/64', except: ['fd00:65::1/128'] } },
    ];
    await world(networkPolicy('n1/p', { podSelector: app('b'), ingress: [{ from: blocks }] }));
    await expect({ 'a > b udp/1': false, 'c > b udp/1': true, 'd > b udp/1': true, 'outside > b udp/1': false });
    const again = { from: [{ ipBlock: { cidr: '10.65.0.1/32' } }, { ipBlock: { cidr: 'fd00:65::1/128' } }] };
    await world(networkPolicy('n1/p', { podSelector: app('b'), ingress: [{ from: blocks }, again] }));
    await expect({ 'a > b udp/1': true });
  });

  it('know ports by number, range and name, and keep protocols apart', async () => {
    const to = (...ports: readonly Json[]): Json =>
      networkPolicy('n1/p', { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ ports }] });
    await world(to({ protocol: 'UDP', port: 10, endPort: 12 }, { port: 80 }));
    await expect({ 'a > b udp/9': false, 'a > b udp/10': true, 'a > b udp/12': true, 'a > b udp/13': false });
    await expect({ 'a > b tcp/80': true, 'a > b udp/80': false });
    // A number of its own for each pod.
    await world(to({ protocol: 'UDP', port: 'web' }));
    await expect({ 'a > b udp/7': true, 'a > b udp/8': false, 'a > c udp/8': true, 'a > c udp/7': false });
    await world(to({ protocol: 'SCTP', port: 80 }));
    await expect({ 'a > b sctp/80': true, 'a > b tcp/80': false, 'a > b udp/80': false });
    await world(to({ protocol: 'TCP' }));
    await expect({ 'a > b tcp/9': true, 'a > b udp/9': false });
  });

  it('are final for the pods that they isolate, between Admin and Baseline', async () => {
    const admin = (priority: number, action: string, port: number): Json =>
      clusterPolicy(`admin-${priority}`, {
        tier: 'Admin',
        priority,
        subject: { namespaces: { matchLabels: { team: 'one' } } },
        ingress: [{ action, from: [{ namespaces: {} }], protocols: [udp(port)] }],
      });
    const baseline = clusterPolicy('baseline', {
      tier: 'Baseline',
      priority: 1,
      subject: { namespaces: {} },
      ingress: [{ action: 'Deny', from: [{ namespaces: {} }], protocols: [udp(4), udp(5)] }],
    });
    await world(
      admin(1, 'Accept', 1),
      admin(2, 'Deny', 1),
      admin(3, 'Deny', 2),
      admin(4, 'Pass', 3),
      admin(5, 'Deny', 3),
      baseline,
      networkPolicy('n1/p', { podSelector: app('b'), ingress: [{ ports: [2, 3, 4].map(udpPort) }] }),
    );
    // Accepted before, although no NetworkPolicy allows it; the lower priority came too late.
    await expect({ 'a > b udp/1': true, 'a > c udp/1': true });
    await expect({ 'a > b udp/2': false, 'a > c udp/2': false });
    // Passed on: b's NetworkPolicy allows it, c has none.
    await expect({ 'a > b udp/3': true, 'a > c udp/3': true });
    // Baseline is asked for c alone, and hosts outside are no peer of it.
    await expect({ 'a > b udp/4': true, 'a > c udp/4': false, 'outside > c udp/4': true });
    await expect({ 'a > b udp/5': false, 'a > c udp/5': false, 'a > c udp/6': true, 'a > b udp/6': false });
    // Another subject.
    await expect({ 'a > d udp/2': true, 'a > d udp/4': false });
  });

  it('decide by networks what a ClusterNetworkPolicy’s pods send', async () => {
    await world(
      clusterPolicy('egress', {
        tier: 'Admin',
        priority: 1,
        subject: { pods: { namespaceSelector: {}, podSelector: app('a') } },
        egress: [
          { action: 'Accept', to: [{ pods: { namespaceSelector: {}, podSelector: app('b') } }] },
          { action: 'Deny', to: [{ networks: ['10.65.0.0/24', 'fd00:65::/64', '192.0.2.9/32', '2001:db8::9/128'] }] },
        ],
      }),
    );
    await expect({ 'a > b udp/1': true, 'a > c udp/1': false, 'a > outside udp/1': false, 'b > c udp/1': true });
    await expect({ 'c > a udp/1': true, 'outside > a udp/1': true });
  });
});

const app = (name: string): Json => ({ matchLabels: { app: name } });
const udp = (number: number): Json => ({ udp: { destinationPort: { number } } });
const udpPort = (port: number): Json => ({ protocol: 'UDP', port });

const namespace = (name: string, labels: Json): Json => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } },
});

function networkPolicy(path: string, spec: Json): Json {
  const [namespace, name] = path.split('/');
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec };
}

const clusterPolicy = (name: string, spec: Json): Json => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name },
  spec,
});

/** What a controller would store of it. */
function stored(manifest: Json): [string, string][] {
  const result = convertManifest(manifest);
  assert.ok(result?.kind === 'converted', JSON.stringify(result));
  return result.resources.map((draft): [string, string] => {
    const checked = checkResource(draft);
    assert.ok(checked.kind === 'valid', JSON.stringify(checked));
    return [keyOf(checked.resource), encodeResource(checked.resource)];
  });
}
