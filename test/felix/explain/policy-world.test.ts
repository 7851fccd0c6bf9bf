// Shows who decides about a packet and why: tiers, order, Pass, Log, staged policies, profiles, the ends that are exempt,
// and what would change the answer.

import assert from 'node:assert/strict';
import { type Explanation, explain } from '../../../felix/explain/explain.ts';
import { parseTraffic } from '../../../felix/explain/packet.ts';
import { PolicyWorld } from '../../../felix/explain/policy-world.ts';
import { formatExplanation } from '../../../felix/explain/text.ts';
import { entry, namespace, pod } from '../calc/world.ts';

type Entry = readonly [string, string];

const base: readonly Entry[] = [
  namespace('prod'),
  pod('n1', 'prod/web', '10.0.0.1,fd00::1', { app: 'web' }, { ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] }),
  pod('n2', 'prod/client', '10.0.0.2', { app: 'client' }),
  entry('Node', 'n1', { spec: { bgp: { ipv4Address: '192.0.2.1/24' } } }),
  entry('Node', 'n2', { spec: { bgp: { ipv4Address: '192.0.2.2/24' } } }),
];

const policy = (path: string, spec: Readonly<Record<string, unknown>>): Entry => entry('NetworkPolicy', path, { spec });
const world = (...entries: readonly Entry[]): PolicyWorld =>
  new PolicyWorld([...base, ...entries].map(([key, value]) => ({ key, value, revision: 1 })));

function ask(subject: PolicyWorld, from: string, to: string, text: string): Explanation {
  const [source, destination] = [from, to].map((end) => {
    const result = subject.end(end);
    if (result.kind === 'problem') throw new Error(result.problem);
    return result.end;
  });
  const traffic = parseTraffic(text);
  if (!source || !destination || !traffic) throw new Error(text);
  const explanation = explain(subject, source, destination, traffic);
  if (typeof explanation === 'string') throw new Error(explanation);
  return explanation;
}

const verdict = (subject: PolicyWorld, from: string, to: string, traffic: string): string => {
  const { allowed, egress, ingress } = ask(subject, from, to, traffic);
  return `${allowed ? 'allowed' : 'denied'} | ${egress.because} | ${ingress.because}`;
};

const noPolicyOut = 'no policy decides; profile kns.prod egress[0] allows it';
const noPolicyIn = 'no policy decides; profile kns.prod ingress[0] allows it';

