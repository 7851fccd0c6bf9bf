// The settings of the decision: each turns another path into the best one, and the loser's reason says which step it was.

import assert from 'node:assert/strict';
import { chooseSeveral, explain } from '../../../bgp/rib/decision.ts';
import { internPrefix } from '../../../bgp/rib/prefixes.ts';
import { type BestPathSettings, defaultBestPath } from '../../../bgp/settings.ts';
import { attributes, Lab, prefix } from './harness.ts';

const block = '10.1.0.0/16';

/** Two eBGP peers of different ASs: the first has the lower router id and address, unless told apart by their attributes. */
function twoPeers(first: { asns: number[]; med?: number }, second: { asns: number[]; med?: number }) {
  const lab = new Lab();
  const peers = [first, second].map(({ asns, med }, i) => {
    const peer = lab.peer({ asn: asns[0] ?? 1, routerId: i + 1, address: `10.0.0.${50 + i}` });
    const asPath = [{ kind: 'sequence', asns }] as const;
    peer.announce(block, attributes({ asPath, ...(med === undefined ? {} : { med }) }));
    return peer;
  });
  lab.rib.flush();
  const family = lab.rib.family('ipv4-unicast');
  const id = internPrefix(family.prefixes, prefix(block));
  const neighborOf = (path: number) => family.store.neighborAs[family.paths.attributes[path] ?? 0];
  return {
    with(settings: Partial<BestPathSettings>) {
      lab.rib.setBestPath({ ...defaultBestPath, ...settings });
      lab.rib.flush();
      const [best, loser] = explain(id, family);
      const inLocRib = family.store.neighborAs[family.best[id] ?? 0];
      assert.equal(neighborOf(best?.path ?? 0), inLocRib, 'choose() and explain() agree');
      return { best: inLocRib, loserBecause: loser?.reason };
    },
    /** The path of this peer says something else, or comes again as it was. */
    sayAgain: (i: number, med: number | undefined) => {
      const [asns, peer] = [[first, second][i]?.asns ?? [], peers[i]];
      peer?.announce(
        block,
        attributes({ asPath: [{ kind: 'sequence', asns }], ...(med === undefined ? {} : { med }) }),
      );
      lab.rib.flush();
      return family.store.neighborAs[family.best[id] ?? 0];
    },
    together: () => chooseSeveral(id, family, 8).map(neighborOf),
  };
}

describe('best-path settings', () => {
  it('compare MED between neighboring ASs only when told', () => {
    const paths = twoPeers({ asns: [64601], med: 9 }, { asns: [64602], med: 1 });
    assert.deepEqual(paths.with({}), { best: 64601, loserBecause: 'higher router id' });
    assert.deepEqual(paths.with({ alwaysCompareMed: true }), { best: 64602, loserBecause: 'higher MED' });
    assert.deepEqual(paths.with({}), { best: 64601, loserBecause: 'higher router id' });
  });

  it('leave the length of the AS_PATH out when told', () => {
    const paths = twoPeers({ asns: [64601, 7, 8] }, { asns: [64602] });
    assert.deepEqual(paths.with({}), { best: 64602, loserBecause: 'longer AS_PATH' });
    assert.deepEqual(paths.with({ ignoreAsPathLength: true }), { best: 64601, loserBecause: 'higher router id' });
  });

  it('keep the path that came first when told, in place of that of the lowest router id (RFC 5004)', () => {
    const paths = twoPeers({ asns: [64601] }, { asns: [64602] });
    // Nobody noted who came first, so they are of one age.
    assert.deepEqual(paths.with({ preferOldest: true }), { best: 64601, loserBecause: 'higher router id' });
    assert.equal(paths.sayAgain(0, undefined), 64601, 'the same again changes nothing');
    assert.equal(paths.sayAgain(0, 7), 64602, 'what changed is younger');
    assert.equal(paths.sayAgain(1, 7), 64601);
    assert.deepEqual(paths.with({ preferOldest: true }), { best: 64601, loserBecause: 'newer' });
    assert.equal(paths.sayAgain(0, 8), 64602);
    assert.deepEqual(paths.with({}), { best: 64601, loserBecause: 'higher router id' });
    paths.with({ preferOldest: true });
    assert.deepEqual(paths.together(), [64602, 64601], 'age is a tie-break: both are used');
  });

  it('use paths of different neighboring ASs together unless told not to', () => {
    const paths = twoPeers({ asns: [64601] }, { asns: [64602] });
    paths.with({});
    assert.deepEqual(paths.together(), [64601, 64602]);
    paths.with({ multipathRelax: false });
    assert.deepEqual(paths.together(), [64601]);
    const same = twoPeers({ asns: [64601, 5] }, { asns: [64601, 6] });
    same.with({ multipathRelax: false });
    assert.deepEqual(same.together(), [64601, 64601]);
  });
});
