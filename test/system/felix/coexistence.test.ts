// Shows that felix lives beside Docker's and kube-proxy's rules (iptables and nftables mode) and an admin's own table: theirs work and stay as
// they are through our start, changes, restart and removal; ours work and stay through their reload.
//
// The rules have the form that these programs give theirs, through Debian's iptables-nft. A service's address leads to a
// pod, a published port to a container, and FORWARD drops what nobody accepts, as dockerd sets it.

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { inSync, policyUpdate, port, prefix, profileUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

const service = '10.96.0.10';
const nftService = '10.96.0.20';
const container = '172.17.0.2';

const docker = `
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d ${container}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8088 -j DNAT --to-destination ${container}:80
COMMIT
`;

/** Without flushing: kube-proxy, too, adds to what is there. */
const kubeProxy = `
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
-I INPUT -j KUBE-FIREWALL
-I FORWARD -j KUBE-FORWARD
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
-I PREROUTING -j KUBE-SERVICES
-I OUTPUT -j KUBE-SERVICES
-I POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-SERVICES -d ${service}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-SVC-WEB
-A KUBE-SVC-WEB -p tcp -m tcp -j DNAT --to-destination 10.65.0.2:8080
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
`;

/** As kube-proxy lays it out in nftables mode: maps of verdicts in a table of its own, filters before destination NAT. */
const kubeProxyNft = `
table ip kube-proxy {
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { ${nftService} . tcp . 80 : goto service-web }; }
  map service-nodeports { type inet_proto . inet_service : verdict; elements = { tcp . 30081 : goto external-web }; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; }
  chain filter-output { type filter hook output priority -110; ct state new jump service-endpoints-check; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    fib daddr type local meta l4proto . th dport vmap @service-nodeports
  }
  chain external-web { jump mark-for-masquerade; goto service-web; }
  chain service-web { numgen random mod 1 vmap { 0 : goto endpoint-web }; }
  chain endpoint-web { meta l4proto tcp dnat to 10.65.0.2:8080; }
  chain mark-for-masquerade { mark set mark or 0x4000; }
  chain masquerading { mark and 0x4000 == 0 return; mark set mark xor 0x4000; masquerade fully-random; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
`;

const admin = `
table inet admin {
  set banned { type ipv4_addr; elements = { 203.0.113.7 }; }
  counter seen { }
  chain input { type filter hook input priority filter; policy accept; ip saddr @banned drop; tcp dport 22 counter name seen; }
  chain forward { type filter hook forward priority filter + 5; policy accept; ip saddr @banned drop; }
}
`;

describe('felix beside Docker, kube-proxy and an admin', function () {
  this.timeout(90_000);
  let node: TestNode;
  let felix: Felix;
  let client: Pod;
  let web: Pod;
  let theirs: string;

  const inNode = (command: string, input = ''): string =>
    execFileSync('ip', ['netns', 'exec', node.name, 'sh', '-ec', command], {
      input,
      encoding: 'utf8',
      // nft says there that these tables are those of iptables-nft.
      stdio: ['pipe', 'pipe', 'ignore'],
    });
  /** Everything but our table, without what packets have counted. */
  const foreignRules = (): string =>
    inNode('nft -s list ruleset')
      .split(/^(?=table )/m)
      .filter((table) => !table.startsWith('table inet twill '))
      .join('');
  /** Without the answers of cut flows, which are no rules: they come when a cut is done, some time after the change. */
  const ourRules = (): string =>
    inNode('nft -s list table inet twill').replaceAll(
      /(set revoked-answers[46] \{[^{}]*timeout 5m\n)\t\telements = \{[^}]*\}\n/g,
      '$1',
    );

  const webPolicy = (...from: readonly string[]): CalcUpdate =>
    policyUpdate('NetworkPolicy/ns/web', {
      ingress: [
        rule('allow', {
          protocol: 6,
          source: { prefixes: from.map(prefix) },
          destination: { ports: [port(8080)] },
        }),
      ],
    });
  const clientPolicy = (action: 'allow' | 'deny'): CalcUpdate =>
    policyUpdate('NetworkPolicy/ns/client', { egress: [rule(action)] });
  const everybody = ['0.0.0.0/0'];

  const apply = async (...updates: readonly CalcUpdate[]): Promise<void> => {
    for (const update of updates) felix.dataplane.onUpdate(update);
    await felix.dataplane.settled();
    assert.equal(felix.dataplane.status().lastError, '');
  };
  const start = async (): Promise<void> => {
    felix = await node.startFelix();
    await apply(
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      webPolicy(...everybody),
      clientPolicy('allow'),
      workload('ns/web', web.interfaceName, web.addresses, {
        profiles: ['open'],
        tiers: [tier(['NetworkPolicy/ns/web'], [])],
      }),
      workload('ns/client', client.interfaceName, client.addresses, {
        profiles: ['open'],
        tiers: [tier([], ['NetworkPolicy/ns/client'])],
      }),
      inSync,
    );
  };
  /** A probe's patience is short, and the machine may be busy. */
  const works = (what: string, probe: () => boolean): Promise<void> => until(what, probe, 15_000);
  const usesService = (): boolean => node.talks(client.netns, service, 80);
  const usesNftService = (): boolean => node.talks(client.netns, nftService, 80);
  const usesNftNodePort = (): boolean => node.talks(node.outside, '192.0.2.1', 30081);
  const usesNodePort = (): boolean => node.talks(node.outside, '192.0.2.1', 30080);
  const usesContainer = (): boolean => node.talks(node.outside, '192.0.2.1', 8088);

  before(async () => {
    node = new TestNode();
    client = node.addPod('client', 1);
    web = node.addPod('web', 2);
    const box = `${node.name}-box`;
    node.pods.push({ name: 'box', netns: box, interfaceName: 'vethbox', addresses: [container] });
    sh(`
      ip netns add ${box}; ip -n ${box} link set lo up
      ip -n ${node.name} link add docker0 type bridge; ip -n ${node.name} addr add 172.17.0.1/16 dev docker0
      ip -n ${node.name} link add vethbox type veth peer name eth0 netns ${box}
      ip -n ${node.name} link set vethbox master docker0 up; ip -n ${node.name} link set docker0 up
      ip -n ${box} addr add ${container}/16 dev eth0; ip -n ${box} link set eth0 up
      ip -n ${box} route add default via 172.17.0.1
      ip netns exec ${node.name} sysctl -qw net.ipv4.ip_forward=1
    `);
    await node.serve(web.netns, 8080);
    await node.serve(box, 80);
    await node.serve(node.outside, 53);
    inNode('iptables-nft-restore', docker);
    inNode('iptables-nft-restore --noflush', kubeProxy);
    inNode('nft -f -', kubeProxyNft);
    inNode('nft -f -', admin);
    theirs = foreignRules();
  });
  after(() => node.remove());

  it('starts without touching theirs, and needs one rule in DOCKER-USER where FORWARD drops', async () => {
    await start();
    assert.equal(foreignRules(), theirs);
    await works('the container', usesContainer);
    await works('kube-proxy marks and accepts what comes by a node port', usesNodePort);
    assert.equal(node.talks(client.netns, '192.0.2.9', 53), false, 'FORWARD drops what nobody there accepts');
    inNode('iptables-nft -I DOCKER-USER -i cali+ -j ACCEPT; iptables-nft -I DOCKER-USER -o cali+ -j ACCEPT');
    theirs = foreignRules();
    await works('outside, from the pod', () => node.talks(client.netns, '192.0.2.9', 53));
    await works('the service', usesService);
    await works('the service, by nftables', usesNftService);
    await works('its node port', usesNftNodePort);
  });

  it('decides about the pod behind a service address, whatever theirs accept', async () => {
    await apply(webPolicy('192.0.2.0/24'));
    assert.equal(usesService(), false);
    assert.equal(usesNftService(), false);
    await works('the node port', usesNodePort);
    await works('the other node port', usesNftNodePort);
    await apply(webPolicy('10.65.0.1/32'));
    await works('the service', usesService);
    // The source is still the client's: kube-proxy masquerades later.
    assert.equal(usesNodePort(), false);
    assert.equal(usesNftNodePort(), false);
    await apply(webPolicy('10.65.0.1/32', '192.0.2.9/32'));
    await works('the node port', usesNodePort);
    await apply(clientPolicy('deny'));
    assert.equal(usesService(), false);
    assert.equal(node.talks(client.netns, container, 80), false);
    await apply(clientPolicy('allow'), webPolicy(...everybody));
    await works('the container, from the pod', () => node.talks(client.netns, container, 80));
    await works('the container', usesContainer);
    assert.equal(foreignRules(), theirs);
  });

  it('stays when they load theirs anew', async () => {
    const ours = ourRules();
    const saved = inNode('iptables-nft-save');
    inNode('iptables-nft-restore', saved);
    for (const table of ['ip kube-proxy', 'inet admin']) inNode(`nft delete table ${table}`);
    inNode('nft -f -', kubeProxyNft);
    inNode('nft -f -', admin);
    assert.equal(ourRules(), ours);
    assert.equal(foreignRules().split('\n').sort().join('\n'), theirs.split('\n').sort().join('\n'));
    theirs = foreignRules();
    await apply(webPolicy('192.0.2.0/24'));
    assert.equal(usesService(), false);
    await apply(webPolicy(...everybody));
    await works('the service', usesService);
    await works('the service, by nftables', usesNftService);
  });

  it('leaves theirs through a restart, and when our table is removed', async () => {
    const ours = ourRules();
    await node.stopFelix(felix);
    await works('both work while felix is away', usesService);
    await start();
    assert.equal(ourRules(), ours);
    assert.equal(foreignRules(), theirs);
    await works('the service', usesService);
    await node.stopFelix(felix);
    inNode('nft delete table inet twill');
    assert.equal(foreignRules(), theirs);
    await works('the service', usesService);
    await works('the service, by nftables', usesNftService);
    await works('the node port', usesNodePort);
    await works('the container', usesContainer);
  });
});
