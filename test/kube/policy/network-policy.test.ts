// Shows what Kubernetes' NetworkPolicies become: each point of their semantics that is easily lost, as input and output.

import assert from 'node:assert/strict';
import { checkResource } from '../../../datastore/model/index.ts';
import { convertNetworkPolicy } from '../../../kube/policy/network-policy.ts';

function convert(spec: Readonly<Record<string, unknown>>) {
  const given = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace: 'n' },
    spec,
  };
  const result = convertNetworkPolicy(given);
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.faults));
  const checked = checkResource(JSON.parse(JSON.stringify(result.policy)));
  assert.equal(checked.kind, 'valid', checked.kind === 'invalid' ? JSON.stringify(checked.faults) : '');
  return result.policy.spec;
}

/** Rules without their origins. */
const plain = (rules: readonly { readonly metadata?: unknown }[] | undefined): unknown =>
  rules?.map(({ metadata: _, ...rule }) => rule);

const k8s = "projectcalico.org/orchestrator == 'k8s'";

describe('Kubernetes NetworkPolicy', () => {
  it('stands in tier default, selects pods, and isolates the directions that it lists', () => {
    const all = convert({ podSelector: {} });
    assert.deepEqual(all, { tier: 'default', order: 1000, selector: k8s, types: ['Ingress'], ingress: [], egress: [] });
    assert.deepEqual(convert({ podSelector: {}, egress: [] }).types, ['Ingress']);
    assert.deepEqual(convert({ podSelector: {}, egress: [{}] }).types, ['Ingress', 'Egress']);
    assert.deepEqual(convert({ podSelector: {}, policyTypes: ['Egress'], ingress: [{}], egress: [] }).ingress, []);
    assert.deepEqual(convert({ podSelector: {}, policyTypes: ['Egress'], ingress: [{}] }).types, ['Egress']);
  });

  it('selects by labels and expressions, all of which must hold', () => {
    const { selector } = convert({
      podSelector: {
        matchLabels: { b: '2', a: '1' },
        matchExpressions: [
          { key: 'c', operator: 'In', values: ['y', 'x'] },
          { key: 'd', operator: 'NotIn', values: ['z'] },
          { key: 'e', operator: 'Exists' },
          { key: 'f', operator: 'DoesNotExist' },
        ],
      },
    });
    assert.equal(
      selector,
      `${k8s} && (a == "1" && b == "2" && c in {"x", "y"} && d not in {"z"} && has(e) && !has(f))`,
    );
  });

  it('takes no peers for anyone, and no ports for everything', () => {
    assert.deepEqual(plain(convert({ podSelector: {}, ingress: [{}] }).ingress), [{ action: 'Allow' }]);
    assert.deepEqual(plain(convert({ podSelector: {}, ingress: [{ from: [], ports: [] }] }).ingress), [
      { action: 'Allow' },
    ]);
  });

  it('joins peers by "or", and the two selectors of one peer by "and"', () => {
    const { ingress } = convert({
      podSelector: {},
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: { a: '1' } } },
            { namespaceSelector: {} },
            { namespaceSelector: { matchLabels: { n: '1' } }, podSelector: { matchLabels: { a: '1' } } },
            { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
          ],
        },
      ],
    });
    assert.deepEqual(plain(ingress), [
      { action: 'Allow', source: { selector: `${k8s} && a == "1"` } },
      { action: 'Allow', source: { selector: k8s, namespaceSelector: 'all()' } },
      { action: 'Allow', source: { selector: `${k8s} && a == "1"`, namespaceSelector: 'n == "1"' } },
      { action: 'Allow', source: { nets: ['10.0.0.0/8'], notNets: ['10.1.0.0/16'] } },
    ]);
    assert.deepEqual(
      ingress?.map((rule) => rule.metadata?.annotations),
      [0, 1, 2, 3].map((i) => ({ 'twill/origin': `spec.ingress[0].from[${i}]` })),
    );
  });

  it('reads ports: TCP by default, names, ranges, and whole protocols', () => {
    const { egress } = convert({
      podSelector: {},
      egress: [
        {
          to: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
          ports: [
            { port: 80 },
            { port: 'http' },
            { port: 8000, endPort: 8010 },
            { protocol: 'UDP', port: 53 },
            { protocol: 'SCTP' },
          ],
        },
        { ports: [{}] },
      ],
    });
    const nets = ['10.0.0.0/8'];
    assert.deepEqual(plain(egress), [
      { action: 'Allow', protocol: 'TCP', destination: { nets, ports: [80, 'http', '8000:8010'] } },
      { action: 'Allow', protocol: 'UDP', destination: { nets, ports: [53] } },
      { action: 'Allow', protocol: 'SCTP', destination: { nets } },
      { action: 'Allow', protocol: 'TCP' },
    ]);
  });

  it('spreads more ports than a rule can list over several rules', () => {
    const ports = Array.from({ length: 120 }, (_, i) => ({ port: 1000 + i }));
    const { ingress } = convert({ podSelector: {}, ingress: [{ ports }] });
    assert.deepEqual(
      ingress?.map((rule) => rule.destination?.ports?.length),
      [50, 50, 20],
    );
  });

  it('says what is wrong with what it cannot read', () => {
    const result = convertNetworkPolicy({
      metadata: {},
      spec: { podSelector: {}, ingress: [{ ports: [{ port: -1 }] }] },
    });
    assert.ok(result.kind === 'invalid');
    assert.deepEqual(result.faults.map(({ path }) => path).sort(), ['metadata.name', 'spec.ingress[0].ports[0].port']);
  });
});
