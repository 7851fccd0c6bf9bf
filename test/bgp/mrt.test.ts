// Shows the MRT dump of a speaker's routes as bytes: the peer table, IPv4 and IPv6 records, and MP_REACH_NLRI cut down to its
// next hop as RFC 6396 §4.3.4 wants it.

import assert from 'node:assert/strict';
import { tableDump } from '../../bgp/mrt.ts';
import { Rib } from '../../bgp/rib/rib.ts';
import { parseIpv4 } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';

describe('mrt table dump', () => {
  it('writes the peers and a record for each prefix', () => {
    const routerId = parseIpv4('10.0.0.1') ?? 0;
    const rib = new Rib({ routerId, clusterId: routerId }, 64701);
    rib.originate(
      ['10.244.0.0/26', 'fd00::/122'].map((text) => {
        const prefix = parsePrefix(text);
        assert(prefix);
        return { prefix, blackhole: true, communities: [] };
      }),
    );
    rib.flush();
    const records = [...tableDump(rib, routerId, 1_000_000)].map((part) => Buffer.from(part).toString('hex'));
    assert.deepEqual(records, [
      // Time 1000, type 13, subtype 1, 21 octets: router id, no view, one peer: IPv4, 4-octet AS 64701.
      '000003e8000d000100000015' + '0a000001' + '0000' + '0001' + '020a0000010a0000010000fcbd',
      // Subtype 2: sequence 0, 10.244.0.0/26, one entry of peer 0: ORIGIN, AS_PATH, NEXT_HOP.
      '000003e8000d000200000021' +
        '00000000' +
        '1a0af40000' +
        '0001' +
        '0000000003e8' +
        '000e' +
        '40010100' +
        '400200' +
        '40030400000000',
      // Subtype 4: sequence 1, fd00::/122; MP_REACH_NLRI has but a length and the next hop.
      '000003e8000d00040000003a' +
        '00000001' +
        '7afd000000000000000000000000000000' +
        '0001' +
        '0000000003e8' +
        '001b' +
        '40010100' +
        '400200' +
        '800e1110' +
        '00'.repeat(16),
    ]);
  });
});
