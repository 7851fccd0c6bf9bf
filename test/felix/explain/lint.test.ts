// Shows what policy lint finds, and that it is silent about policies that mean what they say.

import assert from 'node:assert/strict';
import { lintPolicies } from '../../../felix/explain/lint.ts';
import { PolicyWorld } from '../../../felix/explain/policy-world.ts';
import { entry, key, namespace, pod } from '../calc/world.ts';

type Entry = readonly [string, string];
const base: readonly Entry[] = [
  namespace('prod', { stage: 'prod' }),
  pod('n1', 'prod/web', '10.0.0.1', { app: 'web' }),
  pod('n1', 'prod/client', '10.0.0.2', { app: 'client' }),
];
const policy = (path: string, spec: Readonly<Record<string, unknown>>): Entry => entry('NetworkPolicy', path, { spec });
const global = (name: string, spec: Readonly<Record<string, unknown>>): Entry =>
  entry('GlobalNetworkPolicy', name, { spec });

const lint = (...entries: readonly Entry[]): string[] =>
  lintPolicies(new PolicyWorld([...base, ...entries].map(([at, value]) => ({ key: at, value, revision: 1 }))))
    .map(({ severity, kind, subject, rule }) => [severity, kind, subject, rule].filter(Boolean).join(' '))
    .sort();

const tcp = { action: 'Allow', protocol: 'TCP' };

describe('policy lint', () => {
  it('is silent about policies that mean what they say', () => {
    assert.deepEqual(
      lint(
        policy('prod/default-deny', { order: 900, types: ['Ingress', 'Egress'] }),
        policy('prod/web', {
          order: 1,
          selector: "app == 'web'",
          ingress: [
            { ...tcp, source: { selector: "app == 'client'" }, destination: { ports: [80, 443] } },
            { action: 'Deny', protocol: 'TCP', destination: { ports: [80] } },
            { ...tcp, source: { nets: ['10.0.0.0/8'], notNets: ['10.0.0.0/24'] } },
          ],
        }),
      ),
      [],
    );
  });

  it('finds rules that are never reached, or say nothing new', () => {
    assert.deepEqual(
      lint(
        policy('prod/p', {
          ingress: [
            { ...tcp, source: { nets: ['10.0.0.0/8'] }, destination: { ports: ['80:90'] } },
            { ...tcp, source: { nets: ['10.1.0.0/16'] }, destination: { ports: [80, 85] } },
            { action: 'Deny', protocol: 'TCP', source: { nets: ['10.1.0.0/16'] }, destination: { ports: [90] } },
            { action: 'Deny', protocol: 'TCP', source: { nets: ['10.1.0.0/16'] }, destination: { ports: [91] } },
            { action: 'Log' },
            { action: 'Deny' },
            { ...tcp, source: { nets: ['11.0.0.0/8'] } },
          ],
        }),
      ),
      [
        'error unreachable-rule NetworkPolicy/prod/p ingress[2]',
        'error unreachable-rule NetworkPolicy/prod/p ingress[6]',
        'warning redundant-rule NetworkPolicy/prod/p ingress[1]',
      ],
    );
  });

  it('finds policies behind one that decides everything', () => {
    assert.deepEqual(
      lint(
        global('wall', { order: 1, ingress: [{ action: 'Log' }, { action: 'Deny' }] }),
        policy('prod/web', { order: 2, ingress: [{ ...tcp, destination: { ports: [80] } }] }),
        policy('prod/early', { order: 0, ingress: [{ ...tcp, destination: { ports: [80] } }] }),
        global('elsewhere', { order: 3, tier: 'kube-admin', ingress: [{ ...tcp, destination: { ports: [80] } }] }),
      ),
      ['error unreachable-policy NetworkPolicy/prod/web'],
    );
  });

  it('finds selectors that select nobody', () => {
    assert.deepEqual(
      lint(
        policy('prod/a', { selector: "app == 'wbe'", ingress: [{ ...tcp, destination: { ports: [80] } }] }),
        policy('prod/b', { ingress: [{ ...tcp, source: { selector: "app == 'cleint'" } }] }),
        policy('prod/c', { ingress: [{ ...tcp, source: { namespaceSelector: "stage == 'prod'" } }] }),
      ),
      ['warning selects-nobody NetworkPolicy/prod/a', 'warning selects-nobody NetworkPolicy/prod/b ingress[0]'],
    );
  });

  it('finds open doors and policies that only log', () => {
    assert.deepEqual(
      lint(
        policy('prod/open', { ingress: [{ action: 'Allow' }], order: 9 }),
        policy('prod/net', { ingress: [{ ...tcp, source: { nets: ['0.0.0.0/0'] } }], order: 1 }),
        global('not', {
          order: 2,
          ingress: [{ action: 'Allow', protocol: 'UDP', source: { notSelector: "app == 'client'" } }],
        }),
        policy('prod/log', { order: 3, egress: [{ action: 'Log' }] }),
      ),
      [
        'warning allows-everything GlobalNetworkPolicy//not ingress[0]',
        'warning allows-everything NetworkPolicy/prod/net ingress[0]',
        'warning allows-everything NetworkPolicy/prod/open ingress[0]',
        'warning only-logs NetworkPolicy/prod/log',
      ],
    );
  });

  it('finds what the dataplane cannot do as written', () => {
    assert.deepEqual(
      lint(
        policy('prod/tier', { tier: 'none', ingress: [{ ...tcp, destination: { ports: [80] } }] }),
        policy('prod/types', { types: ['Ingress'], egress: [{ action: 'Deny' }] }),
        policy('prod/http', {
          ingress: [
            { ...tcp, http: { methods: ['GET'] } },
            { action: 'Deny', protocol: 'UDP', source: { services: { name: 'a' } } },
          ],
        }),
        policy('prod/broken', { selector: "app == 'client'", ingress: [{ action: 'Alow' }] }),
      ),
      [
        'error ignored-rules NetworkPolicy/prod/types',
        'error missing-tier NetworkPolicy/prod/tier',
        'error never-matches NetworkPolicy/prod/http ingress[0]',
        'error not-enforced NetworkPolicy/prod/http ingress[1]',
        `error unreadable ${key('NetworkPolicy', 'prod/broken')}`,
      ],
    );
  });
});
