// Each step of the decision: a reference route against a variant that differs in one thing, with the reason that the loser
// is given; whichever came first.

import assert from 'node:assert/strict';
import { explain } from '../../../bgp/rib/decision.ts';
import { findPrefix } from '../../../bgp/rib/prefixes.ts';
import type { PathAttributes } from '../../../bgp/wire/attributes.ts';
import { ipv4, Lab, OWN_AS, type PeerOptions, prefix } from './harness.ts';

const P = '192.0.2.0/24';
const LLGR_STALE = 0xffff0006;
const GRACEFUL_SHUTDOWN = 0xffff0000;

interface Draft extends PeerOptions {
  readonly attributes?: PathAttributes;
}

const sequence = (...asns: number[]) => [{ kind: 'sequence' as const, asns }];

const external: Draft = { asn: 64601, routerId: 20, address: '10.0.0.20', attributes: { asPath: sequence(64601, 1) } };
const internal: Draft = {
  asn: OWN_AS,
  client: true,
  routerId: 20,
  address: '10.0.0.20',
  attributes: { asPath: sequence(64601, 1), localPref: 100 },
};

const vary = (draft: Draft, { attributes: changed, ...rest }: Draft): Draft => ({
  ...draft,
  ...rest,
  attributes: { ...draft.attributes, ...changed },
});

/** Name, winner, loser, why the loser lost. */
const cases: readonly (readonly [string, Draft, Draft, string])[] = [
  [
    'long-lived stale loses whatever its LOCAL_PREF (RFC 9494)',
    vary(internal, { attributes: { localPref: 10 } }),
    vary(internal, { routerId: 1, address: '10.0.0.1', attributes: { localPref: 900, communities: [LLGR_STALE] } }),
    'long-lived stale',
  ],
  [
    'of two that are long-lived stale, LOCAL_PREF decides',
    vary(internal, { attributes: { localPref: 11, communities: [LLGR_STALE] } }),
    vary(internal, { routerId: 1, address: '10.0.0.1', attributes: { localPref: 10, communities: [LLGR_STALE] } }),
    'lower LOCAL_PREF',
  ],
  [
    'LOCAL_PREF before the length of the path',
    vary(internal, { attributes: { localPref: 200, asPath: sequence(1, 2, 3, 4) } }),
    vary(internal, { routerId: 1, address: '10.0.0.1' }),
    'lower LOCAL_PREF',
  ],
  [
    'what an external peer drains (RFC 8326)',
    external,
    vary(external, { routerId: 1, address: '10.0.0.1', attributes: { communities: [GRACEFUL_SHUTDOWN] } }),
    'lower LOCAL_PREF',
  ],
  [
    'a set of the path counts as one',
    vary(external, { attributes: { asPath: [...sequence(64601), { kind: 'set', asns: [1, 2, 3] }] } }),
    vary(external, { routerId: 1, address: '10.0.0.1', attributes: { asPath: sequence(64601, 1, 2) } }),
    'longer AS_PATH',
  ],
  [
    'ORIGIN',
    external,
    vary(external, { routerId: 1, address: '10.0.0.1', attributes: { origin: 1 } }),
    'higher ORIGIN',
  ],
  [
    'MED, none being 0',
    external,
    vary(external, { routerId: 1, address: '10.0.0.1', attributes: { med: 1 } }),
    'higher MED',
  ],
  [
    'MED not between neighboring ASs',
    vary(external, { asn: 64602, routerId: 1, attributes: { asPath: sequence(64602, 1), med: 9 } }),
    external,
    'higher router id',
  ],
  [
    'external before internal',
    external,
    vary(internal, { routerId: 1, address: '10.0.0.1' }),
    'iBGP, and there is an eBGP path',
  ],
  ['router id', external, vary(external, { routerId: 21, address: '10.0.0.1' }), 'higher router id'],
  [
    'ORIGINATOR_ID in place of the router id (RFC 4456)',
    vary(internal, { routerId: 99, attributes: { originatorId: 5, clusterList: [7] } }),
    internal,
    'higher router id',
  ],
  [
    'length of CLUSTER_LIST (RFC 4456)',
    internal,
    vary(internal, { address: '10.0.0.1', attributes: { originatorId: 20, clusterList: [7] } }),
    'longer CLUSTER_LIST',
  ],
  ['peer address', external, vary(external, { address: '10.0.0.21' }), 'higher peer address'],
];

/** What explain() says, best first, for routes announced in this order. */
function explained(drafts: readonly Draft[]): { readonly address: number; readonly reason: string | undefined }[] {
  const lab = new Lab();
  for (const { attributes, ...options } of drafts) lab.peer(options).announce(P, attributes);
  lab.rib.flush();
  const rib = lab.rib.family('ipv4-unicast');
  const id = findPrefix(rib.prefixes, prefix(P));
  const list = explain(id, rib);
  assert.equal(rib.best[id], rib.paths.attributes[list[0]?.path ?? 0], 'choose() and explain() agree');
  return list.map(({ path, reason }) => ({
    address: Number(rib.sources.get(rib.paths.sourceOf(path)).address),
    reason,
  }));
}

