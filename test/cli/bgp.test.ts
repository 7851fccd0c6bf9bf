// Shows what people read of the BGP speaker's reports, and the mark that drains a node.

import assert from 'node:assert/strict';
import type { PeerReport, RouteAttributesReport } from '../../bgp/status.ts';
import { describePeers, describeRoutes, describeWhy } from '../../cli/commands/bgp.ts';
import { Cli } from './harness.ts';

const peer: PeerReport = {
  name: 'mesh:10.0.0.2',
  address: '10.0.0.2',
  port: 179,
  asn: 64512,
  type: 'node-to-node mesh',
  state: 'Active',
  since: '2026-11-21T05:00:00.000Z',
  detail: 'connection failed: ECONNREFUSED',
  bfd: { state: 'Down', reason: 'control detection time expired' },
  families: ['ipv4-unicast'],
  routesIn: 0,
  routesAccepted: 0,
  routesOut: 0,
  timesEstablished: 1,
  malformedUpdates: { treatedAsWithdraw: 0, attributesDiscarded: 0 },
  messagesIn: 3,
  messagesOut: 4,
  queuedBytes: 0,
};
const attributes: RouteAttributesReport = {
  origin: 'igp',
  asPath: '64601',
  nextHop: '10.0.0.254',
  med: 5,
  communities: ['64601:1'],
};

describe('twillctl bgp', () => {
  it('shows peers with what keeps them down', () => {
    assert.equal(
      describePeers({ node: 'a', routerId: '10.0.0.1', asn: 64512, peers: [peer] }),
      `NAME            ADDRESS    AS      STATE    SINCE                  IN   ACCEPTED   OUT   INFO
mesh:10.0.0.2   10.0.0.2   64512   Active   2026-11-21T05:00:00Z   0    0          0     connection failed: ECONNREFUSED, BFD Down (control detection time expired)
`,
    );
    assert.equal(
      describePeers({ node: 'a', routerId: undefined, asn: undefined, peers: [] }),
      'No peers are configured.\n',
    );
    const outOfBgp = 'Node/a spec.bgp is missing: this node takes no part in BGP';
    assert.equal(
      describePeers({ node: 'a', routerId: undefined, asn: undefined, outOfBgp, peers: [] }),
      `No peers: ${outOfBgp}\n`,
    );
  });

  it('shows routes: best, stale, where from', () => {
    const text = describeRoutes({
      view: 'best',
      routes: [
        { prefix: '192.0.2.0/24', from: 'global:tor:10.0.0.254', best: true, stale: true, attributes },
        {
          prefix: '10.244.0.0/26',
          best: true,
          stale: false,
          attributes: { origin: 'igp', asPath: '', communities: [] },
        },
      ],
      more: true,
    });
    const [heading, learned, own, more] = text.split('\n');
    assert.match(heading ?? '', /PREFIX +NEXT HOP +FROM +AS PATH +LOCAL PREF +MED +COMMUNITIES/);
    assert.match(
      learned ?? '',
      /^\*S +192\.0\.2\.0\/24 +10\.0\.0\.254 +global:tor:10\.0\.0\.254 +64601 i +5 +64601:1$/,
    );
    assert.match(own ?? '', /^\* +10\.244\.0\.0\/26 +this node +i$/);
    assert.match(more ?? '', /--limit/);
  });

  it('explains a route: the winner, the losers’ reasons, the kernel, who gets it', () => {
    const text = describeWhy({
      prefix: '192.0.2.0/24',
      paths: [
        { from: 'tor-a (10.0.0.254)', verdict: 'best', best: true, attributes },
        { from: 'tor-b (10.0.0.253)', verdict: 'longer AS_PATH', best: false },
      ],
      fib: 'via 10.0.0.254',
      advertised: [
        { to: 'mesh:10.0.0.2', verdict: 'sent', sent: true },
        { to: 'global:tor-a', verdict: 'learned from this peer', sent: false },
      ],
    });
    assert.equal(
      text,
      `192.0.2.0/24
  * from tor-a (10.0.0.254): best
      next hop 10.0.0.254, AS path 64601, origin igp, MED 5, communities 64601:1
    from tor-b (10.0.0.253): longer AS_PATH
  kernel: via 10.0.0.254
  → mesh:10.0.0.2: sent
  ✗ global:tor-a: learned from this peer
`,
    );
  });

  it('says in one line when nobody answers', async () => {
    const cli = await Cli.start();
    const { code, err } = await cli.run('bgp peers --run-dir /nonexistent');
    assert.equal(code, 1);
    assert.match(err, /^twill-node does not answer .*; start it, or set TWILL_RUN_DIR\n$/);
  });

  it('marks a node to be drained, and takes the mark away', async () => {
    const cli = await Cli.start();
    const manifest = '{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n1"},"spec":{}}';
    assert.equal((await cli.run('create -f -', manifest)).code, 0);
    const mark = async (): Promise<unknown> =>
      JSON.parse((await cli.run('get node n1 -o json')).out).metadata.annotations?.['twill.io/drain-bgp'];
    assert.equal((await cli.run('node drain-bgp n1')).code, 0);
    assert.equal(await mark(), 'true');
    assert.equal((await cli.run('node undrain-bgp n1')).code, 0);
    assert.equal(await mark(), undefined);
    assert.equal((await cli.run('node drain-bgp nobody')).code, 1);
  });
});
