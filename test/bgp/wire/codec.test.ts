// Messages and their bytes side by side, both directions; and what malformed bytes lead to, by RFC.

import assert from 'node:assert/strict';
import { plainContext } from '../../../bgp/wire/attributes.ts';
import { decodeMessage, encodeMessage } from '../../../bgp/wire/codec.ts';
import type { Message } from '../../../bgp/wire/message.ts';
import { describeNotification, notification, shutdownData, shutdownText } from '../../../bgp/wire/notification.ts';
import { endOfRib, endOfRibOf } from '../../../bgp/wire/update.ts';

const MARKER = 'ff'.repeat(16);
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A whole message around a body in hex. */
function framed(type: number, body: string): Uint8Array {
  const bytes = bytesOf(body);
  const length = (bytes.length + 19).toString(16).padStart(4, '0');
  return bytesOf(`${MARKER}${length}${type.toString(16).padStart(2, '0')}${hexOf(bytes)}`);
}

const update = (rest: Partial<Extract<Message, { kind: 'update' }>>): Message => ({
  kind: 'update',
  withdrawn: [],
  attributes: {},
  unknownAttributes: [],
  nlri: [],
  ...rest,
});

interface Sample {
  readonly name: string;
  readonly type: number;
  readonly hex: string;
  readonly message: Message;
}

