// Shows every feature of a rule with raw packets, IPv4 and IPv6: which rule a packet hits is read off the rule's counter.

import { strict as assert } from 'node:assert';
import type { CalcRule } from '../../../felix/calc/output.ts';
import type { Family } from '../../../net/address.ts';
import {
  inSync,
  ipSet,
  policyUpdate,
  port,
  portMember,
  prefix,
  profileUpdate,
  type RuleGiven,
  rule,
  tier,
  workload,
} from '../../felix/updates.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';
import { ICMP, ICMPV6, type Probe, SCTP, send, TCP, UDP, UDPLITE } from './packets.ts';

interface Feature {
  readonly given: RuleGiven;
  readonly hits: readonly Probe[];
  readonly misses: readonly Probe[];
  /** Default: both. */
  readonly families?: readonly Family[];
}

const bothFamilies: readonly Family[] = [4, 6];
const tcp = (destinationPort: number, sourcePort = 5000): Probe => ({ protocol: TCP, destinationPort, sourcePort });
const udp = (destinationPort: number, sourcePort = 5000): Probe => ({ protocol: UDP, destinationPort, sourcePort });
const icmp = (icmpType: number, icmpCode = 0): Probe => ({ protocol: ICMP, icmpType, icmpCode });
const icmpv6 = (icmpType: number, icmpCode = 0): Probe => ({ protocol: ICMPV6, icmpType, icmpCode });
const sctp = (destinationPort: number): Probe => ({ protocol: SCTP, destinationPort });
const udplite = (destinationPort: number): Probe => ({ protocol: UDPLITE, destinationPort });

const features: Readonly<Record<string, Feature>> = {
  'a protocol': { given: { protocol: UDP }, hits: [udp(1), udp(65535)], misses: [tcp(1), sctp(1)] },
  'a protocol by any number': { given: { protocol: 47 }, hits: [{ protocol: 47 }], misses: [udp(1)], families: [4] },
  notProtocol: { given: { notProtocol: UDP }, hits: [tcp(1), sctp(1)], misses: [udp(1)] },
  'ports and ranges': {
    given: { protocol: TCP, destination: { ports: [port(80), port(90, 99)] } },
    hits: [tcp(80), tcp(90), tcp(99)],
    misses: [tcp(79), tcp(81), tcp(100), udp(80)],
  },
  notPorts: {
    given: { protocol: TCP, destination: { notPorts: [port(80), port(90, 99)] } },
    hits: [tcp(81), tcp(100)],
    misses: [tcp(80), tcp(95), udp(81)],
  },
  'a range of ports without some': {
    given: { protocol: TCP, destination: { ports: [port(80, 99)], notPorts: [port(90)] } },
    hits: [tcp(80), tcp(91)],
    misses: [tcp(90), tcp(100)],
  },
  'source ports': {
    given: { protocol: UDP, source: { ports: [port(53)] } },
    hits: [udp(9, 53)],
    misses: [udp(53, 9)],
  },
  'SCTP ports': {
    given: { protocol: SCTP, destination: { ports: [port(7)] } },
    hits: [sctp(7)],
    misses: [sctp(8), tcp(7)],
  },
  'UDP-Lite ports': {
    given: { protocol: UDPLITE, destination: { ports: [port(7)] } },
    hits: [udplite(7)],
    misses: [udplite(8), udp(7)],
  },
  'named ports, beside numbers': {
    given: { protocol: TCP, destination: { ports: [port(80)], namedPortSets: ['n:http'] } },
    hits: [tcp(8080), tcp(80)],
    misses: [tcp(8081), udp(8080)],
  },
  'not a named port': {
    given: { protocol: TCP, destination: { notNamedPortSets: ['n:http'] } },
    hits: [tcp(8081)],
    misses: [tcp(8080)],
  },
  'an ICMP type': { given: { protocol: ICMP, icmp: { type: 8 } }, hits: [icmp(8)], misses: [icmp(13)], families: [4] },
  'an ICMP type and code': {
    given: { protocol: ICMP, icmp: { type: 8, code: 3 } },
    hits: [icmp(8, 3)],
    misses: [icmp(8, 0)],
    families: [4],
  },
  'not an ICMP type': {
    given: { protocol: ICMP, notIcmp: { type: 8 } },
    hits: [icmp(13)],
    misses: [icmp(8), icmp(8, 1)],
    families: [4],
  },
  'not an ICMP type and code': {
    given: { protocol: ICMP, notIcmp: { type: 8, code: 0 } },
    hits: [icmp(8, 1), icmp(13)],
    misses: [icmp(8, 0)],
    families: [4],
  },
  'an ICMPv6 type': {
    given: { protocol: ICMPV6, icmp: { type: 128 } },
    hits: [icmpv6(128)],
    misses: [icmpv6(139)],
    families: [6],
  },
  'not an ICMPv6 type and code': {
    given: { protocol: ICMPV6, notIcmp: { type: 128, code: 0 } },
    hits: [icmpv6(128, 1)],
    misses: [icmpv6(128)],
    families: [6],
  },
  'IPv4 only': { given: { family: 4, protocol: UDP }, hits: [udp(1)], misses: [tcp(1)], families: [4] },
  'IPv6 only': { given: { family: 6, protocol: UDP }, hits: [udp(1)], misses: [tcp(1)], families: [6] },
  'networks of both families': {
    given: { protocol: UDP, source: { prefixes: [prefix('10.65.0.0/30'), prefix('fd00:65::/126')] } },
    hits: [udp(1)],
    misses: [tcp(1)],
  },
  'everything, as 0.0.0.0/0 and ::/0, overlapping others': {
    given: {
      protocol: UDP,
      source: { prefixes: ['0.0.0.0/0', '10.0.0.0/8', '10.65.0.1', '::/0', 'fd00::/8'].map(prefix) },
    },
    hits: [udp(1)],
    misses: [tcp(1)],
  },
  'networks and not some of them': {
    given: {
      protocol: UDP,
      source: { prefixes: ['10.65.0.0/16', 'fd00:65::/64'].map(prefix), notPrefixes: ['10.65.1.0/24'].map(prefix) },
    },
    hits: [udp(1)],
    misses: [tcp(1)],
  },
  'selected, and not selected by another': {
    given: { protocol: UDP, source: { ipSets: ['s:a'], notIpSets: ['s:b'] } },
    hits: [udp(1)],
    misses: [tcp(1)],
  },
};

