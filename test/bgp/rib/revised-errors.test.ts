// RFC 7606, attribute by attribute: what makes each malformed, and what then happens, from a peer of another AS and from
// one of ours. Every attribute of the table must have its rows.

import assert from 'node:assert/strict';
import type { attributes } from '../../../bgp/wire/attributes.ts';
import { Incident, type Outcome } from './incident.ts';

const ORIGIN = '40 01 01 00';
const AS_PATH = '40 02 06 02 01 0000fc59';
const NEXT_HOP = '40 03 04 0a000001';
const P = '18 c00002';
const IPV6_NEXT_HOP = `10 ${'20'.repeat(16)} 00`;

/** What the peer is, where that makes a difference. */
interface Expected {
  readonly external: Outcome;
  readonly internal: Outcome;
}

const both = (outcome: Outcome): Expected => ({ external: outcome, internal: outcome });
const withdrawn = both('withdrawn');
const discard = both('discard');
const reset = both('reset 3/9');
/** From other ASs the attribute means nothing. */
const internalOnly = (internal: Outcome): Expected => ({ external: 'route', internal });

/** By attribute: what is wrong, the attribute in hex, and the outcome. */
const rows: Record<keyof typeof attributes, readonly (readonly [string, string, Expected])[]> = {
  origin: [
    ['of no octet', '40 01 00', withdrawn],
    ['of two octets', '40 01 02 0000', withdrawn],
    ['3', '40 01 01 03', withdrawn],
    ['marked optional', 'c0 01 01 00', withdrawn],
    ['not marked transitive', '00 01 01 00', withdrawn],
  ],
  asPath: [
    ['with an unknown segment type', '40 02 06 05 01 0000fc59', withdrawn],
    ['with a confederation segment (RFC 5065)', '40 02 06 03 01 0000fc59', withdrawn],
    ['with an empty segment', '40 02 02 02 00', withdrawn],
    ['with a segment past the end', '40 02 06 02 02 0000fc59', withdrawn],
    ['with a lone octet at its end', '40 02 07 02 01 0000fc59 02', withdrawn],
    ['with AS 0 (RFC 7607)', '40 02 06 02 01 00000000', withdrawn],
    ['marked optional', 'c0 02 06 02 01 0000fc59', withdrawn],
  ],
  nextHop: [
    ['of no octet', '40 03 00', withdrawn],
    ['of three octets', '40 03 03 0a0000', withdrawn],
    ['of five octets', '40 03 05 0a00000100', withdrawn],
    ['0.0.0.0', '40 03 04 00000000', withdrawn],
    ['of class D', '40 03 04 e0000001', withdrawn],
    ['marked optional', 'c0 03 04 0a000001', withdrawn],
  ],
  med: [
    ['of no octet', '80 04 00', withdrawn],
    ['of three octets', '80 04 03 000000', withdrawn],
    ['marked transitive', 'c0 04 04 00000001', withdrawn],
  ],
  localPref: [
    ['of three octets', '40 05 03 000000', internalOnly('withdrawn')],
    ['marked optional', 'c0 05 04 00000064', internalOnly('withdrawn')],
    ['as it should be', '40 05 04 00000064', internalOnly('route')],
  ],
  atomicAggregate: [
    ['with contents', '40 06 01 00', discard],
    ['marked optional', 'c0 06 00', withdrawn],
  ],
  aggregator: [
    ['of no octet', 'c0 07 00', discard],
    ['with a 2-octet AS in a 4-octet session', 'c0 07 06 fc59 0a000001', discard],
    ['of AS 0 (RFC 7607)', 'c0 07 08 00000000 0a000001', discard],
    ['marked well-known', '40 07 08 0000fc59 0a000001', withdrawn],
  ],
  communities: [
    ['of no octet', 'c0 08 00', withdrawn],
    ['of three octets', 'c0 08 03 000000', withdrawn],
    ['of five octets', 'c0 08 05 0000000000', withdrawn],
    ['not marked transitive', '80 08 04 00000001', withdrawn],
  ],
  originatorId: [
    ['of three octets', '80 09 03 000000', internalOnly('withdrawn')],
    ['marked transitive', 'c0 09 04 01010101', internalOnly('withdrawn')],
  ],
  clusterList: [
    ['of no octet', '80 0a 00', internalOnly('withdrawn')],
    ['of five octets', '80 0a 05 0000000000', internalOnly('withdrawn')],
    ['marked transitive', 'c0 0a 04 01010101', internalOnly('withdrawn')],
  ],
  mpReach: [
    ['too short', '80 0e 04 0002 01 00', reset],
    ['with a next hop of 15 octets', `80 0e 14 0002 01 0f ${'20'.repeat(15)} 00`, reset],
    ['with a next hop past the end', '80 0e 06 0002 01 10 2020', reset],
    ['with a prefix of 129 bits', `80 0e 16 0002 01 ${IPV6_NEXT_HOP} 81`, reset],
    ['with a prefix past the end', `80 0e 17 0002 01 ${IPV6_NEXT_HOP} 20 20`, reset],
    ['marked transitive', `c0 0e 15 0002 01 ${IPV6_NEXT_HOP}`, withdrawn],
    ['marked transitive, and too short', 'c0 0e 04 0002 01 00', both('reset 3/4')],
    ['of a family that was not negotiated', '80 0e 05 0001 85 00 00', both('route')],
  ],
  mpUnreach: [
    ['too short', '80 0f 02 0002', reset],
    ['with a prefix of 129 bits', '80 0f 04 0002 01 81', reset],
    ['with a prefix past the end', '80 0f 05 0002 01 20 20', reset],
    ['marked transitive', 'c0 0f 03 0002 01', withdrawn],
  ],
  extendedCommunities: [
    ['of no octet', 'c0 10 00', withdrawn],
    ['of nine octets', 'c0 10 09 000000000000000000', withdrawn],
    ['not marked transitive', '80 10 08 0000000000000000', withdrawn],
  ],
  as4Path: [
    ['with an unknown segment type', 'c0 11 06 05 01 0000fc59', discard],
    ['with a segment past the end', 'c0 11 06 02 02 0000fc59', discard],
    ['with AS 0 (RFC 7607)', 'c0 11 06 02 01 00000000', discard],
    ['with a confederation segment (RFC 6793 §6)', 'c0 11 06 03 01 0000fc59', both('route')],
    ['marked well-known', '40 11 06 02 01 0000fc59', withdrawn],
  ],
  as4Aggregator: [
    ['of seven octets', 'c0 12 07 0000fc590a0000', discard],
    ['of AS 0 (RFC 7607)', 'c0 12 08 00000000 0a000001', discard],
    ['not marked transitive', '80 12 08 0000fc59 0a000001', withdrawn],
  ],
  tunnelEncapsulation: [
    ['of no octet', 'c0 17 00', withdrawn],
    ['with a tunnel past the end', 'c0 17 05 0008 0004 01', withdrawn],
    ['with a sub-TLV past the end', 'c0 17 06 0008 0002 01ff', withdrawn],
    ['not marked transitive', '80 17 04 0008 0000', withdrawn],
  ],
  ipv6ExtendedCommunities: [
    ['of 19 octets', `c0 19 13 ${'00'.repeat(19)}`, withdrawn],
    ['not marked transitive', `80 19 14 ${'00'.repeat(20)}`, withdrawn],
  ],
  aigp: [
    ['of two octets', '80 1a 02 0100', discard],
    ['with a metric of ten octets', '80 1a 0a 01 000a 00000000000000', discard],
    ['marked transitive', 'c0 1a 0b 01 000b 0000000000000001', withdrawn],
  ],
  largeCommunities: [
    ['of no octet', 'c0 20 00', withdrawn],
    ['of 13 octets', `c0 20 0d ${'00'.repeat(13)}`, withdrawn],
    ['not marked transitive', `80 20 0c ${'00'.repeat(12)}`, withdrawn],
  ],
  onlyToCustomer: [
    ['of three octets', 'c0 23 03 000000', withdrawn],
    ['not marked transitive', '80 23 04 0000fc59', withdrawn],
  ],
  prefixSid: [
    ['of no octet', 'c0 28 00', internalOnly('discard')],
    ['with a TLV past the end', 'c0 28 04 01 00ff 00', internalOnly('discard')],
    ['with an SRv6 transposition beyond 128 bits (FRR #22042)', srv6PrefixSid('ffff'), internalOnly('route')],
    ['not marked transitive', '80 28 03 01 0000', internalOnly('withdrawn')],
  ],
};