const samples: readonly Sample[] = [
  { name: 'KEEPALIVE', type: 4, hex: '', message: { kind: 'keepalive' } },
  {
    name: 'OPEN with the usual capabilities',
    type: 1,
    hex: '04 5ba0 00b4 0a000001 12 02 10 0104 0001 0001 0200 4104 00011170 0600',
    message: {
      kind: 'open',
      version: 4,
      asn: 70000,
      holdTimeSec: 180,
      routerId: 0x0a000001,
      capabilities: [
        { kind: 'multiprotocol', afi: 1, safi: 1 },
        { kind: 'route-refresh' },
        { kind: 'four-octet-as', asn: 70000 },
        { kind: 'extended-message' },
      ],
    },
  },
  {
    name: 'OPEN with restart, add-path, next hop, LLGR, enhanced refresh and host name capabilities',
    type: 1,
    hex: `04 fde8 005a 01010101 3c 02 3a
      40 06 c078 0001 01 80   45 04 0002 01 03   05 06 0001 0001 0002   47 07 0001 01 80 000e10
      46 00   49 07 04 6e6f6465 01 78   fd 02 abcd   01 04 0002 00 01   41 04 0000fde8`,
    message: {
      kind: 'open',
      version: 4,
      asn: 65000,
      holdTimeSec: 90,
      routerId: 0x01010101,
      capabilities: [
        {
          kind: 'graceful-restart',
          restarting: true,
          notification: true,
          restartTimeSec: 120,
          families: [{ afi: 1, safi: 1, forwarding: true }],
        },
        { kind: 'add-path', families: [{ afi: 2, safi: 1, send: true, receive: true }] },
        { kind: 'extended-next-hop', families: [{ afi: 1, safi: 1, nextHopAfi: 2 }] },
        {
          kind: 'long-lived-graceful-restart',
          families: [{ afi: 1, safi: 1, forwarding: true, staleTimeSec: 3600 }],
        },
        { kind: 'enhanced-route-refresh' },
        { kind: 'fqdn', host: 'node', domain: 'x' },
        { kind: 'unknown', code: 0xfd, data: bytesOf('abcd') },
        { kind: 'multiprotocol', afi: 2, safi: 1 },
        { kind: 'four-octet-as', asn: 65000 },
      ],
    },
  },
  {
    name: 'NOTIFICATION Cease, administrative shutdown, with text (RFC 9003)',
    type: 3,
    hex: '06 02 07 72656275696c64',
    message: notification(6, 2, shutdownData('rebuild')),
  },
  {
    name: 'ROUTE-REFRESH, beginning (RFC 7313)',
    type: 5,
    hex: '0002 01 01',
    message: { kind: 'route-refresh', afi: 2, safi: 1, subtype: 1 },
  },
  {
    name: 'UPDATE with IPv4 routes',
    type: 2,
    hex: `0004 18 0a0100  002a
      40 01 01 00   40 02 0a 02 02 0000fde8 00011170   40 03 04 0a000001   80 04 04 00000064
      c0 08 08 fde80001 ffffff01   18 0a0000  1a 0a000040`,
    message: update({
      withdrawn: [{ prefix: { address: 0x0a010000, length: 24 } }],
      attributes: {
        origin: 0,
        asPath: [{ kind: 'sequence', asns: [65000, 70000] }],
        nextHop: 0x0a000001,
        med: 100,
        communities: [0xfde80001, 0xffffff01],
      },
      nlri: [{ prefix: { address: 0x0a000000, length: 24 } }, { prefix: { address: 0x0a000040, length: 26 } }],
    }),
  },
  {
    name: 'UPDATE with IPv6 routes, reflected',
    type: 2,
    hex: `0000 003c
      40 01 01 02   40 02 00   40 05 04 00000064   80 09 04 01010101   80 0a 04 02020202
      80 0e 1d 0002 01 10 20010db8000000000000000000000001 00 38 20010db8000000`,
    message: update({
      attributes: {
        origin: 2,
        asPath: [],
        localPref: 100,
        originatorId: 0x01010101,
        clusterList: [0x02020202],
        mpReach: {
          afi: 2,
          safi: 1,
          nextHops: [0x20010db8000000000000000000000001n],
          nlri: [{ prefix: { address: 0x20010db8000000000000000000000000n, length: 56 } }],
        },
      },
    }),
  },
  {
    name: 'UPDATE with large and extended communities, an AS_SET and an unknown attribute',
    type: 2,
    hex: `0000 003e
      40 01 01 00   40 02 10 02 01 0000fde8 01 02 00000001 00000002   40 03 04 0a000001
      c0 10 08 0002fde800000001   c0 20 0c 0000fde8 00000001 00000002   e0 63 03 010203  08 0a`,
    message: update({
      attributes: {
        origin: 0,
        asPath: [
          { kind: 'sequence', asns: [65000] },
          { kind: 'set', asns: [1, 2] },
        ],
        nextHop: 0x0a000001,
        extendedCommunities: [0x0002fde800000001n],
        largeCommunities: [{ global: 65000, local1: 1, local2: 2 }],
      },
      unknownAttributes: [{ flags: 0xe0, code: 99, data: bytesOf('010203') }],
      nlri: [{ prefix: { address: 0x0a000000, length: 8 } }],
    }),
  },
  { name: 'End-of-RIB for IPv4', type: 2, hex: '0000 0000', message: endOfRib('ipv4-unicast') },
  { name: 'End-of-RIB for IPv6', type: 2, hex: '0000 0006 80 0f 03 0002 01', message: endOfRib('ipv6-unicast') },
];

