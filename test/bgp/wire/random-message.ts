// Messages of every kind, made up at random but as a well-behaved speaker might send them: what decode(encode(m)) must give
// back, and what fuzzing begins with.

import type { AsPathSegment } from '../../../bgp/wire/as-path.ts';
import { type PathAttributes, plainContext, type WireContext } from '../../../bgp/wire/attributes.ts';
import type { Capability, Message } from '../../../bgp/wire/message.ts';
import type { Nlri } from '../../../bgp/wire/nlri.ts';
import type { UnknownAttribute, UpdateMessage } from '../../../bgp/wire/update.ts';
import { prefixOf } from '../../../net/prefix.ts';

/** 0 ≤ x < below, whole. */
export type Random = (below: number) => number;

/** Mulberry32: small, seeded. */
export function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const word = (random: Random): number => random(2 ** 32);
const flip = (random: Random): boolean => random(2) === 0;
const list = <T>(random: Random, most: number, make: () => T): T[] => Array.from({ length: random(most + 1) }, make);
const some = <T>(random: Random, most: number, make: () => T): [T, ...T[]] => [make(), ...list(random, most - 1, make)];
const octets = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random(256));

export const randomContext = (random: Random): WireContext => ({
  ...plainContext,
  fourOctetAs: random(4) > 0,
  addPathIpv4: random(3) === 0,
  addPathIpv6: random(3) === 0,
});

export function randomNlri(random: Random, family: 4 | 6, addPath: boolean): Nlri {
  const prefix =
    family === 4
      ? prefixOf((random(200) + 1) * 2 ** 24 + random(2 ** 24), random(33))
      : prefixOf(((0x2000n + BigInt(random(16))) << 112n) | (BigInt(word(random)) << 64n), random(129));
  return addPath ? { prefix, pathId: word(random) } : { prefix };
}

function randomPath(random: Random, wide: boolean): AsPathSegment[] {
  const asn = (): number => 1 + random(wide && flip(random) ? 2 ** 32 - 1 : 65535);
  return list(random, 3, () => ({ kind: random(5) === 0 ? 'set' : 'sequence', asns: some(random, 5, asn) }));
}

/** TLVs of a type octet and a 2-octet length, or of 2-octet types. */
function randomTlvs(random: Random, typeOctets: 1 | 2, make: () => Uint8Array): Uint8Array {
  const parts = some(random, 3, () => {
    const value = make();
    return [...octets(random, typeOctets), value.length >> 8, value.length & 255, ...value];
  });
  return Uint8Array.from(parts.flat());
}

const randomSubTlv = (random: Random): Uint8Array => {
  const value = octets(random, random(6));
  return Uint8Array.from([random(128), value.length, ...value]);
};

/** Each attribute now and then; those that every route has, always. */
export function randomAttributes(random: Random, context: WireContext, nlri: boolean): PathAttributes {
  const wide = context.fourOctetAs;
  const maybe = <T extends object>(make: () => T): T | Record<string, never> => (random(4) === 0 ? make() : {});
  const large = () => ({ global: word(random), local1: word(random), local2: word(random) });
  return {
    origin: random(3),
    asPath: randomPath(random, wide),
    ...(nlri ? { nextHop: (1 + random(200)) * 2 ** 24 + random(2 ** 24) } : {}),
    ...maybe(() => ({ med: word(random) })),
    ...maybe(() => ({ localPref: word(random) })),
    ...maybe(() => ({ atomicAggregate: true as const })),
    ...maybe(() => ({ aggregator: { asn: 1 + random(wide ? 2 ** 32 - 1 : 65535), address: word(random) } })),
    ...maybe(() => ({ communities: some(random, 70, () => word(random)) })),
    ...maybe(() => ({ originatorId: word(random) })),
    ...maybe(() => ({ clusterList: some(random, 4, () => word(random)) })),
    ...maybe(() => ({
      extendedCommunities: some(random, 4, () => (BigInt(word(random)) << 32n) | BigInt(word(random))),
    })),
    ...maybe(() => ({ as4Path: randomPath(random, true) })),
    ...maybe(() => ({ as4Aggregator: { asn: 1 + random(2 ** 32 - 1), address: word(random) } })),
    ...maybe(() => ({ tunnelEncapsulation: randomTlvs(random, 2, () => randomSubTlv(random)) })),
    ...maybe(() => ({ ipv6ExtendedCommunities: octets(random, 20 * (1 + random(3))) })),
    ...maybe(() => ({ aigp: Uint8Array.from([1, 0, 11, ...octets(random, 8)]) })),
    ...maybe(() => ({ largeCommunities: some(random, 4, large) })),
    ...maybe(() => ({ onlyToCustomer: word(random) })),
    ...maybe(() => ({ prefixSid: randomTlvs(random, 1, () => octets(random, random(8))) })),
  };
}