/** RFC 9252 §3: SRv6 L3 service, with one SID and its structure, of which the last two octets are given. */
function srv6PrefixSid(transposition: string): string {
  const structure = `01 0006 20 10 10 00 ${transposition}`;
  const sid = `01 001e 00 ${'20'.repeat(16)} 00 0013 00 ${structure}`;
  return `c0 28 25 05 0022 00 ${sid}`;
}

/** The usual attributes, of which the one that is tested takes its place. */
const usual = new Map<string, string>([
  ['origin', ORIGIN],
  ['asPath', AS_PATH],
  ['nextHop', NEXT_HOP],
]);

describe('RFC 7606', () => {
  for (const [name, cases] of Object.entries(rows)) {
    for (const [what, hex, expected] of cases) {
      for (const kind of ['external', 'internal'] as const) {
        it(`${name} ${what}, ${kind}: ${expected[kind]}`, () => {
          const incident = new Incident(kind);
          const others = [...usual].filter(([other]) => other !== name).map(([, one]) => one);
          assert.equal(incident.receive('', [...others, hex].join(' '), P), expected[kind]);
          assert.equal(incident.othersIntact, true);
        });
      }
    }
  }

  for (const [name] of usual) {
    it(`${name} missing: withdrawn`, () => {
      const others = [...usual].filter(([other]) => other !== name).map(([, one]) => one);
      assert.equal(new Incident().receive('', others.join(' '), P), 'withdrawn');
    });
  }

  it('no attribute, however corrupt, ends the session, but those in which prefixes may hide (VU#347067)', () => {
    for (let code = 0; code < 256; code++) {
      if (code === 14 || code === 15) continue;
      for (const contents of ['', '00', 'ff', '0000', 'ffff', 'ff'.repeat(7), '00'.repeat(255)]) {
        const length = (contents.length / 2).toString(16).padStart(2, '0');
        const hex = `e0 ${code.toString(16).padStart(2, '0')} ${length} ${contents}`;
        const incident = new Incident();
        const outcome = incident.receive('', `${ORIGIN} ${AS_PATH} ${NEXT_HOP} ${hex}`, P);
        assert.doesNotMatch(outcome, /reset/, hex);
        assert.equal(incident.othersIntact, true, hex);
      }
    }
  }).timeout(60_000);

  it('says what was wrong with the prefix until it is announced well', () => {
    const incident = new Incident();
    const prefix = { address: 0xc0000200, length: 24 };
    const { adjRibIn } = incident.from;
    incident.receive('', `${ORIGIN} ${NEXT_HOP} 40 02 02 02 00`, P);
    assert.deepEqual(adjRibIn.malformationOf(prefix), { treatedAsWithdraw: true, text: 'AS_PATH malformed' });
    incident.receive('', `${ORIGIN} ${AS_PATH} ${NEXT_HOP} c0 07 00`, P);
    assert.deepEqual(adjRibIn.malformationOf(prefix), { treatedAsWithdraw: false, text: 'AGGREGATOR malformed' });
    incident.receive('', `${ORIGIN} ${AS_PATH} ${NEXT_HOP}`, P);
    assert.equal(adjRibIn.malformationOf(prefix), undefined);
  });
});
