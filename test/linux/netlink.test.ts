// The rtnetlink codec: requests beside their bytes, answers read back, errors with
// their text, and readers that survive any bytes.

import assert from 'node:assert/strict';
import { addAddress, readAddress } from '../../linux/netlink/address.ts';
import { changeLink, createVeth, parseMac, readLink } from '../../linux/netlink/link.ts';
import { AttributeCursor, MessageWriter, parseMessages } from '../../linux/netlink/message.ts';
import { readNeighbour, setNeighbour } from '../../linux/netlink/neighbour.ts';
import { NftChangeReader } from '../../linux/netlink/nftables-event.ts';
import { addRoute, deleteRoute, type Route } from '../../linux/netlink/route.ts';
import { readRoute } from '../../linux/netlink/route-message.ts';
import { addRule, readRule } from '../../linux/netlink/rule.ts';
import { type NetlinkRequest, parseError } from '../../linux/netlink/socket.ts';
import { type Address, parseAddress } from '../../net/address.ts';
import { type Prefix, parsePrefix } from '../../net/prefix.ts';
import { randomInt, seededRandom } from '../net/random.ts';
import { bytes, hex, plain } from './hex.ts';

const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);
const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);

/** What follows the header. */
function payloadOf(request: NetlinkRequest): Uint8Array {
  const writer = new MessageWriter(8);
  writer.begin(request.type, request.flags, 7);
  request.write(writer);
  writer.finish();
  const [message, ...rest] = parseMessages(writer.written());
  assert.ok(message && rest.length === 0);
  assert.equal(message.type, request.type);
  assert.equal(message.sequence, 7);
  return message.payload;
}

describe('netlink messages', () => {
  it('writes one message behind another and reads them back', () => {
    const writer = new MessageWriter(4);
    writer.begin(24, 5, 1);
    writer.attributeString(3, 'eth0');
    writer.finish();
    writer.begin(25, 0, 0xffffffff);
    writer.attributeU16(1, 0x1234);
    writer.nest(2, () => writer.attributeU8(4, 9));
    writer.finish();
    assert.equal(
      hex(writer.written()),
      plain(`1c000000 1800 0500 01000000 00000000  0900 0300 65746830 00000000
             24000000 1900 0000 ffffffff 00000000  0600 0100 3412 0000  0c00 0280 0500 0400 09000000`),
    );
    const [first, second, ...rest] = parseMessages(writer.written());
    assert.ok(first && second && rest.length === 0);
    const cursor = new AttributeCursor(first.payload);
    assert.ok(cursor.next());
    assert.deepEqual([cursor.type, cursor.string()], [3, 'eth0']);
    assert.ok(!cursor.next());
    const nested = new AttributeCursor(second.payload);
    assert.ok(nested.next() && nested.u16() === 0x1234 && nested.next() && nested.type === 2);
    const inside = nested.nested();
    assert.ok(inside.next() && inside.type === 4 && inside.u8() === 9 && !inside.next());
  });

  it('reads what is whole of a datagram that is not', () => {
    const whole = bytes('14000000 0200 0000 01000000 00000000 00000000');
    assert.equal(parseMessages(whole).length, 1);
    assert.equal(parseMessages(whole.subarray(0, 19)).length, 0);
    assert.equal(parseMessages(bytes('08000000 0200 0000')).length, 0);
    assert.equal(parseMessages(bytes('00000000 0200 0000 01000000 00000000')).length, 0);
  });
});

interface RouteCase {
  readonly what: string;
  readonly route: Route;
  readonly hex: string;
  /** When reading gives more than was written. */
  readonly read?: Partial<Route>;
}

