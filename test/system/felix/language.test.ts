// Shows the policy language from resources to packets, IPv4 and IPv6, where order, defaults and who is meant decide: what single
// rules match is shown by rule-features.test.ts, and the rest of the language as README.md lists it.

import assert from 'node:assert/strict';
import { entry, type TestKind } from '../../felix/calc/world.ts';
import { sh } from './node.ts';
import { type Json, PolicyNode } from './policy-node.ts';

describe('the policy language on the wire', function () {
  this.timeout(120_000);
  let site: PolicyNode;

  before(async () => {
    site = await PolicyNode.start();
  });
  after(() => site.remove());

  const world: PolicyNode['world'] = (resources, given) => site.world(resources, given);
  const expect: PolicyNode['expect'] = (expected) => site.expect(expected);

  const policy = (path: string, spec: Json): [string, string] => {
    const kind: TestKind = path.includes('/') ? 'NetworkPolicy' : 'GlobalNetworkPolicy';
    return entry(kind, path, { spec: { tier: 'default', ...spec } });
  };
  const udp = (port: number | string, rest: Json = {}): Json => ({
    action: 'Allow',
    protocol: 'UDP',
    destination: { ports: [port] },
    ...rest,
  });
  const allow = { action: 'Allow' };
  const deny = { action: 'Deny' };
  const toB = "app == 'b'";

  it('orders policies by order, then by name, and those without an order last', async () => {
    await world([
      policy('n1/z-first', { order: 1, selector: toB, ingress: [udp(1)] }),
      policy('n1/a-second', { order: 2, selector: toB, ingress: [{ ...udp(1), action: 'Deny' }, udp(2)] }),
      policy('n1/same-a', { order: 3, selector: toB, ingress: [udp(3)] }),
      policy('n1/same-b', { order: 3, selector: toB, ingress: [{ ...udp(3), action: 'Deny' }, udp(4)] }),
      policy('n1/a-last', { selector: toB, ingress: [{ ...udp(4), action: 'Deny' }, udp(5)] }),
    ]);
    await expect({ 'a > b udp/1': true, 'a > b udp/2': true, 'a > b udp/3': true, 'a > b udp/4': true });
    await expect({ 'a > b udp/5': true, 'a > b udp/6': false, 'a > c udp/6': true });
  });

  it('orders tiers, and takes their default action where no rule decides', async () => {
    await world([
      entry('Tier', 'late', { spec: { order: 20, defaultAction: 'Deny' } }),
      entry('Tier', 'early', { spec: { order: 10, defaultAction: 'Pass' } }),
      policy('e', {
        tier: 'early',
        selector: toB,
        types: ['Ingress'],
        ingress: [{ ...udp(1), action: 'Deny' }, udp(2), { ...udp(3), action: 'Pass' }],
      }),
      policy('l', {
        tier: 'late',
        selector: toB,
        types: ['Ingress'],
        ingress: [udp(1), udp(3), udp(4), { ...udp(5), action: 'Pass' }],
      }),
    ]);
    await expect({
      'a > b udp/1': false,
      'a > b udp/2': true,
      'a > b udp/3': true,
      'a > b udp/4': true,
      // Passed by both, and no policy in the default tier: the profile allows it.
      'a > b udp/5': true,
      'a > b udp/6': false,
    });
  });

  it('says by the rules which direction a policy is about', async () => {
    await world([policy('n1/in', { selector: toB, ingress: [udp(1)] })]);
    await expect({ 'a > b udp/1': true, 'a > b udp/2': false, 'b > a udp/2': true });
    await world([policy('n1/out', { selector: toB, egress: [udp(1)] })]);
    await expect({ 'b > a udp/1': true, 'b > a udp/2': false, 'a > b udp/2': true });
    await world([policy('n1/both', { selector: toB, ingress: [udp(1)], egress: [udp(2)] })]);
    await expect({ 'a > b udp/1': true, 'a > b udp/2': false, 'b > a udp/1': false, 'b > a udp/2': true });
    await world([policy('n1/none', { selector: toB })]);
    await expect({ 'a > b udp/1': false, 'b > a udp/1': true });
  });

  it('enforces nothing of staged policies, also where a tier has no others', async () => {
    const staged = entry('StagedNetworkPolicy', 'n1/s', { spec: { tier: 'default', selector: toB, ingress: [deny] } });
    await world([staged]);
    await expect({ 'a > b udp/1': true });
    await world([staged, policy('n1/p', { selector: toB, ingress: [udp(1)] })]);
    await expect({ 'a > b udp/1': true, 'a > b udp/2': false });
    const hit = site.felix.dataplane.hits().rules.find(({ owner }) => owner.startsWith('StagedNetworkPolicy'));
    assert.ok((hit?.packets ?? 0) > 0, 'but counts it');
  });

  it('drops what a policy with nothing but Log rules selects', async () => {
    await world([policy('n1/log', { selector: toB, ingress: [{ action: 'Log' }] })]);
    await expect({ 'a > b udp/1': false, 'a > c udp/1': true });
  });

  it('asks profiles one after the other where no policy applies, and denies without one', async () => {
    await world([entry('Profile', 'p1', { spec: { ingress: [{ ...udp(1), action: 'Deny' }, udp(2)] } })], {
      b: { profiles: ['p1', 'kns.n1'] },
      c: { profiles: [] },
    });
    await expect({
      'a > b udp/1': false,
      'a > b udp/2': true,
      'a > b udp/3': true,
      'a > c udp/1': false,
      'c > a udp/1': false,
    });
  });

  it('limits a namespaced policy’s selectors to its namespace, unless others are named', async () => {
    const from = (source: Json): Json => ({ action: 'Allow', source });
    const sets = [
      entry('GlobalNetworkSet', 'far', { labels: { app: 'far' }, spec: { nets: ['192.0.2.9/32', '2001:db8::9/128'] } }),
    ];
    const into = (...sources: readonly Json[]): readonly (readonly [string, string])[] => [
      ...sets,
      policy('n1/p', { selector: toB, ingress: sources.map(from) }),
    ];
    await world(into({ selector: 'has(app)' }));
    await expect({ 'a > b udp/1': true, 'd > b udp/1': false, 'outside > b udp/1': false });
    await world(into({ selector: 'has(app)', namespaceSelector: 'all()' }));
    await expect({ 'a > b udp/1': true, 'd > b udp/1': true, 'outside > b udp/1': false });
    await world(into({ selector: 'has(app)', namespaceSelector: 'global()' }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': false, 'outside > b udp/1': true });
    await world(into({ namespaceSelector: "team == 'one'" }));
    await expect({ 'a > b udp/1': true, 'd > b udp/1': false });
    await world(into({ notSelector: "app == 'a'" }));
    await expect({ 'a > b udp/1': false, 'c > b udp/1': true, 'd > b udp/1': false, 'outside > b udp/1': false });
    // Networks alone are not bound to the namespace.
    await world(into({ nets: ['10.65.0.4/32'] }, { nets: ['fd00:65::4/128'] }));
    await expect({ 'a > b udp/1': false, 'd > b udp/1': true });
  });

  it('knows service accounts by name and by label', async () => {
    const account = (name: string, role: string): [string, string] =>
      entry('Profile', `ksa.n1.${name}`, {
        spec: { labelsToApply: { 'pcsa.projectcalico.org/name': name, 'pcsa.role': role } },
      });
    const accounts = [account('x', 'client'), account('y', 'other')];
    const pods = {
      a: { serviceAccountName: 'x', profiles: ['kns.n1', 'ksa.n1.x'] },
      c: { serviceAccountName: 'y', profiles: ['kns.n1', 'ksa.n1.y'] },
    };
    for (const match of [{ names: ['x'] }, { selector: "role == 'client'" }]) {
      await world(
        [
          ...accounts,
          policy('n1/p', { selector: toB, ingress: [{ action: 'Allow', source: { serviceAccounts: match } }] }),
        ],
        pods,
      );
      await expect({ 'a > b udp/1': true, 'c > b udp/1': false });
    }
    await world(
      [...accounts, policy('n1/p', { selector: 'all()', serviceAccountSelector: "role == 'client'", ingress: [deny] })],
      pods,
    );
    await expect({ 'c > a udp/1': false, 'a > c udp/1': true });
  });

  it('takes a port’s name for the number that each pod gives it, of that protocol', async () => {
    const ports = (port: number, protocol: string): Json => ({ ports: [{ name: 'web', port, protocol }] });
    const rules = ['TCP', 'SCTP'].map((protocol) => ({ action: 'Allow', protocol, destination: { ports: ['web'] } }));
    await world([policy('n1/p', { selector: 'all()', ingress: rules })], {
      b: ports(80, 'TCP'),
      c: ports(8080, 'SCTP'),
    });
    await expect({
      'a > b tcp/80': true,
      'a > b tcp/8080': false,
      'a > b sctp/80': false,
      'a > c sctp/8080': true,
      'a > c tcp/8080': false,
      'a > c sctp/80': false,
      'b > a tcp/80': false,
    });
    // Outside hosts have no names.
    await world([policy('n1/out', { selector: "app == 'a'", egress: rules })], { b: ports(80, 'TCP') });
    await expect({ 'a > b tcp/80': true, 'a > outside tcp/80': false });
  });

  it('lets through what is sent from allowed source prefixes, and to no other pod', async () => {
    const prefixes = ['10.77.0.0/24', 'fd00:77::/64'];
    const a = site.stations.get('a') ?? assert.fail();
    for (const address of ['10.77.0.1/32', 'fd00:77::1/128']) sh(`ip -n ${a.netns} addr add ${address} dev lo nodad`);
    const arrives = async (): Promise<boolean[]> => {
      const spoofs = [0, 1].map((family) => ({
        ...site.sendingOf('a > b udp/1', family),
        from: ['10.77.0.1', 'fd00:77::1'][family] ?? '',
      }));
      sh(`ip -n ${a.netns} route replace default via 169.254.1.1 src 10.77.0.1`);
      sh(`ip -n ${a.netns} -6 route replace default via fe80::1 dev eth0 src fd00:77::1`);
      return [...(await site.wire.send(spoofs, [true, true]))];
    };
    await world([]);
    assert.deepEqual(await arrives(), [false, false]);
    await world([], { a: { allowSpoofedSourcePrefixes: prefixes } });
    assert.deepEqual(await arrives(), [true, true]);
    sh(
      `ip -n ${a.netns} route replace default via 169.254.1.1; ip -n ${a.netns} -6 route replace default via fe80::1 dev eth0`,
    );
    await expect({ 'a > b udp/1': true });
  });

  it('lets no workload send what another node would unpack, unless it is told to', async () => {
    await world([]);
    await expect({ 'a > outside udp/4789': false, 'a > b udp/4789': false, 'a > outside udp/4790': true });
    await expect({ 'outside > a udp/4789': true });
    await world([entry('FelixConfiguration', 'default', { spec: { vxlanPort: 4790 } })]);
    await expect({ 'a > outside udp/4789': true, 'a > outside udp/4790': false });
    await world([entry('FelixConfiguration', 'default', { spec: { allowVXLANPacketsFromWorkloads: true } })]);
    await expect({ 'a > outside udp/4789': true });
  });

  it('judges fragments by the whole packet', async () => {
    await site.node.serve(site.stations.get('b')?.netns ?? '', 90);
    const big = 'x'.repeat(4000);
    const talks = (address: string): boolean => {
      const host = address.includes(':') ? `UDP6:[${address}]:90` : `UDP4:${address}:90`;
      const a = site.stations.get('a')?.netns;
      return sh(`printf ${big} | ip netns exec ${a} socat -b 5000 -t 0.4 - ${host} | wc -c`).trim() === '4000';
    };
    const b = site.stations.get('b') ?? assert.fail();
    await world([policy('n1/p', { selector: toB, ingress: [udp(90)] })]);
    assert.deepEqual(b.addresses.map(talks), [true, true]);
    await world([policy('n1/p', { selector: toB, ingress: [udp(91)] })]);
    assert.deepEqual(b.addresses.map(talks), [false, false]);
  });

  it('does not come between a pod and its own address', async () => {
    await world([policy('n1/none', { selector: 'all()', types: ['Ingress', 'Egress'] })]);
    await expect({ 'a > a udp/1': true, 'a > b udp/1': false });
  });

  it('applies a thousand policies to one pod, in their order', async () => {
    const many = Array.from({ length: 1000 }, (_, i) =>
      policy(`n1/p${i}`, {
        order: i,
        selector: toB,
        ingress: [udp(1000 + i), { ...udp(3000), action: i === 999 ? 'Allow' : 'Log' }],
      }),
    );
    await world(many);
    await expect({
      'a > b udp/1000': true,
      'a > b udp/1500': true,
      'a > b udp/1999': true,
      'a > b udp/2000': false,
      'a > b udp/3000': true,
    });
    await world([
      ...many,
      policy('n1/first', { order: -1, selector: toB, ingress: [{ ...udp(1999), action: 'Deny' }] }),
    ]);
    await expect({ 'a > b udp/1999': false, 'a > b udp/1998': true });
  });

  it('tells one of a hundred thousand whom a selector selects', async () => {
    const sets = Array.from({ length: 100 }, (_, i) =>
      entry('GlobalNetworkSet', `s${i}`, {
        labels: { crowd: '' },
        spec: { nets: Array.from({ length: 1000 }, (_unused, j) => `10.${100 + i}.${j >> 8}.${j & 255}/32`) },
      }),
    );
    const outside = entry('GlobalNetworkSet', 'them', {
      labels: { crowd: '' },
      spec: { nets: ['192.0.2.9/32', '2001:db8::9/128'] },
    });
    const rules = policy('n1/p', {
      selector: toB,
      ingress: [{ action: 'Allow', source: { selector: 'has(crowd)', namespaceSelector: 'global()' } }],
    });
    await world([...sets, rules, outside]);
    await expect({ 'outside > b udp/1': true, 'a > b udp/1': false });
    await world([...sets, rules]);
    await expect({ 'outside > b udp/1': false });
  });

  it('gives an address’s next owner its own policy from the first packet on', async () => {
    await world([
      policy('n1/p', { selector: toB, ingress: [allow] }),
      policy('n1/c', { selector: "app == 'c'", ingress: [deny] }),
    ]);
    await expect({ 'a > b udp/1': true, 'a > c udp/1': false });
    const [b, c] = [site.stations.get('b') ?? assert.fail(), site.stations.get('c') ?? assert.fail()];
    // c's address goes to b, with b's policy.
    for (const address of c.addresses) {
      sh(
        `ip -n ${c.netns} addr flush dev eth0; ip -n ${b.netns} addr add ${address} dev eth0 ${address.includes(':') ? 'nodad' : ''}`,
      );
    }
    site.stations.set('b', { ...b, addresses: c.addresses });
    site.stations.set('c', { ...c, addresses: ['10.65.0.30', 'fd00:65::30'] });
    await world([
      policy('n1/p', { selector: toB, ingress: [allow] }),
      policy('n1/c', { selector: "app == 'c'", ingress: [deny] }),
    ]);
    await expect({ 'a > b udp/1': true });
  });
});
