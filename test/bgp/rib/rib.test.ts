// What peers are sent for what others have sent: export rules, reflection, split horizon, late and slow peers, refilters.

import assert from 'node:assert/strict';
import type { RouteFilter } from '../../../bgp/rib/policy.ts';
import { address, attributes, CLUSTER_ID, ipv4, Lab, OWN_AS, OWN_ID, prefix, update } from './harness.ts';

const P = '192.0.2.0/24';

describe('routes between peers', () => {
  it('eBGP to eBGP: own AS in front, next hop self, no LOCAL_PREF, no MED', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    from.announce(P, { med: 5, communities: [1] });
    lab.rib.flush();
    assert.deepEqual(to.table.get(P), {
      origin: 0,
      asPath: [{ kind: 'sequence', asns: [OWN_AS, 64601] }],
      nextHop: OWN_ID,
      communities: [1],
    });
    assert.equal(from.table.size, 0);
    from.withdraw(P);
    lab.rib.flush();
    assert.equal(to.table.size, 0);
  });

  it('eBGP to iBGP: LOCAL_PREF 100, path and next hop unchanged, MED kept', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer();
    from.announce(P, { med: 5 });
    lab.rib.flush();
    assert.deepEqual(to.table.get(P), { ...attributes({ med: 5 }), localPref: 100 });
  });

  it('iBGP to iBGP only by reflection, with ORIGINATOR_ID and CLUSTER_LIST', () => {
    const lab = new Lab();
    const client = lab.peer({ client: true, routerId: 7, address: '10.0.0.7' });
    const plain = lab.peer({ routerId: 8 });
    const other = lab.peer({ routerId: 9 });
    client.announce(P, { localPref: 100 });
    plain.announce('198.51.100.0/24', { localPref: 200, originatorId: 77, clusterList: [55] });
    lab.rib.flush();
    const reflected = { ...attributes({ localPref: 100 }), originatorId: 7, clusterList: [CLUSTER_ID] };
    assert.deepEqual(other.table.get(P), reflected);
    assert.equal(other.table.has('198.51.100.0/24'), false);
    assert.deepEqual(client.table.get('198.51.100.0/24'), {
      ...attributes({ localPref: 200 }),
      originatorId: 77,
      clusterList: [CLUSTER_ID, 55],
    });
  });

  it('does not tell a peer of a route with the peer as next hop (RFC 4271 §5.1.3)', () => {
    for (const addPath of [false, true]) {
      const lab = new Lab();
      const from = lab.peer({ client: true, address: '10.0.0.7' });
      const [one, two] = ['10.0.0.8', '10.0.0.9'].map((text) => lab.peer({ address: text, treatment: { addPath } }));
      const toldOf = () => [one, two].map((peer) => [...(peer?.table.values() ?? [])].map(({ nextHop }) => nextHop));
      for (const [nextHop, ofOne, ofTwo] of [
        ['10.0.0.8', [], [ipv4('10.0.0.8')]],
        ['10.0.0.9', [ipv4('10.0.0.9')], []],
        ['10.0.0.7', [ipv4('10.0.0.7')], [ipv4('10.0.0.7')]],
        ['10.0.0.9', [ipv4('10.0.0.9')], []],
      ] as const) {
        from.announce(P, { localPref: 100, nextHop: ipv4(nextHop) });
        lab.rib.flush();
        assert.deepEqual(toldOf(), [ofOne, ofTwo]);
        // One that comes now hears the same.
        const late = lab.peer({ address: '10.0.0.10', treatment: { addPath } });
        assert.equal(late.table.size, 1);
      }
      from.withdraw(P);
      lab.rib.flush();
      assert.deepEqual(toldOf(), [[], []]);
    }
  });

  it('names ourselves instead, where that is the rule: to other ASs', () => {
    const lab = new Lab();
    const to = lab.peer({ asn: 64602, address: '10.0.0.8' });
    lab.peer({ asn: 64601 }).announce(P, { nextHop: ipv4('10.0.0.8') });
    lab.rib.flush();
    assert.equal(to.table.get(P)?.nextHop, OWN_ID);
  });

  it('knows a peer by the IPv4-mapped form of its address too', () => {
    const lab = new Lab();
    const both = ['ipv4-unicast', 'ipv6-unicast'] as const;
    const from = lab.peer({ client: true, families: both });
    const to = lab.peer({ families: both, address: '10.0.0.8' });
    const other = lab.peer({ families: both, address: '10.0.0.9' });
    const mpReach = {
      afi: 2,
      safi: 1,
      nextHops: [address('::ffff:10.0.0.8')],
      nlri: [{ prefix: prefix('2001:db8::/48') }],
    };
    const { nextHop: _, ...rest } = attributes({ localPref: 100 });
    from.send(update({ attributes: { ...rest, mpReach } }));
    lab.rib.flush();
    assert.deepEqual(
      [to, other].map(({ table }) => table.size),
      [0, 1],
    );
  });

  it('refuses loops: own AS, own ORIGINATOR_ID, own cluster', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const inside = lab.peer({ client: true });
    const to = lab.peer({ asn: 64602 });
    from.announce('10.1.0.0/24', { asPath: [{ kind: 'sequence', asns: [64601, OWN_AS] }] });
    inside.announce('10.2.0.0/24', { localPref: 100, originatorId: OWN_ID });
    inside.announce('10.3.0.0/24', { localPref: 100, originatorId: 5, clusterList: [CLUSTER_ID] });
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], []);
  });

  it('takes own AS as often as allowed', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601, allowedOwnAsns: 1 });
    const to = lab.peer({ asn: 64602 });
    from.announce('10.1.0.0/24', { asPath: [{ kind: 'sequence', asns: [64601, OWN_AS] }] });
    from.announce('10.2.0.0/24', { asPath: [{ kind: 'sequence', asns: [64601, OWN_AS, OWN_AS] }] });
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], ['10.1.0.0/24']);
  });

  it('obeys NO_EXPORT, NO_ADVERTISE and GRACEFUL_SHUTDOWN', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const external = lab.peer({ asn: 64602 });
    const internal = lab.peer();
    from.announce('10.1.0.0/24', { communities: [0xffffff01] });
    from.announce('10.2.0.0/24', { communities: [0xffffff02] });
    from.announce('10.3.0.0/24', { communities: [0xffff0000] });
    lab.rib.flush();
    assert.deepEqual([...external.table.keys()], ['10.3.0.0/24']);
    assert.deepEqual([...internal.table.keys()].sort(), ['10.1.0.0/24', '10.3.0.0/24']);
    assert.equal(internal.table.get('10.3.0.0/24')?.localPref, 0);
  });

  it('carries IPv6 routes in MP_REACH_NLRI, in the same session', () => {
    const lab = new Lab();
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    const from = lab.peer({ asn: 64601, families });
    const to = lab.peer({ asn: 64602, families });
    const { nextHop: _, ...rest } = attributes();
    const nlri = ['2001:db8::/32', '2001:db8:1::/48', '::/0'].map((text) => ({ prefix: prefix(text) }));
    const mpReach = { afi: 2, safi: 1, nextHops: [0xfe800000000000000000000000000001n], nlri };
    from.send(update({ attributes: { ...rest, mpReach } }));
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()].sort(), ['2001:db8:1::/48', '2001:db8::/32', '::/0']);
    assert.deepEqual(to.table.get('::/0')?.mpReach?.nextHops, [0xfd000000000000000000000000000001n]);
    from.send(update({ attributes: { mpUnreach: { afi: 2, safi: 1, withdrawn: nlri.slice(1) } } }));
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], ['2001:db8::/32']);
    assert.deepEqual(to.endOfRibs, [...families]);
  });

  it('tells a peer whose own route became the best that the other one is gone', () => {
    const lab = new Lab();
    const one = lab.peer({ asn: 64601 });
    const two = lab.peer({ asn: 64602 });
    one.announce(P, { asPath: [{ kind: 'sequence', asns: [64601, 1] }] });
    lab.rib.flush();
    assert.equal(two.table.has(P), true);
    two.announce(P, { asPath: [{ kind: 'sequence', asns: [64602] }] });
    lab.rib.flush();
    assert.equal(two.table.has(P), false);
    assert.deepEqual(one.table.get(P)?.asPath, [{ kind: 'sequence', asns: [OWN_AS, 64602] }]);
  });

  it('packs what has the same attributes, also for a late peer whose routes came one by one', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const early = lab.peer({ asn: 64602 });
    for (let i = 0; i < 100; i++) {
      from.announce(`10.${i}.0.0/16`, { med: i % 2, communities: [i % 2] });
      lab.rib.flush();
    }
    const late = lab.peer({ asn: 64603 });
    assert.equal(early.received.length, 101);
    assert.equal(late.received.length, 3);
    assert.deepEqual([...late.table].sort(), [...early.table].sort());
    assert.deepEqual(late.endOfRibs, ['ipv4-unicast']);
  });

  it('encodes a small table once for peers that come together, and anew when it has changed', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    for (let i = 0; i < 20; i++) from.announce(`10.${i}.0.0/16`, { med: i });
    lab.rib.flush();
    const [one, two] = [lab.peer({ asn: 64602 }), lab.peer({ asn: 64603 })];
    assert.equal(one.table.size, 20);
    assert.deepEqual(two.received, one.received);
    assert.equal(two.chunks[0], one.chunks[0], 'the same bytes');
    from.announce('10.3.0.0/16', { communities: [7] });
    from.withdraw('10.4.0.0/16');
    lab.rib.flush();
    const late = lab.peer({ asn: 64604 });
    assert.deepEqual([...late.table].sort(), [...two.table].sort());
    assert.equal(late.table.size, 19);
    assert.deepEqual(late.endOfRibs, ['ipv4-unicast']);
  });

  it('leaves out the own routes of a peer that comes back, however small the table', () => {
    const lab = new Lab();
    const one = lab.peer({ asn: 64601 });
    const two = lab.peer({ asn: 64602 });
    one.announce('10.1.0.0/16');
    two.announce('10.2.0.0/16', { asPath: [{ kind: 'sequence', asns: [64602] }] });
    lab.rib.flush();
    lab.peer({ asn: 64603 });
    const [group] = one.groups;
    group?.leave(one.source);
    one.table.clear();
    group?.join(one.source, one, () => {});
    assert.deepEqual([...one.table.keys()], ['10.2.0.0/16']);
  });

  it('splits what does not fit into one message', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    for (let i = 0; i < 5000; i++) from.announce(`10.${i >> 8}.${i & 255}.0/24`);
    lab.rib.flush();
    assert.equal(to.table.size, 5000);
    assert.ok(to.received.length < 10);
    lab.rib.drop(from.source);
    lab.rib.flush();
    assert.equal(to.table.size, 0);
  });

  it('brings a slow peer up to date when it has drained, with the last state only', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const slow = lab.peer({ asn: 64602 });
    const fast = lab.peer({ asn: 64603 });
    from.announce('10.0.0.0/24');
    lab.rib.flush();
    slow.queuedBytes = 1 << 30;
    const before = slow.received.length;
    for (let med = 0; med < 50; med++) {
      from.announce('10.1.0.0/24', { communities: [med] });
      from.announce(`10.2.${med}.0/24`);
      lab.rib.flush();
    }
    from.withdraw('10.0.0.0/24');
    lab.rib.flush();
    assert.equal(slow.received.length, before);
    slow.drain();
    assert.deepEqual([...slow.table].sort(), [...fast.table].sort());
    assert.ok(slow.received.length - before < 6);
  });

  it('withdraws instead of sending attributes that no message can hold', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    from.announce(P);
    lab.rib.flush();
    const asns = new Array<number>(250).fill(7);
    const asPath = [64601, 2, 3, 4].map((first) => ({ kind: 'sequence' as const, asns: [first, ...asns] }));
    // 4093 octets with the announced prefix; one more AS number is one octet too many.
    from.announce(P, { asPath, communities: [1, 2, 3, 4, 5, 6] });
    lab.rib.flush();
    assert.equal(to.table.has(P), false);
  });

  it('leaves an unknown attribute as it came, but for the partial bit; drops what is not transitive', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    const data = Uint8Array.of(1, 2, 3);
    const unknownAttributes = [28, 200].map((code) => ({ flags: code === 28 ? 0xc0 : 0x80, code, data }));
    from.send(update({ attributes: attributes(), unknownAttributes, nlri: [{ prefix: prefix(P) }] }));
    lab.rib.flush();
    const sent = to.received.at(-1);
    assert.deepEqual(sent?.kind === 'update' && sent.unknownAttributes, [
      { flags: 0xe0, code: 28, data: Buffer.from(data) },
    ]);
  });

  it('talks 2-octet AS numbers with AS4_PATH to old speakers, and merges theirs', () => {
    const lab = new Lab();
    const old = { context: { fourOctetAs: false } };
    const from = lab.peer({ asn: 64601, ...old });
    const to = lab.peer({ asn: 64602 });
    const alsoOld = lab.peer({ asn: 64603, ...old });
    const path = (asns: number[]) => [{ kind: 'sequence' as const, asns }];
    from.announce(P, { asPath: path([64601, 23456]), as4Path: path([70000]) });
    lab.rib.flush();
    assert.deepEqual(to.table.get(P)?.asPath, path([OWN_AS, 64601, 70000]));
    assert.deepEqual(alsoOld.table.get(P)?.asPath, path([OWN_AS, 64601, 23456]));
    assert.deepEqual(alsoOld.table.get(P)?.as4Path, path([OWN_AS, 64601, 70000]));
  });

  it('keeps stale routes until they are announced again or swept', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    from.announce('10.1.0.0/24');
    from.announce('10.2.0.0/24');
    lab.rib.flush();
    const before = to.received.length;
    lab.rib.markStale(from.source, 'ipv4-unicast');
    from.announce('10.1.0.0/24');
    lab.rib.flush();
    assert.equal(to.received.length, before);
    lab.rib.dropStale(from.source, 'ipv4-unicast');
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], ['10.1.0.0/24']);
  });

  it('judges received routes anew when the import filter changes, and undoes it', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    from.announce('10.1.0.0/24');
    from.announce('10.2.0.0/24');
    lab.rib.flush();
    from.adjRibIn.setFilter(only('10.1.0.0/24'));
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()], ['10.1.0.0/24']);
    assert.deepEqual(to.table.get('10.1.0.0/24')?.communities, [42]);
    from.adjRibIn.setFilter({ ...only('x'), acceptsAll: true });
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()].sort(), ['10.1.0.0/24', '10.2.0.0/24']);
    assert.equal(to.table.get('10.1.0.0/24')?.communities, undefined);
  });

  it('originates routes with ourselves as next hop, and takes them back', () => {
    const lab = new Lab();
    const internal = lab.peer();
    const external = lab.peer({ asn: 64601 });
    lab.rib.originate([
      { prefix: prefix('10.65.0.0/26'), blackhole: true, communities: [{ kind: 'standard', value: 9 }] },
    ]);
    lab.rib.flush();
    const common = { origin: 0, nextHop: OWN_ID, communities: [9] };
    assert.deepEqual(internal.table.get('10.65.0.0/26'), { ...common, asPath: [], localPref: 100 });
    assert.deepEqual(external.table.get('10.65.0.0/26'), { ...common, asPath: [{ kind: 'sequence', asns: [OWN_AS] }] });
    lab.rib.originate([]);
    lab.rib.flush();
    assert.equal(internal.table.size + external.table.size, 0);
  });

  it('drains: GRACEFUL_SHUTDOWN towards others, LOCAL_PREF 0 inside', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const external = lab.peer({ asn: 64602, treatment: { draining: true } });
    const internal = lab.peer({ treatment: { draining: true } });
    from.announce(P, { communities: [3] });
    from.announce('10.0.0.0/8');
    lab.rib.flush();
    assert.deepEqual(external.table.get(P)?.communities, [3, 0xffff0000]);
    assert.deepEqual(external.table.get('10.0.0.0/8')?.communities, [0xffff0000]);
    assert.equal(internal.table.get(P)?.localPref, 0);
  });

  it('passes link-local next hops to nobody who is not on that link (RFC 2545)', () => {
    const lab = new Lab();
    const families = ['ipv6-unicast'] as const;
    const from = lab.peer({ asn: 64601, families });
    const inside = lab.peer({ families });
    const own = [address('fd00::1')];
    const nextHopsOf = (text: string) => inside.table.get(text)?.mpReach?.nextHops;
    const announce = (text: string, ...nextHops: string[]): void => {
      const { nextHop: _, ...common } = attributes();
      const mpReach = { afi: 2, safi: 1, nextHops: nextHops.map(address), nlri: [{ prefix: prefix(text) }] };
      from.send(update({ attributes: { mpReach, ...common } }));
    };
    announce('2001:db8:1::/48', '2001:db8::1', 'fe80::1');
    announce('2001:db8:2::/48', 'fe80::1');
    announce('2001:db8:3::/48', 'fe80::1', 'fe80::1');
    lab.rib.flush();
    assert.deepEqual(nextHopsOf('2001:db8:1::/48'), [address('2001:db8::1')]);
    assert.deepEqual(nextHopsOf('2001:db8:2::/48'), own);
    assert.deepEqual(nextHopsOf('2001:db8:3::/48'), own);
  });

  it('keeps what is not to leave our AS: non-transitive communities, segment identifiers', () => {
    const lab = new Lab();
    const from = lab.peer({ client: true });
    const inside = lab.peer();
    const outside = lab.peer({ asn: 64601 });
    const ipv6ExtendedCommunities = new Uint8Array(40);
    ipv6ExtendedCommunities[0] = 0x40;
    from.announce(P, {
      localPref: 100,
      extendedCommunities: [0x4000_0000_0000_0001n, 0x0002_0000_0000_0001n],
      ipv6ExtendedCommunities,
      prefixSid: Uint8Array.of(1, 0, 1, 0),
    });
    lab.rib.flush();
    assert.equal(inside.table.get(P)?.prefixSid?.length, 4);
    assert.equal(inside.table.get(P)?.ipv6ExtendedCommunities?.length, 40);
    assert.equal(inside.table.get(P)?.extendedCommunities?.length, 2);
    assert.equal(outside.table.get(P)?.prefixSid, undefined);
    assert.equal(outside.table.get(P)?.ipv6ExtendedCommunities?.length, 20);
    assert.deepEqual(outside.table.get(P)?.extendedCommunities, [0x0002_0000_0000_0001n]);
  });

  it('sends IPv4 routes with IPv6 next hops to those who understand them (RFC 8950), and to nobody else', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601, extendedNextHop: true });
    const ownNextHop = Uint8Array.from([0xfd, ...new Array<number>(15).fill(1)]);
    const able = lab.peer({ asn: 64602, extendedNextHop: true, treatment: { ownNextHop } });
    const unable = lab.peer({ asn: 64603, treatment: { ownNextHop } });
    const inside = lab.peer();
    const { nextHop: _, ...rest } = attributes();
    const mpReach = { afi: 1, safi: 1, nextHops: [0xfd00n << 112n], nlri: [{ prefix: prefix(P) }] };
    from.send(update({ attributes: { ...rest, mpReach } }));
    lab.rib.flush();
    assert.equal(able.table.get(P)?.mpReach?.nextHops.length, 1);
    assert.equal(unable.table.size + inside.table.size, 0);
  });

  it('keeps next hops on request, and sets itself on request', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const kept = lab.peer({ asn: 64602, treatment: { nextHop: 'keep' } });
    const self = lab.peer({ treatment: { nextHop: 'self' } });
    from.announce(P);
    lab.rib.flush();
    assert.equal(kept.table.get(P)?.nextHop, ipv4('10.0.0.1'));
    assert.equal(self.table.get(P)?.nextHop, OWN_ID);
  });
});

/** Accepts one prefix, and marks it. */
const only = (text: string): RouteFilter => ({
  acceptsAll: false,
  usesPrefix: true,
  usesInterface: false,
  evaluate: (route) => ({
    accept: route.prefix.address === prefixOrNone(text),
    origin: 'test',
    operations: [{ kind: 'add-community', community: { kind: 'standard', value: 42 } }],
  }),
});

const prefixOrNone = (text: string): unknown => (text.includes('/') ? prefix(text).address : undefined);
