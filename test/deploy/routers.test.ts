// Shows that what BIRD and FRR print about routes is read right, and that their configurations name every neighbor.

import { deepStrictEqual, ok } from 'node:assert';
import { birdConfig, frrConfig, parseBirdRoutes, parseFrrRoutes } from '../../deploy/lab/routers.ts';
import { routers } from '../../deploy/lab/topology.ts';

describe('deploy/lab/routers', () => {
  it('reads the routes of BIRD', () => {
    const text = `BIRD 2.0.12 ready.
Table master4:
10.60.0.64/26        unicast [node-a1 06:00:01.123] * (100) [AS64701i]
\tvia 10.10.1.11 on rack
\tType: BGP univ
\tBGP.origin: IGP
\tBGP.as_path: 64701
\tBGP.next_hop: 10.10.1.11
10.50.0.0/26         unicast [spine 06:00:02.456] * (100) [AS64702i]
\tvia 10.10.10.0 on uplink
\tBGP.as_path: 64600 64602 64702
`;
    deepStrictEqual(parseBirdRoutes(text), [
      { prefix: '10.60.0.64/26', asPath: '64701' },
      { prefix: '10.50.0.0/26', asPath: '64600 64602 64702' },
    ]);
  });

  it('reads the best routes of FRR, without its own', () => {
    const json = JSON.stringify({
      routes: {
        '10.50.0.0/26': [{ path: '64602 64702' }, { bestpath: true, path: '64601 64701' }],
        '198.51.100.0/24': [{ bestpath: true, path: '' }],
      },
    });
    deepStrictEqual(parseFrrRoutes(json), [{ prefix: '10.50.0.0/26', asPath: '64601 64701' }]);
  });

  for (const router of routers) {
    it(`configures ${router.name} with all of its neighbors`, () => {
      const text = router.kind === 'bird' ? birdConfig(router) : frrConfig(router);
      for (const { address, asn } of router.neighbors) {
        ok(
          text.includes(
            router.kind === 'bird' ? `neighbor ${address} as ${asn};` : `neighbor ${address} remote-as ${asn}`,
          ),
        );
      }
    });
  }
});