const never: Readonly<Record<string, RuleGiven>> = {
  'the other family only': { source: { prefixes: [prefix('192.0.2.0/24')] } },
  'not from where it comes': { source: { notPrefixes: ['10.65.0.1', 'fd00:65::/64'].map(prefix) } },
  'not who it comes from': { source: { notIpSets: ['s:a'] } },
  'selected by a selector that selects nobody': { source: { ipSets: ['s:nobody'] } },
  'selected by two, of which one does not': { source: { ipSets: ['s:a', 's:b'] } },
};

describe('felix in the kernel: features of rules', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let b: Pod;

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    b = node.addPod('b', 2);
    // Connection tracking of this kernel takes every UDP-Lite checksum for wrong.
    sh(`ip netns exec ${node.name} sysctl -qw net.netfilter.nf_conntrack_checksum=0`);
    felix = await node.startFelix();
    for (const update of [
      ipSet('s:a', ...a.addresses),
      ipSet('s:b', ...b.addresses, '10.99.0.0/16'),
      ipSet('s:nobody'),
      {
        kind: 'ip-set',
        id: 'n:http',
        type: 'address-ports',
        members: b.addresses.map((address) => portMember(address, TCP, 8080)),
      } as const,
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      workload('ns/a', a.interfaceName, a.addresses, { profiles: ['open'] }),
      workload('ns/b', b.interfaceName, b.addresses, { tiers: [tier(['NetworkPolicy/ns/p'], [])] }),
    ]) {
      felix.dataplane.onUpdate(update);
    }
    await apply([]);
    felix.dataplane.onUpdate(inSync);
    await felix.dataplane.settled();
  });
  after(() => node.remove());

  async function apply(rules: readonly CalcRule[], staged = false): Promise<void> {
    felix.dataplane.onUpdate(policyUpdate('NetworkPolicy/ns/p', { ingress: rules, staged }));
    await felix.dataplane.settled();
    assert.equal(felix.dataplane.status().lastError, '');
  }

  const hitsOf = (index: number): number =>
    felix.dataplane
      .hits()
      .rules.find(({ owner, origin }) => owner === 'NetworkPolicy/ns/p' && origin === `ingress[${index}]`)?.packets ??
    -1;

  /** How many of the probes of one kind the rule counts. */
  function counted(index: number, family: Family, probe: Probe): number {
    const before = hitsOf(index);
    const [from, to] = [a, b].map(({ addresses }) => addresses[family === 4 ? 0 : 1] ?? '');
    send(a.netns, from ?? '', to ?? '', probe);
    return hitsOf(index) - before;
  }

  for (const [name, { given, hits, misses, families = bothFamilies }] of Object.entries(features)) {
    it(`matches ${name}`, async () => {
      await apply([rule('deny', given), rule('deny')]);
      for (const family of families) {
        for (const probe of hits)
          assert.equal(counted(0, family, probe), 1, `hit IPv${family} ${JSON.stringify(probe)}`);
        for (const probe of misses) {
          assert.equal(counted(0, family, probe), 0, `miss IPv${family} ${JSON.stringify(probe)}`);
        }
      }
    });
  }

  for (const [name, given] of Object.entries(never)) {
    it(`does not match ${name}`, async () => {
      await apply([rule('deny', given), rule('deny')]);
      assert.deepEqual([counted(0, 4, udp(1)), counted(0, 6, udp(1))], [0, 0]);
      assert.deepEqual([counted(1, 4, udp(1)), counted(1, 6, udp(1))], [1, 1]);
    });
  }

  it('counts at the first rule that matches, in folded runs as well', async () => {
    const hosts = (from: number) => Array.from({ length: 40 }, (_, i) => prefix(`10.65.${i + from}.0/24`));
    await apply([
      ...hosts(100).map((one) => rule('deny', { protocol: UDP, source: { prefixes: [one] } })),
      rule('deny', {
        protocol: UDP,
        source: { prefixes: [prefix('10.65.0.0/24')] },
        destination: { ports: [port(53)] },
      }),
      rule('deny', { protocol: UDP, source: { prefixes: [prefix('10.65.0.0/24')] } }),
      rule('deny', { protocol: UDP, source: { prefixes: [prefix('10.65.0.1')] } }),
      ...hosts(150).map((one) => rule('deny', { protocol: UDP, source: { prefixes: [one] } })),
      rule('deny'),
    ]);
    assert.match(node.ruleset(), /fold0/);
    assert.deepEqual([counted(40, 4, udp(53)), counted(41, 4, udp(53))], [1, 0]);
    assert.deepEqual([counted(41, 4, udp(54)), counted(42, 4, udp(54))], [1, 0]);
    assert.equal(counted(83, 4, tcp(1)), 1);
  });

  it('counts a staged policy’s rules and enforces nothing of it', async () => {
    await node.serve(b.netns, 80);
    felix.dataplane.onUpdate(
      workload('ns/b', b.interfaceName, b.addresses, {
        profiles: ['open'],
        tiers: [tier(['NetworkPolicy/ns/p'], [])],
        revision: 2,
      }),
    );
    await apply([rule('deny', { protocol: TCP, destination: { ports: [port(80)] } }), rule('deny')], true);
    const before = [hitsOf(0), hitsOf(1)];
    assert.ok(node.talks(a.netns, '10.65.0.2', 80));
    assert.ok(node.talks(a.netns, 'fd00:65::2', 80));
    assert.deepEqual([hitsOf(0) - (before[0] ?? 0), hitsOf(1) - (before[1] ?? 0)], [2, 0]);
  });

  it('logs, and goes on with the next rule', async () => {
    await apply([rule('log', { protocol: TCP }), rule('allow', { protocol: TCP }), rule('deny')]);
    assert.equal(counted(0, 4, tcp(80)), 1);
    assert.equal(counted(1, 4, tcp(81)), 1);
    assert.ok(node.talks(a.netns, '10.65.0.2', 80));
    await until('nothing is wrong', () => felix.dataplane.status().ready);
  });
});
