// Messages that brought speakers down, or made them reset sessions, as bytes; and what has to happen instead. The session
// must stay wherever RFC 7606 lets it, and other routes of the same peer are not touched.

import assert from 'node:assert/strict';
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
  { name: 'prefix SID cut off', attributes: `${GOOD} c0 28 04 01 00ff 00`, nlri: P, outcome: 'route' },
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
    outcome: 'route',
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
  { name: 'AGGREGATOR of five octets', attributes: `${GOOD} c0 07 05 0000000000`, nlri: P, outcome: 'route' },
  { name: 'ATOMIC_AGGREGATE with contents', attributes: `${GOOD} 40 06 01 00`, nlri: P, outcome: 'route' },
  {
    name: 'LOCAL_PREF of three octets from another AS',
    attributes: `${GOOD} 40 05 03 000000`,
    nlri: P,
    outcome: 'route',
  },
  { name: 'a repeated ORIGIN', attributes: `${GOOD} 40 01 01 02`, nlri: P, outcome: 'route' },
  {
    name: 'two MP_REACH_NLRI',
    attributes: `${GOOD} ${'80 0e 05 0002 01 00 00 '.repeat(2)}`,
    nlri: P,
    outcome: 'reset 3/9',
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
  for (const { name, attributes, nlri = '', withdrawn = '', outcome } of cases) {
    it(`${name}: ${outcome}`, () => {
      const incident = new Incident();
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
});