describe('policy world', () => {
  it('falls through to profiles without policy', () => {
    assert.equal(verdict(world(), 'prod/client', 'prod/web', 'tcp/80'), `allowed | ${noPolicyOut} | ${noPolicyIn}`);
    const bare = world(pod('n1', 'prod/bare', '10.0.0.3', {}, { profiles: [] }));
    assert.equal(
      verdict(bare, 'prod/client', 'prod/bare', 'tcp/80'),
      `denied | ${noPolicyOut} | no policy decides, and it has no profile`,
    );
  });

  it('says what to do about a profile or a tier that is not there', () => {
    const { egress } = ask(
      world(pod('n1', 'prod/lost', '10.0.0.3', {}, { profiles: ['ops'] })),
      'prod/lost',
      'prod/web',
      'tcp/80',
    );
    assert.equal(egress.because, 'no policy decides; profile ops is missing, which denies it');
    assert.deepEqual(egress.wouldChange, ['apply a Profile ops with rules, or a policy that allows it']);
    const policyOfTier = policy('prod/sec.web', {
      tier: 'sec',
      selector: "app == 'web'",
      ingress: [{ action: 'Allow' }],
    });
    const { ingress } = ask(world(policyOfTier), 'prod/client', 'prod/web', 'tcp/80');
    assert.equal(ingress.because, 'NetworkPolicy/prod/sec.web tier is missing, which denies it, in tier sec');
    assert.deepEqual(ingress.wouldChange, ['apply a Tier sec']);
  });

  it('says which rules have matches that nothing enforces', () => {
    const subject = world(
      policy('prod/web', {
        selector: "app == 'web'",
        ingress: [{ action: 'Allow', protocol: 'TCP', http: { methods: ['GET'] } }],
      }),
    );
    const explanation = ask(subject, 'prod/client', 'prod/web', 'tcp/80');
    assert.equal(explanation.allowed, false);
    assert.match(
      formatExplanation(explanation),
      /ingress\[0\] has a match on services or HTTP, which is not enforced here/,
    );
  });

  it('takes the only host endpoint of a node for that of its interface, and lets workloads encapsulate nothing', () => {
    const subject = world(
      entry('HostEndpoint', 'n1-eth0', { spec: { node: 'n1', interfaceName: 'eth0' } }),
      entry('FelixConfiguration', 'default', { spec: { vxlanPort: 4790 } }),
    );
    assert.equal(ask(subject, '198.51.100.1', 'node:n1', 'tcp/80').allowed, false);
    assert.equal(ask(subject, '198.51.100.1', 'node:n1', 'tcp/22').allowed, true);
    assert.equal(ask(subject, 'prod/web', '198.51.100.1', 'udp/4789').allowed, true);
    assert.equal(ask(subject, 'prod/web', '198.51.100.1', 'udp/4790').allowed, false);
    assert.equal(ask(subject, 'prod/web', '198.51.100.1', '4').allowed, false);
  });

  it('names the rule, the end of the tier, and what comes close', () => {
    const subject = world(
      policy('prod/web', {
        selector: "app == 'web'",
        ingress: [
          {
            action: 'Allow',
            protocol: 'TCP',
            source: { selector: "app == 'client'" },
            destination: { ports: [80, 'http'] },
          },
        ],
      }),
      policy('prod/other', { selector: "app == 'other'", ingress: [{ action: 'Deny' }] }),
    );
    for (const traffic of ['tcp/80', 'tcp/8080']) {
      assert.equal(
        verdict(subject, 'prod/client', 'prod/web', traffic),
        `allowed | ${noPolicyOut} | NetworkPolicy/prod/web ingress[0] allows it, in tier default`,
      );
    }
    const denied = ask(subject, 'prod/client', 'prod/web', 'tcp/81');
    assert.equal(
      denied.ingress.because,
      'the end of tier default denies it: NetworkPolicy/prod/web applies and no rule matches',
    );
    assert.deepEqual(denied.ingress.wouldChange, [
      'NetworkPolicy/prod/web ingress[0] would allow it, but: the destination port 81 is not 80, ' +
        'port http of (projectcalico.org/namespace == "prod" && app == "web")',
    ]);
    assert.deepEqual(denied.ingress.notApplying, [
      {
        policy: 'NetworkPolicy/prod/other',
        reason: 'does not select it: (projectcalico.org/namespace == "prod" && app == "other")',
      },
    ]);
    assert.equal(ask(subject, '198.51.100.1', 'prod/web', 'tcp/80').allowed, false);
    assert.equal(ask(subject, 'prod/client', 'prod/web', 'udp/80').allowed, false);
    assert.match(
      formatExplanation(denied),
      /^DENIED {2}prod\/client \(10\.0\.0\.2\) -> prod\/web \(10\.0\.0\.1\) {2}tcp\/81\n/,
    );
  });

  it('passes tiers in order, leaves them by Pass, logs on the way, and does not enforce what is staged', () => {
    const subject = world(
      entry('Tier', 'first', { spec: { order: 1, defaultAction: 'Deny' } }),
      entry('Tier', 'second', { spec: { order: 2, defaultAction: 'Pass' } }),
      entry('GlobalNetworkPolicy', 'a', {
        spec: {
          tier: 'first',
          selector: "app == 'web'",
          ingress: [{ action: 'Log' }, { action: 'Pass', protocol: 'TCP' }, { action: 'Deny', protocol: 'ICMP' }],
        },
      }),
      entry('GlobalNetworkPolicy', 'b', {
        spec: { tier: 'second', ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }] },
      }),
      entry('StagedNetworkPolicy', 'prod/idea', { spec: { ingress: [{ action: 'Deny' }] } }),
    );
    const because = (traffic: string): string => ask(subject, 'prod/client', 'prod/web', traffic).ingress.because;
    assert.equal(because('tcp/80'), 'GlobalNetworkPolicy/b ingress[0] allows it, in tier second');
    assert.equal(because('tcp/81'), noPolicyIn);
    assert.equal(because('icmp'), 'GlobalNetworkPolicy/a ingress[2] denies it, in tier first');
    assert.equal(
      because('udp/80'),
      'the end of tier first denies it: GlobalNetworkPolicy/a applies and no rule matches',
    );
    const { tiers, wouldChange } = ask(subject, 'prod/client', 'prod/web', 'tcp/81').ingress;
    assert.deepEqual(
      tiers.map(({ tier, outcome, policies }) => [tier, outcome, ...policies.map((step) => step.outcome)]),
      [
        ['first', 'pass', 'pass'],
        ['second', 'pass', 'no-match'],
        ['default', 'pass', 'deny'],
      ],
    );
    assert.deepEqual(wouldChange, ['without that rule: no policy decides, and no profile (kns.prod) allows it']);
  });

  it('knows the ends that no policy is asked for', () => {
    const subject = world(policy('prod/none', { types: ['Ingress', 'Egress'] }));
    const because = (from: string, to: string): string => verdict(subject, from, to, 'tcp/80');
    assert.match(because('node:n1', 'prod/web'), /^allowed .* a node always reaches the workloads that it hosts$/);
    assert.match(because('node:n2', 'prod/web'), /^denied/);
    assert.match(because('prod/web', '10.0.0.1'), /^allowed .* does not leave the endpoint$/);
    assert.match(because('prod/web', '198.51.100.1'), /^denied .* 198\.51\.100\.1 is outside: it has no policy here$/);
    const open = world();
    assert.match(verdict(open, 'prod/web', '192.0.2.1', 'tcp/80'), /^denied .* DefaultEndpointToHostAction is Drop/);
    assert.match(verdict(open, 'prod/web', '192.0.2.2', 'tcp/80'), /^allowed .* no host endpoint protects node n2$/);
  });

  it('answers for pods that do not exist yet', () => {
    const subject = world(
      namespace('dev'),
      policy('prod/web', {
        selector: "app == 'web'",
        ingress: [{ action: 'Allow', source: { selector: "app == 'client'" } }],
      }),
    );
    assert.equal(ask(subject, 'prod:app=client', 'prod/web', 'tcp/80').allowed, true);
    assert.equal(ask(subject, 'prod:app=clerk', 'prod/web', 'tcp/80').allowed, false);
    assert.equal(ask(subject, 'dev:app=client', 'prod/web', 'tcp/80').allowed, false);
    assert.equal(ask(subject, 'prod/client', 'prod:app=web', 'tcp/80').allowed, true);
  });

  it('applies policy to host endpoints, and spares failsafe ports', () => {
    const subject = world(
      entry('HostEndpoint', 'h', { labels: { host: '' }, spec: { node: 'n2', interfaceName: '*' } }),
      entry('GlobalNetworkPolicy', 'h', {
        spec: { selector: 'has(host)', ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }] },
      }),
    );
    assert.equal(ask(subject, 'prod/web', '192.0.2.2', 'tcp/80').allowed, true);
    assert.equal(ask(subject, 'prod/web', '192.0.2.2', 'tcp/81').allowed, false);
    assert.equal(ask(subject, 'prod/web', 'hostendpoint:h', 'tcp/81').allowed, false);
    assert.equal(ask(subject, 'prod/web', '192.0.2.2', 'tcp/22').ingress.because, 'tcp:22 is a failsafe port');
    const early = (
      name: string,
      flags: Readonly<Record<string, boolean>>,
      rule: Readonly<Record<string, unknown>>,
    ): Entry =>
      entry('GlobalNetworkPolicy', name, {
        spec: { selector: 'has(host)', applyOnForward: true, ...flags, ingress: [{ ...rule, protocol: 'TCP' }] },
      });
    const staged = world(
      entry('HostEndpoint', 'h', { labels: { host: '' }, spec: { node: 'n2', interfaceName: '*' } }),
      early('raw', { doNotTrack: true }, { action: 'Allow', destination: { ports: [81] } }),
      early('pre', { preDNAT: true }, { action: 'Deny', destination: { ports: ['80:82'] } }),
      early('normal', {}, { action: 'Allow' }),
    );
    const because = (port: number): string => ask(staged, 'prod/web', '192.0.2.2', `tcp/${port}`).ingress.because;
    assert.equal(because(80), 'GlobalNetworkPolicy/pre ingress[0] denies it, in tier default');
    assert.equal(because(81), 'GlobalNetworkPolicy/raw ingress[0] allows it, in tier default');
    assert.equal(because(83), 'GlobalNetworkPolicy/normal ingress[0] allows it, in tier default');
  });

  it('asks host endpoints about what they forward', () => {
    const subject = world(
      entry('HostEndpoint', 'h', { labels: { host: '' }, spec: { node: 'n2', interfaceName: '*' } }),
      entry('GlobalNetworkPolicy', 'gate', {
        spec: {
          selector: 'has(host)',
          applyOnForward: true,
          types: ['Ingress', 'Egress'],
          egress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }],
          ingress: [{ action: 'Deny', protocol: 'UDP' }, { action: 'Pass' }],
        },
      }),
    );
    const crossings = (from: string, to: string, traffic: string): unknown =>
      ask(subject, from, to, traffic).crossings.map(({ node, direction, because }) => [node, direction, because]);
    assert.deepEqual(crossings('prod/client', 'prod/web', 'tcp/80'), [
      ['n2', 'egress', 'GlobalNetworkPolicy/gate egress[0] allows it, in tier default'],
    ]);
    assert.equal(ask(subject, 'prod/client', 'prod/web', 'tcp/81').allowed, false);
    assert.equal(ask(subject, 'prod/web', 'prod/client', 'udp/80').allowed, false);
    assert.deepEqual(crossings('prod/web', 'prod/client', 'tcp/81'), [
      ['n2', 'ingress', 'no policy decides: forwarded packets pass'],
    ]);
    assert.deepEqual(crossings('node:n2', 'prod/client', 'tcp/81'), []);
  });

  it('understands kinds of traffic', () => {
    assert.deepEqual(parseTraffic('TCP/80'), { protocol: 6, sourcePort: 50000, destinationPort: 80 });
    assert.deepEqual(parseTraffic('icmp'), { protocol: 1, icmpType: 8, icmpCode: 0 });
    assert.deepEqual(parseTraffic('icmp/3/4'), { protocol: 1, icmpType: 3, icmpCode: 4 });
    assert.deepEqual(parseTraffic('89'), { protocol: 89 });
    for (const wrong of ['tcp', 'tcp/0', 'tcp/70000', 'tcp/http', 'icmp/300', '89/1', 'nonsense', '']) {
      assert.equal(parseTraffic(wrong), undefined, wrong);
    }
  });
});
