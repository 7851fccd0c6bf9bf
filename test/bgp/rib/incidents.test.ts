// Messages that brought speakers down, or made them reset sessions, as bytes; and what has to happen instead. The session
// must stay wherever RFC 7606 lets it, and other routes of the same peer are not touched.

import assert from 'node:assert/strict';
import { attributes, Lab, prefix, update } from './harness.ts';
import { hexOf, Incident, type Outcome } from './incident.ts';

const ORIGIN = '40 01 01 00';
const AS_PATH = '40 02 06 02 01 0000fc59';
const NEXT_HOP = '40 03 04 0a000001';
const GOOD = `${ORIGIN} ${AS_PATH} ${NEXT_HOP}`;
const P = '18 c00002';

interface Case {
  readonly name: string;
  /** Attributes in hex; their length is added. */
  readonly attributes: string;
  /** NLRI in hex. */
  readonly nlri?: string;
  readonly withdrawn?: string;
  /** The peer is in our AS. */
  readonly internal?: true;
  readonly outcome: Outcome;
}

const cases: readonly Case[] = [
  {
    name: 'attribute 28, deprecated, with contents of no known form (June 2023)',
    attributes: `${GOOD} e0 1c 05 0102030405`,
    nlri: P,
    outcome: 'route',
  },
  { name: 'an attribute nobody has defined', attributes: `${GOOD} c0 fe 00`, nlri: P, outcome: 'route' },
  {
    name: 'attribute 35 (OTC) of 1024 octets (October 2025)',
    attributes: `${GOOD} f0 23 0400 ${'00'.repeat(1024)}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'tunnel encapsulation with a sub-TLV beyond its end (CVE-2023-38802)',
    attributes: `${GOOD} c0 17 06 0008 0002 01ff`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'prefix SID cut off, where it means nothing',
    attributes: `${GOOD} c0 28 04 01 00ff 00`,
    nlri: P,
    outcome: 'route',
  },
  {
    name: 'prefix SID cut off (FRR #19336)',
    attributes: `${GOOD} c0 28 04 01 00ff 00`,
    nlri: P,
    internal: true,
    outcome: 'discard',
  },
  {
    name: 'an attribute length error that somebody far away made (CVE-2023-38283)',
    attributes: `${GOOD} e0 20 0b ${'00'.repeat(11)}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'flowspec routes, of a family that was never negotiated, of any form (BIRD 2.19.1)',
    attributes: `${GOOD} 90 0e 0105 0001 85 00 00 ${'f0ff'.repeat(128)}`,
    nlri: P,
    outcome: 'route',
  },
  { name: 'no attributes, yet prefixes (CVE-2023-41358)', attributes: '', nlri: P, outcome: 'withdrawn' },
  {
    name: 'an unknown attribute alone (CVE-2023-46753)',
    attributes: 'c0 63 01 00',
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'MP_UNREACH_NLRI beside prefixes without mandatory attributes (CVE-2023-47234)',
    attributes: '80 0f 03 0002 01',
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'what nearly is an End-of-RIB (CVE-2023-47235)',
    attributes: '80 0f 03 0002 01 40 01 01 05',
    outcome: 'reset 3/1',
  },
  {
    name: 'ORIGIN of declared length 32 in four octets, no prefixes (FRR #22563)',
    attributes: '40 01 20 00',
    outcome: 'reset 3/1',
  },
  {
    name: 'NEXT_HOP of three octets (CVE-2026-30405)',
    attributes: `${ORIGIN} ${AS_PATH} 40 03 03 0a0000`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'malformed AS4_PATH before AS_PATH (CVE-2026-41643)',
    attributes: `${ORIGIN} c0 11 03 02 05 00 ${AS_PATH} ${NEXT_HOP}`,
    nlri: P,
    outcome: 'discard',
  },
  {
    name: 'a short extended community (CVE-2026-37461)',
    attributes: `${GOOD} c0 10 07 00000000000000`,
    nlri: P,
    outcome: 'withdrawn',
  },
  { name: 'communities of zero length', attributes: `${GOOD} c0 08 00`, nlri: P, outcome: 'withdrawn' },
  {
    name: 'large communities of 11 octets',
    attributes: `${GOOD} c0 20 0b ${'00'.repeat(11)}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  { name: 'ORIGIN 3', attributes: `40 01 01 03 ${AS_PATH} ${NEXT_HOP}`, nlri: P, outcome: 'withdrawn' },
  { name: 'ORIGIN marked optional', attributes: `c0 01 01 00 ${AS_PATH} ${NEXT_HOP}`, nlri: P, outcome: 'withdrawn' },
  {
    name: 'AS_PATH with an unknown segment type',
    attributes: `${ORIGIN} 40 02 06 07 01 0000fc59 ${NEXT_HOP}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'AS_PATH with an empty segment',
    attributes: `${ORIGIN} 40 02 02 02 00 ${NEXT_HOP}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'AS_PATH that overruns',
    attributes: `${ORIGIN} 40 02 06 02 02 0000fc59 ${NEXT_HOP}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  {
    name: 'AS 0 in the AS_PATH (RFC 7607)',
    attributes: `${ORIGIN} 40 02 06 02 01 00000000 ${NEXT_HOP}`,
    nlri: P,
    outcome: 'withdrawn',
  },
  { name: 'MED of two octets', attributes: `${GOOD} 80 04 02 0000`, nlri: P, outcome: 'withdrawn' },
  { name: 'AGGREGATOR of five octets', attributes: `${GOOD} c0 07 05 0000000000`, nlri: P, outcome: 'discard' },
  { name: 'ATOMIC_AGGREGATE with contents', attributes: `${GOOD} 40 06 01 00`, nlri: P, outcome: 'discard' },
  {
    name: 'LOCAL_PREF of three octets from another AS',
    attributes: `${GOOD} 40 05 03 000000`,
    nlri: P,
    outcome: 'route',
  },
  { name: 'a repeated ORIGIN', attributes: `${GOOD} 40 01 01 02`, nlri: P, outcome: 'discard' },
  {
    name: 'two MP_REACH_NLRI',
    attributes: `${GOOD} ${'80 0e 05 0002 01 00 00 '.repeat(2)}`,
    nlri: P,
    outcome: 'reset 3/9',
  },
  {
    name: 'two MP_REACH_NLRI, each well formed',
    attributes: `${GOOD} ${`80 0e 15 0002 01 10 ${'20'.repeat(16)} 00 `.repeat(2)}`,
    nlri: P,
    outcome: 'reset 3/1',
  },
  {
    name: 'two MP_UNREACH_NLRI, each well formed',
    attributes: `${GOOD} ${'80 0f 03 0002 01 '.repeat(2)}`,
    nlri: P,
    outcome: 'reset 3/1',
  },
  { name: 'an unknown well-known attribute', attributes: `${GOOD} 40 63 00`, nlri: P, outcome: 'reset 3/2' },
  { name: 'an attribute longer than all attributes', attributes: `${GOOD} c0 08 ff 00`, nlri: P, outcome: 'withdrawn' },
  { name: 'an attribute header cut off', attributes: `${GOOD} c0 08`, nlri: P, outcome: 'withdrawn' },
  {
    name: 'MP_REACH_NLRI with a prefix of 129 bits (CVE-2023-46752)',
    attributes: `${ORIGIN} ${AS_PATH} 80 0e 16 0002 01 10 ${'20'.repeat(16)} 00 81`,
    outcome: 'reset 3/9',
  },
  {
    name: 'a family that was never negotiated',
    attributes: `${GOOD} 80 0e 05 4004 47 00 00`,
    nlri: P,
    outcome: 'route',
  },
  { name: 'a prefix that ends outside', attributes: GOOD, nlri: '18 c0', outcome: 'reset 3/10' },
  {
    name: 'an own next hop of 0.0.0.0',
    attributes: `${ORIGIN} ${AS_PATH} 40 03 04 00000000`,
    nlri: P,
    outcome: 'withdrawn',
  },
];

describe('incidents', () => {
  for (const { name, attributes, nlri = '', withdrawn = '', internal, outcome } of cases) {
    it(`${name}: ${outcome}`, () => {
      const incident = new Incident(internal ? 'internal' : 'external');
      assert.equal(incident.receive(withdrawn, attributes, nlri), outcome);
      assert.equal(incident.othersIntact, true);
    });
  }

  it('passes an unknown attribute on exactly as it came, with the partial bit', () => {
    const incident = new Incident();
    incident.receive('', `${GOOD} d0 1c 0003 010203`, P);
    assert.match(hexOf(incident.lastSent), /f01c0003010203|e01c03010203/);
  });

  it('discards what means nothing between 4-octet speakers', () => {
    const incident = new Incident();
    incident.receive('', `${GOOD} c0 11 06 02 01 00011170`, P);
    assert.doesNotMatch(hexOf(incident.lastSent), /c01106/);
  });

  it('does not let a second occurrence stand in for a first that was discarded (RFC 7606 §3 g)', () => {
    const incident = new Incident();
    assert.equal(incident.receive('', `${GOOD} c0 07 02 0000 c0 07 08 0000fc59 0a000009`, P), 'discard');
    assert.doesNotMatch(hexOf(incident.lastSent), /c007080000fc59/);
  });

  it('echoes nothing from beyond a message (CVE-2017-15865)', () => {
    const incident = new Incident();
    assert.equal(incident.receive('', `${ORIGIN} c0 08 ff 00`, ''), 'reset 3/1');
    assert.deepEqual([...incident.data], []);
  });

  it('keeps unused and misplaced flag bits to itself', () => {
    const incident = new Incident();
    // Partial on ORIGIN, unused bits on COMMUNITIES, partial there too, which stays.
    const outcome = incident.receive('', `60 01 01 00 ${AS_PATH} ${NEXT_HOP} ff 08 0004 00000007`, P);
    assert.equal(outcome, 'route');
    assert.match(hexOf(incident.lastSent), /40010100/);
    assert.match(hexOf(incident.lastSent), /(f0080004|e00804)00000007/);
  });

  it('takes attributes of MP_REACH_NLRI routes for nothing else', () => {
    const incident = new Incident();
    const reach = `80 0e 15 0002 01 10 20010db8${'00'.repeat(11)}01 00`;
    incident.receive('', `${ORIGIN} ${AS_PATH} 80 0e 1a 0002 01 10 20010db8${'00'.repeat(11)}01 00 20 20010db8`, '');
    // The very bytes that were kept for 2001:db8::/32, now before a prefix of the NLRI field: NEXT_HOP is missing.
    assert.equal(incident.receive('', `${ORIGIN} ${AS_PATH} ${reach}`, P), 'withdrawn');
  });

  it('withdraws a route that grows beyond a message by our AS, from those who had it', () => {
    const lab = new Lab();
    const from = lab.peer({ asn: 64601 });
    const to = lab.peer({ asn: 64602 });
    const extended = lab.peer({ asn: 64603, treatment: { maxMessageLength: 65535 } });
    const path = (length: number) => [{ kind: 'sequence' as const, asns: new Array<number>(length).fill(64601) }];
    for (const [asns, arrives] of [
      [1002, true],
      [1010, false],
      [20, true],
    ] as const) {
      from.send(update({ attributes: attributes({ asPath: path(asns) }), nlri: [{ prefix: prefix('192.0.2.0/24') }] }));
      lab.rib.flush();
      assert.equal(to.table.has('192.0.2.0/24'), arrives, `${asns} to an external peer`);
      assert.equal(to.groups[0]?.countFor(to.source), arrives ? 1 : 0);
      assert.equal(extended.table.get('192.0.2.0/24')?.asPath?.flatMap((segment) => segment.asns).length, asns + 1);
    }
    // Others of the same session are not held up by it.
    from.announce('198.51.100.0/24');
    lab.rib.flush();
    assert.equal(to.table.has('198.51.100.0/24'), true);
  });

  it('ends the session when MP_UNREACH_NLRI itself runs past the attributes: nobody knows what to withdraw', () => {
    assert.equal(new Incident().receive('', '80 0f 09 0002 01', ''), 'reset 3/1');
    assert.equal(new Incident().receive('', '80 0f 03 0002 01 80 0f 09 0002', ''), 'reset 3/1');
  });

  it('reads no prefixes of a family that the session does not carry', () => {
    const families = ['ipv4-unicast'] as const;
    const incident = new Incident('external', { families, context: { families } });
    for (const attribute of [`80 0e 16 0002 01 10 ${'20'.repeat(16)} 00 81`, '80 0f 04 0002 01 81']) {
      assert.equal(incident.receive('', `${GOOD} ${attribute}`, P), 'route');
    }
    const lab = new Lab();
    const ipv6 = lab.peer({ asn: 64601, families: ['ipv6-unicast'], context: { families: ['ipv6-unicast'] } });
    assert.equal(ipv6.sendBytes(Uint8Array.from([0, 1, 99, 0, 0, 200])), undefined);
  });

  it('refuses AS numbers that outgrow the longest attribute when they become four octets', () => {
    const incident = new Incident('external', { context: { fourOctetAs: false } });
    const segments = `02 ff ${'fc59'.repeat(255)}`.replace(/ /g, '').repeat(70);
    const length = (segments.length / 2).toString(16).padStart(4, '0');
    assert.equal(incident.receive('', `${ORIGIN} 50 02 ${length} ${segments} ${NEXT_HOP}`, P), 'withdrawn');
    assert.equal(incident.othersIntact, true);
  });
});