describe('BGP messages', () => {
  for (const { name, type, hex, message } of samples) {
    it(`reads and writes ${name}`, () => {
      const bytes = framed(type, hex);
      assert.equal(hexOf(encodeMessage(message)), hexOf(bytes));
      const decoded = decodeMessage(bytes);
      assert.deepEqual(decoded, { kind: 'message', message, treatAsWithdraw: false, findings: [] });
    });
  }

  it('writes 2-octet AS numbers and path identifiers where the session has them', () => {
    const context = { ...plainContext, fourOctetAs: false, addPathIpv4: true };
    const message = update({
      attributes: { origin: 0, asPath: [{ kind: 'sequence', asns: [65000] }], nextHop: 0x0a000001 },
      nlri: [{ prefix: { address: 0x0a000000, length: 8 }, pathId: 7 }],
    });
    const bytes = encodeMessage(message, context);
    assert.equal(hexOf(bytes.subarray(19)), '0000001240010100400204020' + '1fde84003040a00000100000007080a');
    const decoded = decodeMessage(bytes, context);
    assert.equal(decoded.kind === 'message' && decoded.message.kind, 'update');
    assert.deepEqual(decoded.kind === 'message' && decoded.message, message);
  });

  it('uses the extended OPEN parameters of RFC 9072 when they are long', () => {
    const data = new Uint8Array(200).fill(7);
    const capabilities = [1, 2].map((code) => ({ kind: 'unknown' as const, code: 200 + code, data }));
    const open: Message = { kind: 'open', version: 4, asn: 1, holdTimeSec: 90, routerId: 1, capabilities };
    const bytes = encodeMessage(open);
    assert.equal(hexOf(bytes.subarray(28, 35)), 'ffff0197020194');
    assert.deepEqual(decodeMessage(bytes), { kind: 'message', message: open, treatAsWithdraw: false, findings: [] });
  });

  it('reads extended OPEN parameters whatever the length before them says, but 0 (RFC 9072 §3)', () => {
    const capabilities = [{ kind: 'route-refresh' as const }];
    const open: Message = { kind: 'open', version: 4, asn: 65000, holdTimeSec: 90, routerId: 1, capabilities };
    for (const length of ['01', '08', 'fe', 'ff']) {
      const bytes = framed(1, `04 fde8 005a 00000001 ${length} ff 0005 02 0002 0200`);
      assert.deepEqual(decodeMessage(bytes), { kind: 'message', message: open, treatAsWithdraw: false, findings: [] });
    }
    assert.equal(refusal(framed(1, '04 fde8 005a 00000001 00 ff 0005 02 0002 0200')), '2/0');
  });

  it('does not understand add-path for neither way nor for more than two (RFC 7911 §4)', () => {
    for (const ways of ['00', '04', 'ff']) {
      const decoded = decodeMessage(framed(1, `04 fde8 005a 00000001 0c 02 0a 45 08 0001 01 03 0002 01 ${ways}`));
      assert(decoded.kind === 'message' && decoded.message.kind === 'open');
      assert.equal(decoded.message.capabilities[0]?.kind, 'unknown');
    }
  });

  it('shows nothing of shutdown text that a terminal would act on', () => {
    assert.equal(shutdownText(notification(6, 2, shutdownData('a\u001b[31m\nb\u202ec'))), 'a [31m b c');
  });

  it('tells End-of-RIB from everything that looks like it', () => {
    assert.equal(endOfRibOf(endOfRibLike({})), 'ipv4-unicast');
    assert.equal(endOfRibOf(endOfRibLike({ mpUnreach: { afi: 2, safi: 1, withdrawn: [] } })), 'ipv6-unicast');
    const withdrawn = [{ prefix: { address: 0n, length: 0 } }];
    assert.equal(endOfRibOf(endOfRibLike({ mpUnreach: { afi: 2, safi: 1, withdrawn } })), undefined);
    assert.equal(endOfRibOf(endOfRibLike({ mpUnreach: { afi: 2, safi: 1, withdrawn: [] }, origin: 0 })), undefined);
  });

  it('cuts shutdown text between characters', () => {
    assert.equal(shutdownText(notification(6, 2, shutdownData('ä'.repeat(200)))), 'ä'.repeat(127));
    assert.equal(
      describeNotification(notification(6, 2, shutdownData('rebuild'))),
      'Cease: administrative shutdown (6/2): rebuild',
    );
    assert.equal(describeNotification(notification(2, 2)), 'OPEN message error: bad peer as (2/2)');
    const shutdown = Uint8Array.of(6, 2, ...shutdownData('rebuild'));
    assert.equal(
      describeNotification(notification(6, 9, shutdown)),
      'hard reset: Cease: administrative shutdown (6/2): rebuild',
    );
    // GoBGP does not put the shutdown inside, whatever its text's length could be taken for.
    for (const text of ['rack move', 'reload', 'go']) {
      assert.equal(describeNotification(notification(6, 9, shutdownData(text))), `Cease: hard reset (6/9): ${text}`);
    }
    assert.equal(describeNotification(notification(6, 9)), 'Cease: hard reset (6/9)');
  });
});

