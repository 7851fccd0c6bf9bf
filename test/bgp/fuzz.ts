// Mutated messages against the decoders and the RIB: nothing throws, and what the RIB passes on is well formed (TestPeer
// refuses anything else). fuzz.test.ts runs some of it, `npm run fuzz [-- <messages> [<seed>]]` ten million.

import { decodeMessage, encodeMessage } from '../../bgp/wire/codec.ts';
import { attributes, Lab, OWN_AS, prefix, update } from './rib/harness.ts';

const seeds = [
  encodeMessage(update({ attributes: attributes(), nlri: [{ prefix: prefix('10.0.0.0/8') }] })),
  encodeMessage(
    update({
      withdrawn: [{ prefix: prefix('10.1.0.0/16') }],
      attributes: attributes({
        med: 1,
        communities: [1, 2],
        largeCommunities: [{ global: 1, local1: 2, local2: 3 }],
        extendedCommunities: [1n],
        as4Path: [{ kind: 'sequence', asns: [70000] }],
        as4Aggregator: { asn: 70000, address: 1 },
        aggregator: { asn: 65000, address: 1 },
        atomicAggregate: true,
        onlyToCustomer: 5,
        tunnelEncapsulation: Uint8Array.of(0, 1, 0, 3, 1, 1, 0),
        prefixSid: Uint8Array.of(1, 0, 1, 0),
      }),
      unknownAttributes: [{ flags: 0xc0, code: 28, data: Uint8Array.of(1) }],
      nlri: [{ prefix: prefix('10.2.0.0/16') }],
    }),
  ),
  encodeMessage(
    update({
      attributes: {
        origin: 0,
        asPath: [{ kind: 'sequence', asns: [64601, 70000] }],
        mpReach: { afi: 2, safi: 1, nextHops: [1n << 64n], nlri: [{ prefix: prefix('2001:db8::/32') }] },
        mpUnreach: { afi: 2, safi: 1, withdrawn: [{ prefix: prefix('2001:db9::/32') }] },
      },
    }),
  ),
  encodeMessage({
    kind: 'open',
    version: 4,
    asn: 70000,
    holdTimeSec: 90,
    routerId: 1,
    capabilities: [
      { kind: 'multiprotocol', afi: 1, safi: 1 },
      { kind: 'four-octet-as', asn: 70000 },
      {
        kind: 'graceful-restart',
        restarting: false,
        notification: true,
        restartTimeSec: 1,
        families: [{ afi: 1, safi: 1, forwarding: true }],
      },
      { kind: 'add-path', families: [{ afi: 1, safi: 1, send: true, receive: true }] },
      { kind: 'fqdn', host: 'a', domain: 'b' },
    ],
  }),
  encodeMessage({ kind: 'route-refresh', afi: 1, safi: 1, subtype: 0 }),
  encodeMessage({ kind: 'notification', code: 6, subcode: 2, data: Uint8Array.of(2, 65, 66) }),
];

type Random = (below: number) => number;

function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}

/** A few octets changed, cut, doubled or inserted; the header's length mostly kept true. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let out = bytes.slice();
  for (let i = 1 + random(4); i > 0; i--) {
    const at = 19 + random(Math.max(1, out.length - 19));
    const kind = random(4);
    if (kind < 2) out[at] = random(2) === 0 ? random(256) : (out[at] ?? 0) ^ (1 << random(8));
    else if (kind === 2) out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + random(4))]);
    else out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at - random(8), at), ...out.subarray(at)]);
  }
  if (out.length < 19) return bytes;
  if (random(20) > 0) {
    out[16] = out.length >> 8;
    out[17] = out.length & 255;
  }
  return out;
}

const families = ['ipv4-unicast', 'ipv6-unicast'] as const;

function newLab() {
  const lab = new Lab();
  const peers = [64601, OWN_AS, 64602].map((asn) => lab.peer({ asn, families, client: asn === OWN_AS }));
  return { lab, peers };
}

export interface FuzzResult {
  readonly refused: number;
  readonly treatedAsWithdraw: number;
}

/** Throws with the message in hex when anything throws. */
export function fuzz(count: number, seed: number, onProgress: (done: number) => void = () => {}): FuzzResult {
  const random = randomFrom(seed);
  let { lab, peers } = newLab();
  let refused = 0;
  let treatedAsWithdraw = 0;
  for (let i = 1; i <= count; i++) {
    const bytes = mutate(seeds[random(seeds.length)] ?? new Uint8Array(19), random);
    try {
      const result = decodeMessage(bytes);
      if (result.kind === 'refused') refused++;
      else if (result.message.kind === 'update') peers[random(2)]?.sendBytes(bytes.subarray(19));
      if (result.kind === 'message' && result.treatAsWithdraw) treatedAsWithdraw++;
      if (i % 16 === 0) lab.rib.flush();
    } catch (error) {
      throw new Error(`message ${i} of seed ${seed}: ${Buffer.from(bytes).toString('hex')}`, { cause: error });
    }
    if (i % 100_000 === 0) ({ lab, peers } = newLab());
    if (i % 1_000_000 === 0) onProgress(i);
  }
  return { refused, treatedAsWithdraw };
}

if (process.argv[1]?.endsWith('fuzz.ts')) {
  const [count = '10000000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  console.log(`seed ${seed}, ${count} messages`);
  const result = fuzz(Number(count), Number(seed), (done) => console.log(`${done} messages`));
  console.log(`done: ${result.refused} refused, ${result.treatedAsWithdraw} treated as withdrawals, nothing thrown`);
}
