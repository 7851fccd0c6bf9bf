// Messages, made up and mutated, against the decoders and the RIB, with every combination of what sessions negotiate:
//
//   - what is well formed comes back from its bytes as it was, and so does what the decoder makes of mutated bytes;
//   - each UPDATE leads to what a slow reading of RFC 7606 says (wire/obvious-judge.ts), from the decoder and from the RIB;
//   - nothing throws, and what the RIB passes on is well formed (TestPeer refuses anything else).
//
// fuzz.test.ts runs some of it, `npm run fuzz [-- <messages> [<seed>]]` ten million.

import assert from 'node:assert/strict';
import type { WireContext } from '../../bgp/wire/attributes.ts';
import { concat, readUint16, uint16 } from '../../bgp/wire/bytes.ts';
import { decodeMessage, encodeMessage, wholeMessage } from '../../bgp/wire/codec.ts';
import { Lab, OWN_AS, type TestPeer } from './rib/harness.ts';
import { judge } from './wire/obvious-judge.ts';
import { type Random, randomContext, randomFrom, randomMessage } from './wire/random-message.ts';

/** A few octets changed, cut, doubled or inserted; the header's length mostly kept true. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let out = bytes.slice();
  for (let i = random(4); i > 0; i--) {
    const at = 19 + random(Math.max(1, out.length - 19));
    const kind = random(4);
    if (kind < 2) out[at] = random(2) === 0 ? random(256) : (out[at] ?? 0) ^ (1 << random(8));
    else if (kind === 2) out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + random(4))]);
    else out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at - random(8), at), ...out.subarray(at)]);
  }
  if (random(20) > 0) {
    out[16] = out.length >> 8;
    out[17] = out.length & 255;
  }
  return out;
}

/** An attribute of a well-formed UPDATE: flags, code, value. */
type Item = { flags: number; code: number; value: Uint8Array };

/** The attributes of a well-formed UPDATE, one of them corrupted, left out, doubled or moved; all lengths around it true. */
function corruptAttribute(bytes: Uint8Array, random: Random): Uint8Array {
  const body = bytes.subarray(19);
  const from = 2 + readUint16(body, 0);
  const to = from + 2 + readUint16(body, from);
  const items = itemsOf(body.subarray(from + 2, to));
  const at = random(items.length);
  const item = items[at];
  if (item) corrupt(items, item, at, random);
  const attributes = concat(items.map(bytesOfItem));
  return wholeMessage(2, concat([body.subarray(0, from), uint16(attributes.length), attributes, body.subarray(to)]));
}

function corrupt(items: Item[], item: Item, at: number, random: Random): void {
  const octets = [...item.value];
  switch (random(8)) {
    case 0:
      item.flags ^= 0x40 << random(2);
      break;
    case 1:
      item.flags ^= 0x20;
      break;
    case 2:
      items.splice(at, 1);
      break;
    case 3:
      items.splice(random(items.length), 0, { ...item });
      break;
    case 4:
      items.splice(random(items.length), 0, ...items.splice(at, 1));
      break;
    case 5:
      octets.splice(random(octets.length + 1), 0, random(256));
      item.value = Uint8Array.from(octets);
      break;
    case 6:
      octets.splice(random(octets.length + 1), 1 + random(3));
      item.value = Uint8Array.from(octets);
      break;
    default:
      octets[random(Math.max(1, octets.length))] = random(2) === 0 ? 0 : random(256);
      item.value = Uint8Array.from(octets);
  }
}

function itemsOf(bytes: Uint8Array): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [flags = 0, code = 0, short = 0] = bytes.subarray(at, at + 3);
    const long = (flags & 0x10) !== 0;
    const start = at + (long ? 4 : 3);
    const end = start + (long ? readUint16(bytes, at + 2) : short);
    items.push({ flags: flags & 0xe0, code, value: bytes.slice(start, end) });
    at = end;
  }
  return items;
}

const bytesOfItem = ({ flags, code, value }: Item): Uint8Array =>
  concat([Uint8Array.of(flags | 0x10, code), uint16(value.length), value]);

interface FuzzPeer {
  readonly peer: TestPeer;
  readonly context: WireContext;
}

const families = ['ipv4-unicast', 'ipv6-unicast'] as const;

/** A RIB with peers of all kinds: in our AS and outside, old and new AS numbers, path identifiers in and out. */
function newLab(random: Random): { readonly lab: Lab; readonly peers: readonly FuzzPeer[] } {
  const lab = new Lab();
  const peers = [64601, OWN_AS, OWN_AS, 64602, 64603].map((asn, i) => {
    const external = asn !== OWN_AS;
    const context = { ...randomContext(random), external };
    const treatment = {
      addPath: random(2) === 0,
      maxMessageLength: random(2) === 0 ? 4096 : 65535,
      longLived: random(2) === 0,
      draining: random(8) === 0,
    };
    const extendedNextHop = random(2) === 0;
    return { peer: lab.peer({ asn, families, client: i === 1, context, treatment, extendedNextHop }), context };
  });
  return { lab, peers };
}

