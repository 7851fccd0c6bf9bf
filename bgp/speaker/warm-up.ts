// Runs a speaker through sessions that nobody sees, before the first peer connects: V8 then has compiled the hot paths when
// it counts. The first full table after a start, which is when everybody waits for it, would otherwise be read by the
// interpreter, and the first peer that goes would wait for code that nobody has run yet.
//
//   routers ── a whole table, in reads of some kilobytes: announced, dumped to a late one, withdrawn, lost
//   cluster ── many clients that come, tell of a few routes each, change them and go

import type { Ipv4 } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Clock, Connection, ConnectionHandlers, Transport } from '../edges.ts';
import { settingsFromJson } from '../file-config.ts';
import type { AddressFamily } from '../settings.ts';
import { Speaker } from '../speaker.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { concat } from '../wire/bytes.ts';
import { encodeMessage } from '../wire/codec.ts';
import { toWireFamily } from '../wire/message.ts';
import { CeaseSubcode, ErrorCode, notification } from '../wire/notification.ts';

const ROUNDS = 3;
const SETS = 120;
/** Of the prefixes of a set. Each octet that begins is another branch. */
const LENGTHS = [14, 16, 18, 19, 20, 21, 22, 23, 24, 28];
const PREFIXES_PER_SET = LENGTHS.length;
const READ_BYTES = 4096;
const OWN_AS = 65000;
/** Numbers of more than 31 bits, which V8 keeps in another form, are among what it must have seen: addresses, ASs, communities. */
const PEERS = 0xc0000200;
const FAR_AS = 4_200_000_000;
const CLUSTER_NODES = 40;
const CLUSTER_CHANGES = 30;

/** Takes some tenths of a second. */
export function warmUp(log: Logger): void {
  const silent = log.child({}, { level: 'silent' });
  const families = (['ipv6-unicast', 'ipv4-unicast'] as const).map((family) => ({
    family,
    streams: { first: streamOf(family, 0, false), second: streamOf(family, 1, false), gone: streamOf(family, 0, true) },
  }));
  // In turn, so that code is compiled for all kinds, and not for one and then anew for the other.
  for (let round = 0; round < ROUNDS; round++) {
    exerciseCluster(silent);
    for (const { family, streams } of families) {
      // Routes of clients that are reflected, then routes of eBGP peers that go to eBGP peers.
      for (const external of [false, true]) exerciseRouters(family, external, streams, silent);
    }
  }
}

interface Streams {
  readonly first: Uint8Array;
  /** The same prefixes with other paths. */
  readonly second: Uint8Array;
  readonly gone: Uint8Array;
}

function exerciseRouters(family: AddressFamily, external: boolean, streams: Streams, log: Logger): void {
  const stage = new Stage(4, family, external, log);
  const [one, two] = [stage.connect(1), stage.connect(2), stage.connect(3)];
  one.send(streams.first);
  two.send(streams.second);
  stage.connect(4);
  one.send(streams.gone);
  one.send(streams.first);
  one.send(streams.second);
  stage.sweep();
  one.leave();
  stage.end();
}

function exerciseCluster(log: Logger): void {
  const family = 'ipv4-unicast';
  const stage = new Stage(CLUSTER_NODES, family, false, log);
  const nodes = Array.from({ length: CLUSTER_NODES }, (_, i) => {
    const node = stage.connect(i + 1);
    node.send(encodeMessage(updateOf(family, blocksOf(family, i), attributesOf(i, 0), false)));
    node.send(encodeMessage(updateOf(family, [], {}, true)));
    return node;
  });
  for (const [i, node] of nodes.slice(0, CLUSTER_CHANGES).entries()) {
    const moved = blocksOf(family, i).slice(0, 1);
    node.send(encodeMessage(updateOf(family, moved, {}, true)));
    node.send(encodeMessage(updateOf(family, moved, attributesOf(i, 0), false)));
  }
  for (const node of nodes) node.leave();
  stage.end();
}

/** A speaker without sockets, whose time stands still. */
class Stage {
  readonly #speaker: Speaker;
  readonly #family: AddressFamily;
  readonly #external: boolean;
  readonly #turns: (() => void)[] = [];
  #accept: (connection: Connection) => void = () => {};

  constructor(peers: number, family: AddressFamily, external: boolean, log: Logger) {
    this.#family = family;
    this.#external = external;
    const transport: Transport = {
      listen: (_settings, _peers, onAccept) => {
        this.#accept = onAccept;
        return { updatePeers: () => {}, close: () => {} };
      },
      connect: () => ({ cancel: () => {} }),
    };
    const clock: Clock = { now: () => 0.5, after: () => () => {}, random: () => 0 };
    this.#speaker = new Speaker({ transport, clock, log, defer: (callback) => void this.#turns.push(callback) });
    const neighbors = Array.from({ length: peers }, (_, i) => ({
      address: `192.0.2.${i + 1}`,
      asn: this.#asn(i + 1),
      passive: true,
      routeReflectorClient: !external,
      families: [family],
    }));
    const listen = [{ address: '192.0.2.254', port: 179 }];
    const result = settingsFromJson(JSON.stringify({ routerId: '192.0.2.254', asn: OWN_AS, listen, neighbors }));
    if (result.kind === 'settings') this.#speaker.configure(result.settings);
  }

