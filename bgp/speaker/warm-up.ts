// Runs the hot paths of the RIB once through, on routes that nobody sees, before the first peer connects: V8 then has
// compiled them when it counts. The first full table after a start, which is when everybody waits for it, would otherwise
// be read by the interpreter.

import { acceptEverything } from '../rib/policy.ts';
import { ownNextHopBytes, Rib } from '../rib/rib.ts';
import type { Treatment } from '../rib/treatment.ts';
import type { AddressFamily } from '../settings.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { concat } from '../wire/bytes.ts';
import { encodeMessage } from '../wire/codec.ts';
import { MessageType } from '../wire/message.ts';
import { MessageReader } from '../wire/message-reader.ts';

const ROUNDS = 3;
const SETS = 120;
const PREFIXES_PER_SET = 10;
const READ_BYTES = 4096;
const OWN_AS = 65000;

/** Takes a tenth of a second or two, depending on the machine. */
export function warmUp(): void {
  for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
    const announced = [0, 1].map((variant) => streamOf(family, variant, false));
    const withdrawn = streamOf(family, 0, true);
    // Routes of eBGP peers that go to eBGP peers, then routes of clients that are reflected.
    for (const external of [true, false]) {
      for (let round = 0; round < ROUNDS; round++) exercise(family, external, announced, withdrawn);
    }
  }
}

function exercise(
  family: AddressFamily,
  external: boolean,
  announced: readonly Uint8Array[],
  withdrawn: Uint8Array,
): void {
  const rib = new Rib({ routerId: 1, clusterId: 1 }, OWN_AS);
  const peers = [1, 2, 3].map((number) => addPeer(rib, family, external, number));
  for (const [i, stream] of announced.entries()) peers[i]?.read(stream);
  const late = addPeer(rib, family, external, 4);
  peers[0]?.read(withdrawn);
  for (const stream of announced) peers[0]?.read(stream);
  for (const { source } of [...peers, late]) rib.drop(source);
  rib.flush();
}

function addPeer(rib: Rib, family: AddressFamily, external: boolean, number: number) {
  const asn = external ? OWN_AS + number : OWN_AS;
  const about = {
    name: 'warm-up',
    local: false,
    external,
    client: !external,
    asn,
    routerId: number + 1,
    address: number,
    fourOctetAs: true,
    localAsn: OWN_AS,
    allowedOwnAsns: 0,
  };
  const source = rib.sources.add(about);
  const adjRibIn = rib.open(source, about, {
    context: { fourOctetAs: true, external, addPathIpv4: false, addPathIpv6: false },
    families: [family],
    extendedNextHop: false,
    importFilter: acceptEverything,
    onEndOfRib: () => {},
  });
  const treatment: Treatment = {
    family,
    external,
    client: !external,
    localAsn: OWN_AS,
    clusterId: 1,
    nextHop: 'auto',
    ownNextHop: ownNextHopBytes([family === 'ipv4-unicast' ? 1 : 1n]),
    extendedNextHop: false,
    fourOctetAs: true,
    addPath: false,
    maxMessageLength: 4096,
    longLived: false,
    draining: false,
    filter: acceptEverything,
    filterKey: '',
  };
  rib.join(source, { queuedBytes: 0, write: () => {} }, treatment, (writer) => writer.endOfRib(family));
  const reader = new MessageReader();
  const read = (stream: Uint8Array): void => {
    for (let at = 0; at < stream.length; at += READ_BYTES) {
      reader.feed(stream.subarray(at, at + READ_BYTES), (type, bytes, from, to) => {
        if (type === MessageType.update) adjRibIn.receive(bytes, from, to);
        return true;
      });
      rib.flush();
    }
  };
  return { source, read };
}

/** UPDATEs with attribute sets like those of the Internet, or the withdrawals of their prefixes. */
function streamOf(family: AddressFamily, variant: number, withdraws: boolean): Uint8Array {
  const messages: Uint8Array[] = [];
  for (let set = 0; set < SETS; set++) {
    const nlri = Array.from({ length: PREFIXES_PER_SET }, (_, i) => {
      const number = set * PREFIXES_PER_SET + i;
      const length = 20 + (i % 5);
      return family === 'ipv4-unicast'
        ? { prefix: { address: (0x0a000000 + (number << 12)) >>> 0, length } }
        : { prefix: { address: (0x2001n << 112n) | (BigInt(number) << 84n), length: length + 24 } };
    });
    messages.push(encodeMessage(updateOf(family, nlri, attributesOf(set, variant), withdraws)));
  }
  return concat(messages);
}

type Nlri = Extract<Parameters<typeof encodeMessage>[0], { kind: 'update' }>['nlri'];

function updateOf(family: AddressFamily, nlri: Nlri, attributes: PathAttributes, withdraws: boolean) {
  const base = { kind: 'update', withdrawn: [], attributes: {}, unknownAttributes: [], nlri: [] } as const;
  if (family === 'ipv4-unicast') {
    return withdraws
      ? { ...base, withdrawn: nlri }
      : { ...base, attributes: { ...attributes, nextHop: 0x0a000001 }, nlri };
  }
  if (withdraws) return { ...base, attributes: { mpUnreach: { afi: 2, safi: 1, withdrawn: nlri } } };
  return { ...base, attributes: { ...attributes, mpReach: { afi: 2, safi: 1, nextHops: [2n], nlri } } };
}

const attributesOf = (set: number, variant: number): PathAttributes => ({
  origin: set % 3,
  asPath: [
    { kind: 'sequence', asns: [64601, ...Array.from({ length: 2 + ((set + variant) % 4) }, (_, i) => 100 + set + i)] },
  ],
  ...(set % 3 === 0 ? { med: set } : {}),
  ...(set % 5 < 3 ? { communities: [set, set + 1] } : {}),
  ...(set % 12 === 0 ? { largeCommunities: [{ global: set, local1: 1, local2: 2 }] } : {}),
});