const routeCases: RouteCase[] = [
  {
    what: '10.0.0.5 dev #7 proto 80 scope link',
    route: { prefix: prefix('10.0.0.5/32'), protocol: 80, nextHops: [{ interfaceIndex: 7 }] },
    hex: '02 20 00 00 fe 50 fd 01 00000000  0800 0100 0a000005  0800 0400 07000000',
  },
  {
    what: '10.1.0.0/26 via 10.9.0.2 dev #7 proto 81 metric 5 src 10.9.0.1 onlink',
    route: {
      prefix: prefix('10.1.0.0/26'),
      protocol: 81,
      priority: 5,
      source: address('10.9.0.1'),
      nextHops: [{ gateway: address('10.9.0.2'), interfaceIndex: 7, onlink: true }],
    },
    hex: `02 1a 00 00 fe 51 00 01 04000000  0800 0100 0a010000  0800 0600 05000000  0800 0700 0a090001
          0800 0500 0a090002  0800 0400 07000000`,
  },
  {
    what: '10.1.0.0/26 by two next hops',
    route: {
      prefix: prefix('10.1.0.0/26'),
      protocol: 81,
      nextHops: [
        { gateway: address('10.9.0.2'), interfaceIndex: 7, weight: 1 },
        { gateway: address('10.9.0.3'), interfaceIndex: 8, weight: 3 },
      ],
    },
    hex: `02 1a 00 00 fe 51 00 01 00000000  0800 0100 0a010000
          2400 0980  1000 00 00 07000000 0800 0500 0a090002  1000 00 02 08000000 0800 0500 0a090003`,
  },
  {
    what: 'blackhole 10.1.0.0/26',
    route: { prefix: prefix('10.1.0.0/26'), type: 'blackhole', protocol: 81, nextHops: [] },
    hex: '02 1a 00 00 fe 51 00 06 00000000  0800 0100 0a010000',
  },
  {
    what: 'IPv4 by an IPv6 next hop (RFC 8950)',
    route: {
      prefix: prefix('10.1.0.0/26'),
      protocol: 81,
      nextHops: [{ gateway: address('fe80::1'), interfaceIndex: 7 }],
    },
    hex: `02 1a 00 00 fe 51 00 01 00000000  0800 0100 0a010000
          1600 1200 0a00 fe800000 00000000 00000000 00000001 0000  0800 0400 07000000`,
  },
  {
    what: 'IPv6 in table 1000, with an MTU',
    route: {
      prefix: prefix('fd00:1::/122'),
      table: 1000,
      protocol: 81,
      mtu: 1400,
      nextHops: [{ gateway: address('fd00::2') }],
    },
    hex: `0a 7a 00 00 00 51 00 01 00000000  1400 0100 fd000001 00000000 00000000 00000000  0800 0f00 e8030000
          0c00 0880 0800 0200 78050000  1400 0500 fd000000 00000000 00000000 00000002`,
  },
];

describe('routes', () => {
  for (const { what, route, hex: expected } of routeCases) {
    it(`${what}`, () => {
      const payload = payloadOf(addRoute(route));
      assert.equal(hex(payload), plain(expected));
      const scope = payload[6];
      assert.deepEqual(readRoute(payload), { type: 'unicast', table: 254, scope, ...route });
    });
  }

  it('asks for create, replace or append by flags', () => {
    const [{ route }] = [routeCases[0] ?? assert.fail()];
    assert.equal(addRoute(route).flags, 0x600);
    assert.equal(addRoute(route, 'replace').flags, 0x500);
    assert.equal(addRoute(route, 'append').flags, 0xc00);
  });

  it('deletes whatever the scope, type and next hops are', () => {
    const payload = payloadOf(deleteRoute({ prefix: prefix('10.0.0.5/32'), protocol: 80 }));
    assert.equal(hex(payload), plain('02 20 00 00 fe 50 ff 00 00000000  0800 0100 0a000005'));
  });

  it('ignores cloned routes and other families', () => {
    assert.equal(readRoute(bytes('0a 80 00 00 fe 02 00 01 00020000')), undefined);
    assert.equal(readRoute(bytes('1c 00 00 00 fe 02 00 01 00000000')), undefined);
  });
});

describe('links', () => {
  it('makes a veth pair with the other end in another namespace', () => {
    const request = createVeth({
      end: { name: 'cali1', mac: 'ee:ee:ee:ee:ee:ee' },
      peer: { name: 'eth0', netnsFd: 9 },
      mtu: 1450,
    });
    assert.equal(
      hex(payloadOf(request)),
      plain(`00 00 0000 00000000 00000000 00000000
             0a00 0300 63616c693100 0000  0800 0400 aa050000  0a00 0100 eeeeeeeeeeee 0000
             4400 1280  0900 0100 7665746800 000000
               3400 0280  3000 0180  00 00 0000 00000000 00000000 00000000
                 0900 0300 6574683000 000000  0800 0400 aa050000  0800 1c00 09000000`),
    );
  });

  it('finds a link by name, renames one by index', () => {
    assert.equal(
      hex(payloadOf(changeLink('eth0', { up: true }))),
      plain('00 00 0000 00000000 01000000 01000000  0900 0300 6574683000 000000'),
    );
    assert.equal(
      hex(payloadOf(changeLink(3, { name: 'eth0' }))),
      plain('00 00 0000 03000000 00000000 00000000  0900 0300 6574683000 000000'),
    );
  });

  it('reads what the kernel says of one', () => {
    const message = bytes(`00 00 0100 05000000 43100100 00000000
      0a00 0300 63616c693100 0000  0800 0400 dc050000  0500 1000 06000000  0a00 0100 eeeeeeeeeeee 0000
      0800 0500 02000000  0800 2500 00000000  1000 1200 0900 0100 7665746800 000000`);
    assert.deepEqual(readLink(message), {
      index: 5,
      name: 'cali1',
      up: true,
      carrier: true,
      loopback: false,
      mtu: 1500,
      mac: 'ee:ee:ee:ee:ee:ee',
      kind: 'veth',
      peerIndex: 2,
      peerNetnsId: 0,
      group: 0,
    });
  });

  it('knows a MAC address from other text', () => {
    assert.deepEqual(parseMac('02:42:0A:00:00:01'), bytes('02420a000001'));
    for (const text of ['', '02:42:0a:00:00', '02:42:0a:00:00:01:02', '2:42:0a:00:00:01', '02:42:0a:00:00:0g']) {
      assert.equal(parseMac(text), undefined, text);
    }
  });
});