  #asn(number: number): number {
    return this.#external ? OWN_AS + number : OWN_AS;
  }

  /** A peer whose session is up. */
  connect(number: number): { readonly send: (stream: Uint8Array) => void; readonly leave: () => void } {
    const connection = new Ear(PEERS + number);
    this.#accept(connection);
    const send = (said: Uint8Array): void => {
      // Never a Buffer, as what the transport reads is none: to V8 they are two types.
      const stream = new Uint8Array(said.buffer, said.byteOffset, said.length);
      for (let at = 0; at < stream.length; at += READ_BYTES) {
        connection.handlers?.onBytes(stream.subarray(at, at + READ_BYTES));
        this.#run();
      }
    };
    const asn = this.#asn(number);
    send(
      encodeMessage({
        kind: 'open',
        version: 4,
        asn,
        holdTimeSec: 90,
        routerId: PEERS + number,
        capabilities: [
          { kind: 'multiprotocol', ...toWireFamily(this.#family) },
          { kind: 'route-refresh' },
          { kind: 'four-octet-as', asn },
          { kind: 'graceful-restart', restarting: false, notification: false, restartTimeSec: 0, families: [] },
        ],
      }),
    );
    send(encodeMessage({ kind: 'keepalive' }));
    const leave = (): void => {
      send(encodeMessage(notification(ErrorCode.cease, CeaseSubcode.administrativeShutdown)));
      connection.handlers?.onClose(undefined);
      this.#run();
    };
    return { send, leave };
  }

  #run(): void {
    for (let turn = this.#turns.shift(); turn; turn = this.#turns.shift()) turn();
  }

  /** What happens now and then when attribute sets have come and gone. */
  sweep(): void {
    this.#speaker.rib.sweep();
  }

  end(): void {
    void this.#speaker.close({ abandon: true });
  }
}

/** A connection on which nothing is ever seen of what was written. */
class Ear implements Connection {
  readonly localAddress: Ipv4 = PEERS + 254;
  readonly remoteAddress: Ipv4;
  readonly remotePort = 179;
  readonly incoming = true;
  readonly queuedBytes = 0;
  handlers: ConnectionHandlers | undefined;

  constructor(remoteAddress: Ipv4) {
    this.remoteAddress = remoteAddress;
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
  }

  write(): void {}
  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}
}

/** UPDATEs with attribute sets like those of the Internet, or the withdrawals of their prefixes. */
function streamOf(family: AddressFamily, variant: number, withdraws: boolean): Uint8Array {
  const messages: Uint8Array[] = [];
  for (let set = 0; set < SETS; set++) {
    messages.push(encodeMessage(updateOf(family, blocksOf(family, set), attributesOf(set, variant), withdraws)));
  }
  return concat(messages);
}

type Nlri = Extract<Parameters<typeof encodeMessage>[0], { kind: 'update' }>['nlri'];

const blocksOf = (family: AddressFamily, set: number): Nlri =>
  Array.from({ length: PREFIXES_PER_SET }, (_, i) => {
    const number = set * PREFIXES_PER_SET + i;
    const length = LENGTHS[i] ?? 24;
    return family === 'ipv4-unicast'
      ? { prefix: { address: ((set % 2 === 0 ? 0x0a000000 : 0xac000000) + (number << 12)) >>> 0, length } }
      : { prefix: { address: (0x2001n << 112n) | (BigInt(number) << 84n), length: length + 24 } };
  });

function updateOf(family: AddressFamily, nlri: Nlri, attributes: PathAttributes, withdraws: boolean) {
  const base = { kind: 'update', withdrawn: [], attributes: {}, unknownAttributes: [], nlri: [] } as const;
  if (family === 'ipv4-unicast') {
    return withdraws
      ? { ...base, withdrawn: nlri }
      : { ...base, attributes: { ...attributes, nextHop: PEERS + 1 }, nlri };
  }
  if (withdraws) return { ...base, attributes: { mpUnreach: { afi: 2, safi: 1, withdrawn: nlri } } };
  return { ...base, attributes: { ...attributes, mpReach: { afi: 2, safi: 1, nextHops: [2n], nlri } } };
}

const attributesOf = (set: number, variant: number): PathAttributes => ({
  origin: set % 3,
  asPath: [
    {
      kind: 'sequence',
      asns: [
        64601,
        ...Array.from({ length: 2 + ((set + variant) % 4) }, (_, i) => (i % 2 === 0 ? 100 : FAR_AS) + set + i),
      ],
    },
  ],
  ...(set % 3 === 0 ? { med: set * 1_000_000 } : {}),
  ...(set % 5 < 3 ? { communities: [set, 0xfde80000 + set] } : {}),
  ...(set % 12 === 0 ? { largeCommunities: [{ global: FAR_AS + set, local1: 1, local2: 2 }] } : {}),
});