const endOfRibLike = (attributes: Extract<Message, { kind: 'update' }>['attributes']) => ({
  kind: 'update' as const,
  withdrawn: [],
  attributes,
  unknownAttributes: [],
  nlri: [],
});

/** Code, subcode and data of the NOTIFICATION that a message is refused with; undefined when it is taken. */
function refusal(bytes: Uint8Array, extended = false): string | undefined {
  const result = decodeMessage(bytes, plainContext, extended);
  if (result.kind === 'message') return undefined;
  const { code, subcode, data } = result.notification;
  return `${code}/${subcode}${data.length > 0 ? ` ${hexOf(data)}` : ''}`;
}

describe('malformed BGP messages', () => {
  const header = (length: string, type: string): string => `${MARKER}${length}${type}`;
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['a wrong marker', bytesOf(`fe${'ff'.repeat(15)}001304`), '1/1'],
    ['a length below 19', bytesOf(header('0012', '04')), '1/2 0012'],
    ['a length above 4096', bytesOf(header('1001', '02')), '1/2 1001'],
    ['a length of 65535', bytesOf(header('ffff', '02')), '1/2 ffff'],
    ['a KEEPALIVE with a body', framed(4, '00'), '1/2 0014'],
    ['an unknown type', framed(9, ''), '1/3 09'],
    ['a dynamic capability message cut off, which nobody asked for (CVE-2022-37032)', framed(6, '00'), '1/3 06'],
    ['an OPEN that is too short', framed(1, '04'), '1/2 0014'],
    ['OPEN version 3', framed(1, '03 fde8 005a 01010101 00'), '2/1 0004'],
    ['an OPEN parameter past the end', framed(1, '04 fde8 005a 01010101 02 02 04'), '2/0'],
    ['an OPEN parameter length past the end', framed(1, '04 fde8 005a 01010101 01 02'), '2/0'],
    ['an extended OPEN parameter past the end', framed(1, '04 fde8 005a 01010101 ff ff 0003 02 0004'), '2/0'],
    ['a capability one octet short', framed(1, '04 fde8 005a 01010101 05 02 03 41 04 00'), '2/0'],
    ['an unknown OPEN parameter', framed(1, '04 fde8 005a 01010101 02 01 00'), '2/4'],
    ['a ROUTE-REFRESH of the wrong length', framed(5, '0001 01'), `7/1 ${MARKER}001605000101`],
    ['a ROUTE-REFRESH with more than it should have', framed(5, '0001000102'), `7/1 ${MARKER}0018050001000102`],
    ['parts whose sum underflows (CVE-2026-37462)', framed(2, 'fffe fffe 0000'), '3/1'],
    ['withdrawn routes longer than the message', framed(2, 'ffff 0000'), '3/1'],
    ['attributes longer than the message', framed(2, '0000 0001'), '3/1'],
    ['a prefix length of 33', framed(2, '0005 21 0a000000 00 0000'), '3/10'],
    ['a withdrawn prefix cut off', framed(2, '0002 18 0a 0000'), '3/10'],
  ];
  for (const [name, bytes, expected] of cases) {
    it(`refuses ${name}`, () => assert.equal(refusal(bytes), expected));
  }

  it('takes long UPDATEs where RFC 8654 was negotiated, and no long OPEN', () => {
    const long = (type: number): Uint8Array => framed(type, '00'.repeat(5000));
    assert.equal(refusal(long(1), true), '1/2 139b');
    assert.notEqual(refusal(long(2), true), '1/2 139b');
  });
});