function randomMp(random: Random, context: WireContext): PathAttributes {
  const ipv6 = random(3) > 0;
  const [afi, safi] = [ipv6 ? 2 : 1, 1];
  const addPath = ipv6 ? context.addPathIpv6 : context.addPathIpv4;
  const nlri = (most: number) => list(random, most, () => randomNlri(random, ipv6 ? 6 : 4, addPath));
  const wide = () => (0x2001n << 112n) | BigInt(word(random));
  const nextHops = !ipv6 && flip(random) ? [word(random)] : flip(random) ? [wide()] : [wide(), 0xfe80n << 112n];
  return {
    ...(random(3) > 0 ? { mpReach: { afi, safi, nextHops, nlri: nlri(4) } } : {}),
    ...(random(4) === 0 ? { mpUnreach: { afi, safi, withdrawn: nlri(4) } } : {}),
  };
}

const unknownCodes = [0, 11, 19, 28, 64, 128, 200, 255] as const;

function randomUnknown(random: Random): UnknownAttribute[] {
  return unknownCodes
    .filter(() => random(12) === 0)
    .map((code) => ({
      flags: flip(random) ? 0xc0 : 0xe0,
      code,
      data: octets(random, random(random(8) === 0 ? 300 : 8)),
    }));
}

export function randomUpdate(random: Random, context: WireContext): UpdateMessage {
  const prefixes = (most: number) => list(random, most, () => randomNlri(random, 4, context.addPathIpv4));
  const nlri = prefixes(4);
  return {
    kind: 'update',
    withdrawn: prefixes(3),
    attributes: {
      ...randomAttributes(random, context, nlri.length > 0),
      ...(random(3) === 0 ? randomMp(random, context) : {}),
    },
    unknownAttributes: randomUnknown(random),
    nlri,
  };
}

export function randomCapabilities(random: Random): Capability[] {
  const family = () => ({ afi: 1 + random(2), safi: 1 });
  const makers: (() => Capability)[] = [
    () => ({ kind: 'multiprotocol', ...family() }),
    () => ({ kind: 'route-refresh' }),
    () => ({ kind: 'enhanced-route-refresh' }),
    () => ({ kind: 'extended-message' }),
    () => ({ kind: 'extended-next-hop', families: list(random, 2, () => ({ ...family(), nextHopAfi: 2 })) }),
    () => ({
      kind: 'graceful-restart',
      restarting: flip(random),
      notification: flip(random),
      restartTimeSec: random(4096),
      families: list(random, 2, () => ({ ...family(), forwarding: flip(random) })),
    }),
    () => ({ kind: 'four-octet-as', asn: 1 + random(2 ** 32 - 1) }),
    () => ({
      kind: 'add-path',
      families: list(random, 2, () => {
        const ways = 1 + random(3);
        return { ...family(), send: (ways & 2) !== 0, receive: (ways & 1) !== 0 };
      }),
    }),
    () => ({
      kind: 'long-lived-graceful-restart',
      families: list(random, 2, () => ({ ...family(), forwarding: flip(random), staleTimeSec: random(2 ** 24) })),
    }),
    () => ({ kind: 'fqdn', host: 'h'.repeat(random(9)), domain: 'd'.repeat(random(9)) }),
    () => ({ kind: 'unknown', code: 200 + random(50), data: octets(random, random(40)) }),
  ];
  return list(random, 12, () => makers[random(makers.length)]?.() ?? { kind: 'route-refresh' });
}

export function randomMessage(random: Random, context: WireContext): Message {
  switch (random(8)) {
    case 0: {
      const capabilities = randomCapabilities(random);
      const wide = capabilities.find((capability) => capability.kind === 'four-octet-as');
      const asn = wide?.asn ?? random(65536);
      return { kind: 'open', version: 4, asn, holdTimeSec: random(65536), routerId: word(random), capabilities };
    }
    case 1:
      return { kind: 'notification', code: random(256), subcode: random(256), data: octets(random, random(60)) };
    case 2:
      return { kind: 'route-refresh', afi: random(65536), safi: random(256), subtype: random(256) };
    case 3:
      return { kind: 'keepalive' };
    default:
      return randomUpdate(random, context);
  }
}
