// twillctl policy: why traffic may pass or not, from the datastore and from files, and policies under test.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeAge } from '../../cli/commands/policy-hits.ts';
import { serveControl } from '../../runtime/control.ts';
import { Cli } from './harness.ts';

const policies = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  order: 10
  selector: app == 'web'
  ingress:
  - {action: Deny, source: {namespaceSelector: "projectcalico.org/name == 'dev'"}}
  - {action: Allow, protocol: TCP, destination: {ports: [http]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
`;

const pods = `
kind: PolicyTest
namespaces: {shop: {stage: prod}, dev: {}}
pods:
  shop/web: {labels: {app: web}, ports: {http: tcp/8080}}
  shop/db: {labels: {app: db}}
  dev/laptop: {labels: {app: web}}
`;

const checks = `
checks:
- {from: shop/web, to: shop/db, allow: [tcp/5432], deny: [tcp/22, udp/5432]}
- {from: dev/laptop, to: [shop/web, shop/db], deny: [tcp/5432, tcp/8080]}
- {from: [198.51.100.7, "shop:app=cron"], to: shop/web, allow: [tcp/8080], deny: [tcp/80]}
`;

describe('twillctl policy test', () => {
  it('evaluates a truth table without a cluster', async () => {
    const cli = await Cli.start();
    const { code, out } = await cli.run('policy test -f -', `${pods}${checks}---${policies}`);
    assert.match(out, /\n11 passed, 0 failed\n$/);
    assert.match(out, /^ok {4}shop\/web -> shop\/db {2}tcp\/5432 {2}allowed\n/);
    assert.equal(code, 0);
  });

  it('passes the example of the documentation', async () => {
    const cli = await Cli.start();
    for (const name of ['shop-policy.yaml', 'shop-policy-test.yaml']) {
      const path = `docs/examples/${name}`;
      cli.files.set(path, readFileSync(path, 'utf8'));
    }
    const { code, out } = await cli.run('policy test -f docs/examples/shop-policy-test.yaml');
    assert.match(out, /\n12 passed, 0 failed\n$/);
    assert.equal(code, 0);
  });

  it('explains what fails, and ends with 1', async () => {
    const cli = await Cli.start();
    const wrong = `${pods}checks: [{from: "shop:app=cron", to: shop/db, allow: [tcp/5432]}, {from: shop/none, to: shop/db, deny: [icmp]}]\n`;
    const { code, out, err } = await cli.run('policy test -f -', `${wrong}---${policies}`);
    assert.equal(code, 1);
    assert.equal(err, '');
    assert.match(out, /^FAIL {2}shop:app=cron -> shop\/db {2}tcp\/5432 {2}allowed\n/);
    assert.match(out, /ingress: the end of tier default denies it: NetworkPolicy\/shop\/knp\.default\.db applies/);
    assert.match(
      out,
      /knp\.default\.db spec\.ingress\[0\]\.from\[0\] would allow it, but: the source 240\.0\.0\.1 is not selected/,
    );
    assert.match(out, /there is no endpoint shop\/none\n0 passed, 2 failed\n$/);
  });

  it('names rules that nothing enforces where a check fails', async () => {
    const cli = await Cli.start();
    const byService = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {selector: "app == 'web'", types: [Egress], egress: [{action: Allow, destination: {services: {name: db}}}]}
`;
    const { code, out } = await cli.run(
      'policy test -f -',
      `${pods}checks: [{from: shop/web, to: shop/db, allow: [tcp/5432]}]\n---${byService}`,
    );
    assert.equal(code, 1);
    assert.match(
      out,
      /NetworkPolicy\/shop\/web egress\[0\] has a match on services or HTTP, which is not enforced here/,
    );
  });

  it('says what is wrong with a test', async () => {
    const cli = await Cli.start();
    const { code, err } = await cli.run(
      'policy test -f -',
      'kind: PolicyTest\nchecks: [{from: a, to: b, allow: [tcp]}]\n',
    );
    assert.equal(code, 1);
    assert.match(err, /checks\[0\]\.allow\[0\]: "tcp" is not traffic; write tcp\/80/);
    assert.match((await cli.run('policy test -f -', policies)).err, /no document of kind PolicyTest/);
  });
});

describe('twillctl policy why', () => {
  const inFile = `${pods}checks: []\n---${policies}`;

  it('lists all that may pass when no port is given', async () => {
    const cli = await Cli.start();
    const { out } = await cli.run('policy why -f - 198.51.100.7 shop/web', inFile);
    assert.match(out, /tcp {8}8080\n {2}udp {8}denied\n/);
  });

  it('names who decides, in the datastore too', async () => {
    const cli = await Cli.start();
    const endpoint = `
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: kns.shop}
spec: {egress: [{action: Allow}], ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: n1-k8s-web-eth0, namespace: shop}
spec: {orchestrator: k8s, node: n1, pod: web, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [kns.shop]}
`;
    const applied = await cli.run('apply -f -', endpoint);
    assert.equal(applied.code, 0, applied.err);
    const allowed = await cli.run('policy why 198.51.100.7 web tcp/80 -n shop');
    assert.match(allowed.out, /^ALLOWED {2}198\.51\.100\.7 -> shop\/web \(10\.0\.0\.1\) {2}tcp\/80\n/);
    assert.match(allowed.out, /NetworkPolicy\/shop\/web ingress\[0\] allows it, in tier default/);
    const json = JSON.parse((await cli.run('policy why 198.51.100.7 shop/web tcp/81 -o json')).out);
    assert.equal(json.allowed, false);
    assert.equal(json.ingress.decidedBy.kind, 'tier-default');
  });

  it('refuses what it does not understand', async () => {
    const cli = await Cli.start();
    assert.match(
      (await cli.run('policy why -f - shop/nobody shop/web tcp/80', inFile)).err,
      /there is no endpoint shop\/nobody; give namespace\/pod/,
    );
    assert.match(
      (await cli.run('policy why -f - shop/web shop/db tcp/http', inFile)).err,
      /tcp\/http is not traffic; write tcp\/80/,
    );
  });
});