describe('each step of the decision', () => {
  for (const [name, winner, loser, reason] of cases) {
    it(name, () => {
      const expected = [
        { address: ipv4(winner.address ?? ''), reason: undefined },
        { address: ipv4(loser.address ?? ''), reason },
      ];
      // Addresses tell the two apart, so where they must be equal there is nothing to compare.
      const other = winner.address === loser.address ? { ...winner, address: '10.0.0.22' } : winner;
      const best = { ...expected[0], address: ipv4(other.address ?? '') };
      assert.deepEqual(explained([other, loser]), [best, expected[1]]);
      assert.deepEqual(explained([loser, other]), [best, expected[1]]);
    });
  }

  it('nothing that a peer says is better than what this node has itself', () => {
    const lab = new Lab();
    const inside = lab.peer({ client: true });
    const outside = lab.peer({ asn: 64601 });
    inside.announce('10.65.0.0/26', { localPref: 900, asPath: [] });
    lab.rib.originate([{ prefix: prefix('10.65.0.0/26'), blackhole: true, communities: [] }]);
    lab.rib.flush();
    assert.deepEqual(outside.table.get('10.65.0.0/26')?.asPath, sequence(OWN_AS));
    assert.equal(inside.table.get('10.65.0.0/26')?.localPref, 100);
  });
});

describe('routes that may not be chosen', () => {
  const routesOf = (lab: Lab): string[] => {
    const rib = lab.rib.family('ipv4-unicast');
    const ids = Array.from({ length: rib.prefixes.end }, (_, id) => id);
    return ids.filter((id) => (rib.best[id] ?? 0) !== 0).map((id) => rib.prefixes.prefixOf(id).address.toString(16));
  };

  it('have our AS in their path, the one that we are and the one that the peer is shown', () => {
    const lab = new Lab();
    const peer = lab.peer({ asn: 64601, localAsn: 64999 });
    peer.announce('10.1.0.0/24', { asPath: sequence(64601, 64999) });
    peer.announce('10.2.0.0/24', { asPath: sequence(64601, OWN_AS) });
    peer.announce('10.3.0.0/24', { asPath: sequence(64601, 64998) });
    lab.rib.flush();
    assert.deepEqual(routesOf(lab), ['a030000']);
  });

  it('are for addresses that no route leads to', () => {
    const lab = new Lab();
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    const from = lab.peer({ asn: 64601, families });
    const to = lab.peer({ asn: 64602, families });
    const refused = ['127.0.0.0/8', '127.1.0.0/16', '224.0.0.0/4', '239.1.1.1/32', '255.255.255.255/32', '0.1.0.0/16'];
    const taken = ['0.0.0.0/0', '126.0.0.0/7', '192.0.0.0/2', '240.1.0.0/16', '1.0.0.0/8'];
    for (const text of [...refused, ...taken]) from.announce(text);
    const refused6 = ['::1/128', '::/128', 'fe80::/10', 'fe80::/64', 'ff00::/8', 'ff02::1/128'];
    const taken6 = ['::/0', '2001:db8::/32', 'fd00::/8', 'fe00::/9', '64:ff9b::/96'];
    for (const text of [...refused6, ...taken6]) from.announce6(text);
    lab.rib.flush();
    assert.deepEqual([...to.table.keys()].sort(), [...taken, ...taken6].sort());
    // They are there, to be told of, and stay refused when filters change.
    assert.equal(lab.rib.family('ipv4-unicast').paths.countOf(from.source), refused.length + taken.length);
    from.adjRibIn.setFilter({ ...from.adjRibIn.filter });
    lab.rib.flush();
    assert.equal(to.table.size, taken.length + taken6.length);
  });

  it('are loops still when a filter made of another route what they say', () => {
    const lab = new Lab();
    const prepends = {
      acceptsAll: false,
      usesPrefix: true,
      usesInterface: false,
      evaluate: ({ prefix: { address } }: { readonly prefix: { readonly address: unknown } }) => ({
        accept: true,
        origin: 'test',
        operations: address === ipv4('10.1.0.0') ? [{ kind: 'prepend-as-path' as const, asns: [OWN_AS] }] : [],
      }),
    };
    const peer = lab.peer({ asn: 64601, importFilter: prepends });
    peer.announce('10.1.0.0/24', { asPath: sequence(64601) });
    peer.announce('10.2.0.0/24', { asPath: sequence(OWN_AS, 64601) });
    lab.rib.flush();
    assert.deepEqual(routesOf(lab), ['a010000']);
    // And the other way round: that the loop is known first.
    const other = new Lab();
    const second = other.peer({ asn: 64601, importFilter: prepends });
    second.announce('10.2.0.0/24', { asPath: sequence(OWN_AS, 64601) });
    second.announce('10.1.0.0/24', { asPath: sequence(64601) });
    other.rib.flush();
    assert.deepEqual(routesOf(other), ['a010000']);
  });
});
