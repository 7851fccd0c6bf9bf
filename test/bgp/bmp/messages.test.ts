// Shows BMP messages beside their bytes: RFC 7854 §4.

import assert from 'node:assert/strict';
import { type BmpMessage, encodeBmp, updatePdu } from '../../../bgp/bmp/messages.ts';
import { encodeMessage } from '../../../bgp/wire/codec.ts';
import { notification } from '../../../bgp/wire/notification.ts';
import { parseAddress } from '../../../net/address.ts';

const atMs = 1_700_000_000_250;
const peer = { address: parseAddress('10.0.0.2') ?? 0, asn: 64601, routerId: 0x0a000002 };
const peer6 = { ...peer, address: parseAddress('fd00::2') ?? 0 };
const header = `${'00'.repeat(10)}${'00'.repeat(12)}0a0000020000fc590a0000026553f1000003d090`;
const header6 = `0080${'00'.repeat(8)}fd0000000000000000000000000000020000fc590a0000026553f1000003d090`;
const twoOctetHeader = `0020${header.slice(4)}`;
const outHeader = (flags: string): string => `00${flags}${header.slice(4)}`;
const locRib = { ...peer, address: undefined };
const locRibHeader = `0300${'00'.repeat(24)}0000fc590a0000026553f1000003d090`;
const keepalive = encodeMessage({ kind: 'keepalive' });
const keepaliveHex = `${'ff'.repeat(16)}001304`;

const cases: readonly { readonly message: BmpMessage; readonly hex: string }[] = [
  {
    message: { kind: 'initiation', systemName: 'n1', systemDescription: 'Twill' },
    hex: '030000001504' + '0001' + '0005' + '5477696c6c' + '0002' + '0002' + '6e31',
  },
  { message: { kind: 'termination' }, hex: '030000000c05' + '0001' + '0002' + '0000' },
  {
    // The PDUs stand for OPENs.
    message: {
      kind: 'peer-up',
      peer,
      localAddress: parseAddress('10.0.0.1') ?? 0,
      localPort: 179,
      remotePort: 40000,
      sentOpen: keepalive,
      receivedOpen: keepalive,
    },
    hex: `030000006a03${header}${'00'.repeat(12)}0a00000100b39c40${keepaliveHex}${keepaliveHex}`,
  },
  {
    message: {
      kind: 'peer-down',
      peer,
      reason: { kind: 'notification-received', pdu: encodeMessage(notification(6, 2)) },
    },
    hex: `030000004602${header}03${'ff'.repeat(16)}0015030602`,
  },
  {
    message: { kind: 'peer-down', peer: peer6, reason: { kind: 'closed-by-peer' } },
    hex: `030000003102${header6}04`,
  },
  {
    message: { kind: 'peer-down', peer, reason: { kind: 'closed-by-us', event: 24 } },
    hex: `030000003302${header}020018`,
  },
  {
    // End-of-RIB.
    message: { kind: 'route-monitoring', peer, update: updatePdu(new Uint8Array(4)), twoOctetAs: true },
    hex: `030000004700${twoOctetHeader}${'ff'.repeat(16)}00170200000000`,
  },
  {
    // RFC 9069: no addresses and ports, the same OPEN twice, the table's name.
    message: { kind: 'loc-rib-up', peer: locRib, open: keepalive },
    hex: `030000007403${locRibHeader}${'00'.repeat(20)}${keepaliveHex}${keepaliveHex}00030006${Buffer.from('global').toString('hex')}`,
  },
  {
    message: { kind: 'peer-down', peer: locRib, reason: { kind: 'table-closed' } },
    hex: `030000003b02${locRibHeader}0600030006${Buffer.from('global').toString('hex')}`,
  },
  {
    message: { kind: 'loc-rib-statistics', peer: locRib, routes: 258 },
    hex: `030000004001${locRibHeader}00000001000800080000000000000102`,
  },
  {
    // RFC 8671: the O flag, and after policy the L flag.
    message: {
      kind: 'route-monitoring',
      peer,
      update: updatePdu(new Uint8Array(4)),
      twoOctetAs: false,
      out: 'pre-policy',
    },
    hex: `030000004700${outHeader('10')}${'ff'.repeat(16)}00170200000000`,
  },
  {
    message: {
      kind: 'route-monitoring',
      peer,
      update: updatePdu(new Uint8Array(4)),
      twoOctetAs: true,
      out: 'post-policy',
    },
    hex: `030000004700${outHeader('70')}${'ff'.repeat(16)}00170200000000`,
  },
  {
    message: { kind: 'statistics', peer, adjRibInRoutes: 1, adjRibOutRoutes: { 'pre-policy': 3, 'post-policy': 2 } },
    hex: `030000005801${header}00000003000700080000000000000001000e00080000000000000003000f00080000000000000002`,
  },
  {
    message: { kind: 'statistics', peer, adjRibInRoutes: 258 },
    hex: `030000004001${header}00000001000700080000000000000102`,
  },
];

describe('BMP messages', () => {
  for (const { message, hex } of cases) {
    const name = 'reason' in message ? `${message.kind}: ${message.reason.kind}` : message.kind;
    it(`writes ${name}`, () => assert.equal(Buffer.from(encodeBmp(message, atMs)).toString('hex'), hex));
  }
});