describe('addresses, neighbours and rules', () => {
  it('write and read back', () => {
    const added = { interfaceIndex: 3, address: address('fd00::1'), length: 128, scope: 0, noDuplicateDetection: true };
    assert.equal(
      hex(payloadOf(addAddress(added))),
      plain(`0a 80 02 00 03000000  1400 0200 fd000000 00000000 00000000 00000001
             1400 0100 fd000000 00000000 00000000 00000001`),
    );
    assert.deepEqual(readAddress(payloadOf(addAddress(added))), added);

    const proxy = { interfaceIndex: 3, address: address('169.254.1.1'), proxy: true, permanent: true };
    assert.equal(hex(payloadOf(setNeighbour(proxy))), plain('02000000 03000000 8000 08 00  0800 0100 a9fe0101'));
    assert.deepEqual(readNeighbour(payloadOf(setNeighbour(proxy))), proxy);
    const permanent = { interfaceIndex: 3, address: address('10.0.0.1'), mac: '02:00:00:00:00:01', permanent: true };
    assert.deepEqual(readNeighbour(payloadOf(setNeighbour(permanent))), permanent);

    const rule = {
      family: 4,
      priority: 100,
      table: 1000,
      protocol: 80,
      source: prefix('10.0.0.0/8'),
      mark: 0x10000,
      markMask: 0xffff0000,
      inputInterface: 'eth0',
    } as const;
    assert.deepEqual(readRule(payloadOf(addRule(rule))), rule);
  });
});

describe('netlink errors', () => {
  it('have the kernel’s name and text', () => {
    // -EEXIST for a capped request, with "File exists" as NLMSGERR_ATTR_MSG.
    const [message] = parseMessages(
      bytes(`34000000 0200 0003 05000000 00000000
             efffffff 3c000000 1800 0506 05000000 00000000  1000 0100 46696c65 20657869 73747300`),
    );
    const error = parseError(message ?? assert.fail(), 'create route 10.0.0.0/8');
    assert.deepEqual([error?.code, error?.message], ['EEXIST', 'create route 10.0.0.0/8: EEXIST: File exists']);
    const [acknowledged] = parseMessages(
      bytes('24000000 0200 0001 05000000 00000000 00000000 14000000 1800 0506 05000000 00000000'),
    );
    assert.equal(parseError(acknowledged ?? assert.fail(), 'x'), undefined);
  });
});

describe('nftables notifications', () => {
  it('give the tables of a transaction and who ran it', () => {
    const reader = new NftChangeReader((threadId) => threadId === 7);
    const message = (type: number, payload: string) => ({
      type: 0x0a00 | type,
      flags: 0,
      sequence: 0,
      payload: bytes(payload),
    });
    // NEWTABLE inet t, NEWCHAIN inet t, NEWTABLE ip u, NEWGEN by thread 7 "nft".
    assert.equal(reader.read(message(0, '01 00 0000  0600 0100 7400 0000')), undefined);
    assert.equal(reader.read(message(3, '01 00 0000  0600 0100 7400 0000  0600 0300 6300 0000')), undefined);
    assert.equal(reader.read(message(0, '02 00 0000  0600 0100 7500 0000')), undefined);
    const change = reader.read(message(15, '00 00 0000  0800 0100 00000002  0800 0200 00000007  0800 0300 6e667400'));
    assert.deepEqual(change, { tables: ['inet t', 'ip u'], own: true, by: 'nft' });
    const next = reader.read(message(15, '00 00 0000  0800 0200 00000008  0800 0300 6e667400'));
    assert.deepEqual(next, { tables: [], own: false, by: 'nft' });
  });
});

describe('readers', () => {
  it('survive any bytes', () => {
    const samples = [
      ...routeCases.map(({ route }) => payloadOf(addRoute(route))),
      payloadOf(createVeth({ end: { name: 'a' }, peer: { name: 'b' } })),
    ];
    const readers = [readRoute, readLink, readAddress, readNeighbour, readRule];
    for (let seed = 1; seed <= 3000; seed++) {
      const random = seededRandom(seed);
      const sample = Uint8Array.from(samples[randomInt(random, samples.length)] ?? []);
      for (let i = 0; i < 4; i++) sample[randomInt(random, sample.length)] = randomInt(random, 256);
      const cut = sample.subarray(0, randomInt(random, sample.length + 1));
      for (const read of readers) assert.doesNotThrow(() => read(cut), `seed ${seed}`);
      assert.doesNotThrow(() => parseMessages(cut), `seed ${seed}`);
    }
  });
});
