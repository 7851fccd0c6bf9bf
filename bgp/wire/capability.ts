// Capabilities of an OPEN, one entry each: RFC 5492, 4760, 2918, 8950, 8654, 4724, 8538, 6793, 7911, 7313, 9494, and the
// hostname capability of draft-walton-bgp-hostname-capability.
//
// A capability whose contents do not fit its definition comes out as `unknown` with its bytes, and so is ignored.

import { concat, readUint16, readUint32, uint16, uint32, writeUint16 } from './bytes.ts';
import type { Capability } from './message.ts';

type Kind = Exclude<Capability['kind'], 'unknown'>;
type Of<K extends Kind> = Extract<Capability, { kind: K }>;

interface CapabilityDescriptor<K extends Kind> {
  readonly code: number;
  readonly decode: (value: Uint8Array) => Of<K> | undefined;
  readonly encode: (capability: Of<K>) => Uint8Array;
}

const empty = new Uint8Array(0);

/** Items of `size` octets from `offset` on; undefined when they do not fill the value exactly. */
function items<T>(value: Uint8Array, offset: number, size: number, read: (at: number) => T): T[] | undefined {
  if (value.length < offset || (value.length - offset) % size !== 0) return undefined;
  const list: T[] = [];
  for (let at = offset; at < value.length; at += size) list.push(read(at));
  return list;
}

const familyAt = (value: Uint8Array, at: number, safiAt = at + 2): { afi: number; safi: number } => ({
  afi: readUint16(value, at),
  safi: value[safiAt] ?? 0,
});

const flag = <K extends Kind>(code: number, capability: Of<K>): CapabilityDescriptor<K> => ({
  code,
  decode: (value) => (value.length === 0 ? capability : undefined),
  encode: () => empty,
});

const descriptors: { readonly [K in Kind]: CapabilityDescriptor<K> } = {
  multiprotocol: {
    code: 1,
    decode: (value) => (value.length === 4 ? { kind: 'multiprotocol', ...familyAt(value, 0, 3) } : undefined),
    encode: ({ afi, safi }) => concat([uint16(afi), Uint8Array.of(0, safi)]),
  },
  'route-refresh': flag(2, { kind: 'route-refresh' }),
  'extended-next-hop': {
    code: 5,
    decode: (value) => {
      const families = items(value, 0, 6, (at) => ({
        ...familyAt(value, at, at + 3),
        nextHopAfi: readUint16(value, at + 4),
      }));
      return families && { kind: 'extended-next-hop', families };
    },
    encode: ({ families }) =>
      concat(families.map(({ afi, safi, nextHopAfi }) => concat([uint16(afi), uint16(safi), uint16(nextHopAfi)]))),
  },
  'extended-message': flag(6, { kind: 'extended-message' }),
  'graceful-restart': {
    code: 64,
    decode: (value) => {
      const families = items(value, 2, 4, (at) => ({
        ...familyAt(value, at),
        forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0,
      }));
      if (!families) return undefined;
      const head = readUint16(value, 0);
      return {
        kind: 'graceful-restart',
        restarting: (head & 0x8000) !== 0,
        notification: (head & 0x4000) !== 0,
        restartTimeSec: head & 0xfff,
        families,
      };
    },
    encode: ({ restarting, notification, restartTimeSec, families }) =>
      concat([
        uint16((restarting ? 0x8000 : 0) | (notification ? 0x4000 : 0) | (restartTimeSec & 0xfff)),
        ...families.map(({ afi, safi, forwarding }) =>
          concat([uint16(afi), Uint8Array.of(safi, forwarding ? 0x80 : 0)]),
        ),
      ]),
  },
  'four-octet-as': {
    code: 65,
    decode: (value) => (value.length === 4 ? { kind: 'four-octet-as', asn: readUint32(value, 0) } : undefined),
    encode: ({ asn }) => uint32(asn),
  },
  'add-path': {
    code: 69,
    decode: (value) => {
      const families = items(value, 0, 4, (at) => ({ ...familyAt(value, at), ways: value[at + 3] ?? 0 }));
      // RFC 7911 §4: any value but 1 (receive), 2 (send) and 3 (both), and the capability is not understood.
      if (!families?.every(({ ways }) => ways >= 1 && ways <= 3)) return undefined;
      const known = families.map(({ afi, safi, ways }) => {
        return { afi, safi, send: (ways & 2) !== 0, receive: (ways & 1) !== 0 };
      });
      return { kind: 'add-path', families: known };
    },
    encode: ({ families }) =>
      concat(
        families.map(({ afi, safi, send, receive }) =>
          concat([uint16(afi), Uint8Array.of(safi, (send ? 2 : 0) | (receive ? 1 : 0))]),
        ),
      ),
  },
  'enhanced-route-refresh': flag(70, { kind: 'enhanced-route-refresh' }),
  'long-lived-graceful-restart': {
    code: 71,
    decode: (value) => {
      const families = items(value, 0, 7, (at) => ({
        ...familyAt(value, at),
        forwarding: ((value[at + 3] ?? 0) & 0x80) !== 0,
        staleTimeSec: readUint32(value, at + 3) & 0xffffff,
      }));
      return families && { kind: 'long-lived-graceful-restart', families };
    },
    encode: ({ families }) =>
      concat(
        families.map(({ afi, safi, forwarding, staleTimeSec }) => {
          const item = new Uint8Array(7);
          writeUint16(item, 0, afi);
          item[2] = safi;
          item.set(uint32(staleTimeSec & 0xffffff), 3);
          item[3] = forwarding ? 0x80 : 0;
          return item;
        }),
      ),
  },
  fqdn: {
    code: 73,
    decode: (value) => {
      const hostLength = value[0] ?? 0;
      const domainLength = value[1 + hostLength] ?? 0;
      if (value.length !== 2 + hostLength + domainLength) return undefined;
      const text = (from: number, length: number): string =>
        new TextDecoder().decode(value.subarray(from, from + length));
      return { kind: 'fqdn', host: text(1, hostLength), domain: text(2 + hostLength, domainLength) };
    },
    encode: ({ host, domain }) => {
      const [hostBytes, domainBytes] = [host, domain].map((name) => new TextEncoder().encode(name).subarray(0, 64));
      if (!hostBytes || !domainBytes) return empty;
      return concat([Uint8Array.of(hostBytes.length), hostBytes, Uint8Array.of(domainBytes.length), domainBytes]);
    },
  },
};

const byCode = new Map(Object.values(descriptors).map((descriptor) => [descriptor.code, descriptor]));

/** The value of one capability, without its code and length. */
export function decodeCapability(code: number, value: Uint8Array): Capability {
  return byCode.get(code)?.decode(value) ?? { kind: 'unknown', code, data: value.slice() };
}

/** Code, length, value. */
export function encodeCapability(capability: Capability): Uint8Array {
  const { code, value } = contentOf(capability);
  return concat([Uint8Array.of(code, value.length), value]);
}

function contentOf(capability: Capability): { code: number; value: Uint8Array } {
  if (capability.kind === 'unknown') return { code: capability.code, value: capability.data };
  return encodeWith(capability.kind, capability);
}

function encodeWith<K extends Kind>(kind: K, capability: Of<K>): { code: number; value: Uint8Array } {
  const descriptor: CapabilityDescriptor<K> = descriptors[kind];
  return { code: descriptor.code, value: descriptor.encode(capability) };
}