export interface FuzzResult {
  readonly refused: number;
  readonly treatedAsWithdraw: number;
  readonly good: number;
}

class Fuzzer {
  readonly #random: Random;
  #lab: Lab;
  #peers: readonly FuzzPeer[];
  readonly counts = { refused: 0, treatedAsWithdraw: 0, good: 0 };

  constructor(random: Random) {
    this.#random = random;
    ({ lab: this.#lab, peers: this.#peers } = newLab(random));
  }

  renew(): void {
    ({ lab: this.#lab, peers: this.#peers } = newLab(this.#random));
  }

  flush(): void {
    this.#lab.rib.flush();
    for (const { peer } of this.#peers) peer.received.length = 0;
  }

  /** What the next message is for, its bytes, and whether they are as they were made. */
  next(): { readonly target: FuzzPeer; readonly bytes: Uint8Array } {
    const target = this.#peers[this.#random(this.#peers.length)];
    assert(target);
    const message = randomMessage(this.#random, target.context);
    const bytes = encodeMessage(message, target.context);
    if (bytes.length <= 4096) this.#survives(message, bytes, { ...target.context, external: false });
    const isCorrupted = message.kind === 'update' && this.#random(2) === 0;
    return { target, bytes: (isCorrupted ? corruptAttribute : mutate)(bytes, this.#random) };
  }

  #survives(message: unknown, bytes: Uint8Array, context: WireContext): void {
    const decoded = decodeMessage(bytes, context);
    assert.equal(decoded.kind, 'message', 'what is well formed is taken');
    if (decoded.kind !== 'message') return;
    assert.deepEqual(decoded.message, message);
    assert.deepEqual(decoded.findings, []);
  }

  take({ peer, context }: FuzzPeer, bytes: Uint8Array): void {
    const result = decodeMessage(bytes, context);
    const { counts } = this;
    if (result.kind === 'refused') counts.refused++;
    else if (result.treatAsWithdraw) counts.treatedAsWithdraw++;
    else counts.good++;
    // Whatever order attributes came in, they leave in ours.
    if (result.kind === 'message' && result.findings.length === 0) {
      const ours = encodeMessage(result.message, context);
      const again = ours.length <= 4096 ? decodeMessage(ours, { ...context, external: false }) : undefined;
      if (again) assert.deepEqual(again.kind === 'message' && encodeMessage(again.message, context), ours);
    }
    const isUpdate =
      bytes[18] === 2 && bytes.length >= 23 && ((bytes[16] ?? 0) << 8) + (bytes[17] ?? 0) === bytes.length;
    if (!isUpdate) return;
    this.#agrees(bytes.subarray(19), result, context, peer);
  }

  /** Decoder, RIB and the slow reading say the same. */
  #agrees(body: Uint8Array, result: ReturnType<typeof decodeMessage>, context: WireContext, peer: TestPeer): void {
    const expected = judge(body, context);
    const decoded = result.kind === 'refused' ? 'reset' : result.treatAsWithdraw ? 'withdraw' : 'good';
    assert.equal(decoded, expected, 'decoder and RFC 7606');
    const before = peer.adjRibIn.counters.treatedAsWithdraw;
    const refused = peer.sendBytes(body);
    if (refused && result.kind === 'refused') {
      const { code, subcode } = result.notification;
      assert.deepEqual([refused.code, refused.subcode], [code, subcode]);
    }
    const withdraws = peer.adjRibIn.counters.treatedAsWithdraw > before;
    assert.equal(refused !== undefined, expected === 'reset', 'RIB and RFC 7606: reset');
    // The RIB also knows what was not negotiated.
    if (!refused && expected === 'withdraw') assert(withdraws, 'RIB and RFC 7606: treat-as-withdraw');
  }
}

/** Throws with the message in hex when anything throws. */
export function fuzz(count: number, seed: number, onProgress: (done: number) => void = () => {}): FuzzResult {
  const fuzzer = new Fuzzer(randomFrom(seed));
  for (let i = 1; i <= count; i++) {
    let bytes: Uint8Array = new Uint8Array(0);
    try {
      const next = fuzzer.next();
      bytes = next.bytes;
      fuzzer.take(next.target, bytes);
      if (i % 16 === 0) fuzzer.flush();
    } catch (error) {
      throw new Error(`message ${i} of seed ${seed}: ${Buffer.from(bytes).toString('hex')}`, { cause: error });
    }
    if (i % 2000 === 0) fuzzer.renew();
    if (i % 100_000 === 0) onProgress(i);
  }
  return fuzzer.counts;
}

if (process.argv[1]?.endsWith('fuzz.ts')) {
  const [count = '10000000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  console.log(`seed ${seed}, ${count} messages`);
  const result = fuzz(Number(count), Number(seed), (done) => console.log(`${done} messages`));
  console.log(
    `done: ${result.good} good, ${result.refused} refused, ${result.treatedAsWithdraw} treated as withdrawals, nothing thrown`,
  );
}
