// Shows what ClusterNetworkPolicies become: tiers, priorities, subjects, peers, ports, and what fails closed.

import assert from 'node:assert/strict';
import { checkResource } from '../../../datastore/model/index.ts';
import { convertClusterNetworkPolicy } from '../../../kube/policy/cluster-network-policy.ts';

function convert(spec: Readonly<Record<string, unknown>>) {
  const result = convertClusterNetworkPolicy({ metadata: { name: 'p' }, spec });
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.faults));
  if (result.policy) {
    const checked = checkResource(JSON.parse(JSON.stringify(result.policy)));
    assert.equal(checked.kind, 'valid', checked.kind === 'invalid' ? JSON.stringify(checked.faults) : '');
  }
  return result;
}

const k8s = "projectcalico.org/orchestrator == 'k8s'";
const subject = { namespaces: {} };

describe('Kubernetes ClusterNetworkPolicy', () => {
  it('goes to the tier before or after NetworkPolicies, ordered by priority', () => {
    const ingress = [{ action: 'Accept', from: [{ namespaces: {} }] }];
    const admin = convert({ tier: 'Admin', priority: 7, subject, ingress }).policy;
    assert.equal(admin?.metadata.name, 'kcnp.admin.p');
    assert.deepEqual(admin?.spec, {
      tier: 'kube-admin',
      order: 7,
      selector: k8s,
      namespaceSelector: 'all()',
      types: ['Ingress'],
      ingress: [
        {
          action: 'Allow',
          source: { selector: k8s, namespaceSelector: 'all()' },
          metadata: { annotations: { 'twill/origin': 'spec.ingress[0].from[0]' } },
        },
      ],
      egress: [],
    });
    assert.equal(convert({ tier: 'Baseline', priority: 0, subject, ingress }).policy?.spec.tier, 'kube-baseline');
  });

  it('has no effect in a direction without rules', () => {
    assert.equal(convert({ tier: 'Admin', priority: 1, subject }).policy, undefined);
    const egress = [{ action: 'Pass', to: [{ networks: ['10.0.0.0/8'] }] }];
    assert.deepEqual(convert({ tier: 'Admin', priority: 1, subject, egress, ingress: [] }).policy?.spec.types, [
      'Egress',
    ]);
  });

  it('reads subjects, peers and ports', () => {
    const pods = { namespaceSelector: { matchLabels: { n: '1' } }, podSelector: { matchLabels: { a: '1' } } };
    const { policy } = convert({
      tier: 'Admin',
      priority: 1,
      subject: { pods },
      egress: [
        {
          action: 'Deny',
          to: [{ pods }, { networks: ['192.0.2.0/24', 'fd00::/8'] }],
          protocols: [
            { tcp: { destinationPort: { number: 80 } } },
            { udp: { destinationPort: { range: { start: 1, end: 9 } } } },
            { sctp: {} },
          ],
        },
        { action: 'Accept', to: [{ pods }], protocols: [{ destinationNamedPort: 'web' }] },
      ],
    });
    const spec = policy?.spec;
    assert.equal(spec?.selector, `${k8s} && a == "1"`);
    assert.equal(spec?.namespaceSelector, 'n == "1"');
    assert.deepEqual(
      spec?.egress?.map(({ action, protocol, destination }) => [
        action,
        protocol,
        destination?.nets ? 'nets' : 'pods',
        destination?.ports,
      ]),
      [
        ['Deny', 'TCP', 'pods', [80]],
        ['Deny', 'UDP', 'pods', ['1:9']],
        ['Deny', 'SCTP', 'pods', undefined],
        ['Deny', 'TCP', 'nets', [80]],
        ['Deny', 'UDP', 'nets', ['1:9']],
        ['Deny', 'SCTP', 'nets', undefined],
        ['Deny', 'TCP', 'nets', [80]],
        ['Deny', 'UDP', 'nets', ['1:9']],
        ['Deny', 'SCTP', 'nets', undefined],
        ['Allow', 'TCP', 'pods', ['web']],
        ['Allow', 'UDP', 'pods', ['web']],
        ['Allow', 'SCTP', 'pods', ['web']],
      ],
    );
  });

  it('fails closed for peers that resources cannot tell', () => {
    const { policy, unsupported } = convert({
      tier: 'Admin',
      priority: 1,
      subject,
      egress: [
        { action: 'Accept', to: [{ domainNames: ['example.com'] }] },
        { action: 'Deny', to: [{ nodes: {} }] },
        { action: 'Pass', to: [{ nodes: {} }, { namespaces: {} }] },
      ],
    });
    assert.deepEqual(
      policy?.spec.egress?.map(({ action, destination }) => [action, destination]),
      [
        ['Deny', undefined],
        ['Deny', undefined],
      ],
    );
    assert.deepEqual(unsupported, ['spec.egress[0].to', 'spec.egress[1].to', 'spec.egress[2].to']);
  });

  it('says what is wrong with what it cannot read', () => {
    const result = convertClusterNetworkPolicy({
      metadata: { name: 'p' },
      spec: { tier: 'Top', priority: 2000, subject: {} },
    });
    assert.ok(result.kind === 'invalid');
    assert.deepEqual(result.faults.map(({ path }) => path).sort(), ['spec.priority', 'spec.subject', 'spec.tier']);
  });
});
