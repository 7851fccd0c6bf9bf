// Whole sessions, with every combination of capabilities that two sides may have, and peers that say all kinds of things:
//
//   - a peer that behaves never loses its session, whatever others send;
//   - all that a peer is sent fits what was negotiated with it, and is well formed;
//   - in the end each peer holds exactly the routes that the speaker says it was sent.
//
// Time and network are simulated and seeded. fuzz.test.ts runs some of it.

import assert from 'node:assert/strict';
import type { Connection } from '../../bgp/edges.ts';
import type { PeerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import { plainContext, type WireContext } from '../../bgp/wire/attributes.ts';
import { decodeMessage, encodeMessage, wholeMessage } from '../../bgp/wire/codec.ts';
import { type Capability, MessageType, type OpenMessage } from '../../bgp/wire/message.ts';
import { MessageReader } from '../../bgp/wire/message-reader.ts';
import type { Nlri } from '../../bgp/wire/nlri.ts';
import type { UpdateMessage } from '../../bgp/wire/update.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';
import { type Random, randomFrom, randomUpdate } from './wire/random-message.ts';

const OWN_AS = 65000;
const address = (i: number): number => 0x0a000000 + i;

type Families = ReadonlyMap<number, { readonly send: boolean; readonly receive: boolean }>;

const addPathOf = (capabilities: readonly Capability[]): Families =>
  new Map(
    capabilities.flatMap((one) => {
      if (one.kind !== 'add-path') return [];
      return one.families.map(({ afi, send, receive }) => [afi, { send, receive }] as const);
    }),
  );

const has = (capabilities: readonly Capability[], kind: Capability['kind']): boolean =>
  capabilities.some((one) => one.kind === kind);

/** One end of a session that is as able as it is made, and keeps what it is sent. */
class RandomPeer {
  readonly asn: number;
  readonly capabilities: readonly Capability[];
  readonly #address: number;
  readonly #behaves: boolean;
  #connection: Connection | undefined;
  #theirs: readonly Capability[] = [];
  #isUp = false;
  table = new Map<string, UpdateMessage>();
  connections = 0;
  problem: string | undefined;

  constructor(world: World, i: number, asn: number, capabilities: readonly Capability[], behaves: boolean) {
    this.asn = asn;
    this.capabilities = capabilities;
    this.#address = address(i);
    this.#behaves = behaves;
    world.listeners.set(this.#address, (connection) => this.#accept(connection));
  }

  get isUp(): boolean {
    return this.#isUp && this.#connection !== undefined;
  }

  #common(kind: Capability['kind']): boolean {
    return has(this.capabilities, kind) && has(this.#theirs, kind);
  }

  #addsPaths(afi: number, by: readonly Capability[], to: readonly Capability[]): boolean {
    return addPathOf(by).get(afi)?.send === true && addPathOf(to).get(afi)?.receive === true;
  }

  /** How bytes read that go one way or the other. */
  #context(from: readonly Capability[], to: readonly Capability[]): WireContext {
    return {
      ...plainContext,
      fourOctetAs: this.#common('four-octet-as'),
      addPathIpv4: this.#addsPaths(1, from, to),
      addPathIpv6: this.#addsPaths(2, from, to),
    };
  }

  /** What this peer says next, good or bad. */
  speak(random: Random): void {
    if (!this.isUp) return;
    const context = this.#context(this.capabilities, this.#theirs);
    if (random(12) === 0) {
      this.#connection?.write(
        encodeMessage({ kind: 'route-refresh', afi: 1 + random(2), safi: 1, subtype: random(4) }),
      );
      return;
    }
    const update = this.#carried(plausible(randomUpdate(random, context), this.#address));
    const bytes = encodeMessage(update, context);
    if (bytes.length > 4096) return;
    if (!this.#behaves) for (let i = random(3); i > 0; i--) bytes[19 + random(bytes.length - 19)] = random(256);
    this.#connection?.write(bytes);
  }

  /** Who behaves says nothing of families that are not the session's. */
  #carried(update: UpdateMessage): UpdateMessage {
    if (!this.#behaves || this.#carries(1)) return update;
    const { nextHop: _, ...attributes } = update.attributes;
    return { ...update, withdrawn: [], nlri: [], attributes };
  }

  #accept(connection: Connection): void {
    this.#connection?.destroy();
    this.#connection = connection;
    this.#isUp = false;
    this.table = new Map();
    this.connections++;
    const reader = new MessageReader();
    const isCurrent = (): boolean => this.#connection === connection;
    connection.setHandlers({
      onBytes: (bytes) => {
        const refused = reader.feed(bytes, (type, buffer, from, to) => {
          if (isCurrent()) this.#onMessage(type, buffer.slice(from, to), reader);
          return isCurrent();
        });
        if (refused) this.problem ??= `unreadable: ${JSON.stringify(refused)}`;
      },
      onDrain: () => {},
      onClose: () => {
        if (isCurrent()) this.#connection = undefined;
      },
    });
    const { asn, capabilities } = this;
    const open: OpenMessage = { kind: 'open', version: 4, asn, holdTimeSec: 0, routerId: this.#address, capabilities };
    connection.write(encodeMessage(open));
  }

  #onMessage(type: number, body: Uint8Array, reader: MessageReader): void {
    const context = this.#context(this.#theirs, this.capabilities);
    const result = decodeMessage(wholeMessage(type, body), context, reader.extended);
    if (result.kind === 'refused' || result.findings.length > 0) {
      this.problem ??= `not well formed: ${type} ${Buffer.from(body).toString('hex')}`;
      return;
    }
    const { message } = result;
    if (message.kind === 'open') {
      this.#theirs = message.capabilities;
      reader.extended = this.#common('extended-message');
      this.#connection?.write(encodeMessage({ kind: 'keepalive' }));
    }
    if (type === MessageType.keepalive) this.#isUp = true;
    if (message.kind === 'update') this.#take(message);
    if (message.kind === 'route-refresh' && !this.#common('enhanced-route-refresh')) this.problem ??= 'an unasked mark';
  }

  #take(update: UpdateMessage): void {
    const { mpReach, mpUnreach } = update.attributes;
    for (const nlri of [...update.withdrawn, ...(mpUnreach?.withdrawn ?? [])]) this.table.delete(keyOf(nlri));
    for (const nlri of [...update.nlri, ...(mpReach?.nlri ?? [])]) this.table.set(keyOf(nlri), update);
    const wide = mpReach?.afi === 1 && typeof mpReach.nextHops[0] === 'bigint';
    if (wide && !this.#common('extended-next-hop')) this.problem ??= 'an IPv6 next hop of IPv4 routes';
    if (mpReach && !this.#carries(mpReach.afi)) this.problem ??= `routes of AFI ${mpReach.afi}`;
    if (update.nlri.length > 0 && !this.#carries(1)) this.problem ??= 'IPv4 routes';
  }

  #carries(afi: number): boolean {
    const offers = (list: readonly Capability[]): boolean =>
      has(list, 'multiprotocol') ? list.some((one) => one.kind === 'multiprotocol' && one.afi === afi) : afi === 1;
    return offers(this.capabilities) && offers(this.#theirs);
  }
}

const keyOf = ({ prefix, pathId }: Nlri): string =>
  `${formatPrefix(prefix)}${pathId === undefined ? '' : ` #${pathId}`}`;

/** Routes that can be used, of few prefixes, so that peers have them in common. */
function plausible(update: UpdateMessage, nextHop: number): UpdateMessage {
  const { mpReach, ...rest } = update.attributes;
  const small = <T extends Nlri>(list: readonly T[]): T[] =>
    list.map((one) => ({ ...one, prefix: { ...one.prefix, length: Math.min(one.prefix.length, 4) } })).map(masked);
  return {
    ...update,
    nlri: small(update.nlri),
    withdrawn: small(update.withdrawn),
    attributes: {
      ...rest,
      ...(update.nlri.length > 0 ? { nextHop } : {}),
      ...(mpReach ? { mpReach: { ...mpReach, nlri: small(mpReach.nlri) } } : {}),
    },
  };
}

function masked<T extends Nlri>(nlri: T): T {
  const { address, length } = nlri.prefix;
  const prefix =
    typeof address === 'number'
      ? { address: length === 0 ? 0 : (address & (-1 << (32 - length))) >>> 0, length }
      : { address: (address >> BigInt(128 - length)) << BigInt(128 - length), length };
  return { ...nlri, prefix };
}

function randomAbilities(random: Random, asn: number): Capability[] {
  const list: Capability[] = [];
  const may = (make: () => Capability): void => {
    if (random(2) === 0) list.push(make());
  };
  const both = [1, 2].filter(() => random(4) > 0);
  const afis = both.length === 0 ? [1] : both;
  if (afis.length > 1 || afis[0] !== 1 || random(2) === 0) {
    for (const afi of afis) list.push({ kind: 'multiprotocol', afi, safi: 1 });
  }
  if (random(3) > 0) list.push({ kind: 'four-octet-as', asn });
  may(() => ({ kind: 'route-refresh' }));
  may(() => ({ kind: 'enhanced-route-refresh' }));
  may(() => ({ kind: 'extended-message' }));
  may(() => ({ kind: 'extended-next-hop', families: [{ afi: 1, safi: 1, nextHopAfi: 2 }] }));
  may(() => {
    const families = [1, 2].map((afi) => {
      const ways = 1 + random(3);
      return { afi, safi: 1, send: (ways & 2) !== 0, receive: (ways & 1) !== 0 };
    });
    return { kind: 'add-path', families };
  });
  const forwarding = true;
  may(() => ({
    kind: 'graceful-restart',
    restarting: false,
    notification: random(2) === 0,
    restartTimeSec: 5,
    families: afis.map((afi) => ({ afi, safi: 1, forwarding })),
  }));
  may(() => ({
    kind: 'long-lived-graceful-restart',
    families: afis.map((afi) => ({ afi, safi: 1, forwarding, staleTimeSec: 10 })),
  }));
  return list;
}

function randomSettings(random: Random): Partial<PeerSettings> {
  return {
    addPathSend: random(2) === 0,
    addPathReceive: random(2) === 0,
    gracefulRestart: random(2) === 0,
    routeReflectorClient: random(2) === 0,
    ...(random(2) === 0 ? { longLivedStaleSec: 20 } : {}),
  };
}

/** One world of a speaker and its peers; throws when something is not as it has to be. */
export function fuzzSessions(seed: number): void {
  const random = randomFrom(seed);
  const world = new World(seed);
  const peers = [OWN_AS, 64601, OWN_AS, 64602, 64603].map((asn, i) => {
    return new RandomPeer(world, i + 2, asn, randomAbilities(random, asn), i < 2);
  });
  const settings = peers.map(({ asn }, i) => peerSettings(`p${i}`, address(i + 2), asn, randomSettings(random)));
  const speaker = speakerIn(world, address(1));
  speaker.configure(speakerSettings(address(1), OWN_AS, settings, { gracefulRestart: { restartTimeSec: 5 } }));
  const behaving = peers.slice(0, 2);
  assert(
    world.run(30_000, () => behaving.every(({ isUp }) => isUp)),
    'those who behave come up',
  );
  for (let round = 0; round < 60; round++) {
    for (const peer of peers) for (let i = random(4); i > 0; i--) peer.speak(random);
    world.run(world.now + random(1500));
  }
  // Long enough for every restart and stale time to be over.
  world.run(world.now + 400_000);
  for (const peer of peers) assert.equal(peer.problem, undefined);
  for (const [i, peer] of behaving.entries()) {
    const { lastError } = speaker.peers()[i] ?? {};
    assert.equal(peer.connections, 1, `a session that behaves is never lost: ${JSON.stringify(lastError)}`);
  }
  for (const [i, peer] of peers.entries()) compareTables(peer, speaker, `p${i}`);
}

function compareTables(peer: RandomPeer, speaker: Speaker, name: string): void {
  if (!peer.isUp) return;
  const sent = speaker.routes({ view: 'advertised', peer: name }).routes;
  const held = [...peer.table.keys()].map((key) => key.split(' ')[0]);
  assert.deepEqual(held.sort(), sent.map(({ prefix }) => prefix).sort(), `${name} holds what it was sent`);
  const bySent = new Map(sent.map((route) => [route.prefix, route.attributes.origin]));
  const origins = ['igp', 'egp', 'incomplete'] as const;
  for (const [key, { attributes }] of peer.table) {
    if (!key.includes('#')) assert.equal(origins[attributes.origin ?? 2], bySent.get(key), `${name} ${key}`);
  }
}

if (process.argv[1]?.endsWith('fuzz-sessions.ts')) {
  const [count = '1000', first = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  console.log(`${count} worlds, the first of seed ${first}`);
  for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
    try {
      fuzzSessions(seed);
    } catch (error) {
      throw new Error(`world of seed ${seed}`, { cause: error });
    }
  }
  console.log('done: nothing thrown, no session lost that behaved, all tables equal');
}