describe('twillctl policy hits', () => {
  const hit = (origin: string, packets: number, more: Readonly<Record<string, unknown>> = {}) => ({
    owner: 'NetworkPolicy/shop/web',
    kind: 'policy',
    direction: 'ingress',
    origin,
    action: 'allow',
    staged: false,
    packets,
    bytes: packets * 60,
    ...more,
  });

  it('says how old the reports of other nodes are', () => {
    const at = (time: string) => ({ node: 'a', json: JSON.stringify({ at: time, rules: [] }) });
    const nowMs = Date.parse('2026-11-28T12:00:10Z');
    assert.equal(describeAge([], nowMs), '');
    assert.equal(
      describeAge([at('2026-11-28T12:00:02.000Z'), at('2026-11-28T12:00:09.000Z')], nowMs),
      'Other nodes reported up to 8 s ago.\n',
    );
  });

  it('sums the counters of all nodes', async () => {
    const cli = await Cli.start();
    assert.match((await cli.run('policy hits')).err, /no node reports/);
    const { openEphemeral } = await import('../../datastore/ephemeral.ts');
    const ephemeral = await openEphemeral({ store: cli.store });
    const others = [{ name: 'ingress/default-action/default', packets: 3, bytes: 180 }];
    await ephemeral.publish(
      'hits',
      'a',
      JSON.stringify({ rules: [hit('ingress[10]', 1), hit('ingress[9]', 0)], others }),
      30,
    );
    await ephemeral.publish(
      'hits',
      'b',
      JSON.stringify({
        rules: [
          hit('ingress[10]', 4),
          hit('ingress[0]', 1, { owner: 'GlobalNetworkPolicy//all' }),
          hit('profile is missing', 0, { owner: 'gone', kind: 'profile', action: 'deny' }),
          hit('profile is missing', 3, { owner: 'gone', kind: 'profile', action: 'deny', direction: 'egress' }),
          hit('egress[0]', 2, { owner: 'kns.shop', kind: 'profile' }),
        ],
        others: [],
      }),
      30,
    );
    const { out } = await cli.run('policy hits');
    assert.deepEqual(
      out.split('\n').map((line) => line.split(/ {2,}/).join('|')),
      [
        'POLICY|RULE|ACTION|PACKETS|BYTES|NODES',
        'GlobalNetworkPolicy/all|ingress[0]|allow|1|60|1',
        'NetworkPolicy/shop/web|ingress[9]|allow|0|0|1',
        'NetworkPolicy/shop/web|ingress[10]|allow|5|300|2',
        'profile/gone|profile is missing|deny|3|180|1',
        'profile/kns.shop|egress[0]|allow|2|120|1',
        'ingress/default-action/default|deny|3|180|1',
        '',
      ],
    );
    const runDir = mkdtempSync(join(tmpdir(), 'twill-hits-'));
    const now = { node: 'a', at: new Date().toISOString(), rules: [hit('ingress[10]', 7)], others: [] };
    const felix = await serveControl(join(runDir, 'felix.sock'), { 'GET /v1/hits': () => now });
    const asked = JSON.parse((await cli.run(`policy hits web -o json --run-dir ${runDir}`)).out);
    felix.close();
    rmSync(runDir, { recursive: true });
    assert.deepEqual(
      asked.map(({ rule, packets, nodes }: Record<string, unknown>) => [rule, packets, nodes]),
      [['ingress[10]', 11, 2]],
      'the node at hand says itself what it has, in the place of its report',
    );
    assert.equal(JSON.parse((await cli.run('policy hits web -o json')).out).length, 2);
    assert.equal(JSON.parse((await cli.run('policy hits GlobalNetworkPolicy/all -o json')).out).length, 1);
    assert.equal(JSON.parse((await cli.run('policy hits --unused -o json')).out).length, 1);
    await ephemeral.close();
  });
});

describe('twillctl policy lint', () => {
  it('lists findings, and ends with 1 when there are errors', async () => {
    const cli = await Cli.start();
    const fine = await cli.run('policy lint -f -', policies);
    assert.deepEqual(fine, { code: 0, out: '0 errors, 0 warnings\n', err: '' });
    const open = policies.replace('{action: Deny, source', '{action: Deny}\n  - {action: Deny, source');
    const { code, out } = await cli.run('policy lint -f -', open);
    assert.equal(code, 1);
    assert.match(
      out,
      /^warning {2}NetworkPolicy\/shop\/web ingress\[1\]: ingress\[0\] does the same for all that it matches\n/,
    );
    assert.match(
      out,
      /\nerror {4}NetworkPolicy\/shop\/web ingress\[2\]: is never reached: ingress\[0\] decides first \(deny\)\n/,
    );
    assert.match(out, /\n1 errors, 1 warnings\n$/);
  });
});
