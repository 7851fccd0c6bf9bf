// Shows when a speaker tells its peers what it heard: at the end of the turn, or, while more keeps coming and telling
// costs time, when that has rested as long as it took.

import assert from 'node:assert/strict';
import { pino } from 'pino';
import type { Connection, ConnectionHandlers, Transport } from '../../bgp/edges.ts';
import { Speaker } from '../../bgp/speaker.ts';
import { encodeMessage } from '../../bgp/wire/codec.ts';
import { MessageType } from '../../bgp/wire/message.ts';
import { attributes, prefix, update } from './rib/harness.ts';
import { peerSettings, speakerSettings } from './speakers.ts';

/** What sending one UPDATE to one peer takes in these tests. */
const SEND_MS = 4;
const OWN = 0x0a0000fe;

/** A speaker whose turns and time the test makes, with one peer that speaks and one that listens. */
class Scene {
  now = 0;
  readonly #turns: (() => void)[] = [];
  readonly speaking: Peer;
  readonly listening: Peer;

  constructor() {
    let accept: (connection: Connection) => void = () => {};
    const transport: Transport = {
      listen: (_settings, _peers, onAccept) => {
        accept = onAccept;
        return { updatePeers: () => {}, close: () => {} };
      },
      connect: () => ({ cancel: () => {} }),
    };
    const speaker = new Speaker({
      transport,
      clock: { now: () => this.now, after: () => () => {}, random: () => 0 },
      log: pino({ level: 'silent' }),
      defer: (callback) => void this.#turns.push(callback),
    });
    const peers = Array.from({ length: 50 }, (_, at) => at + 1).map((i) =>
      peerSettings(`p${i}`, 0x0a000000 + i, 65000 + i, { passive: true }),
    );
    const listen = [{ address: OWN, port: 179 }];
    speaker.configure(speakerSettings(OWN, 65000, peers, { listen }));
    this.speaking = new Peer(this, 1);
    this.listening = new Peer(this, 2);
    for (const peer of [this.speaking, this.listening]) {
      accept(peer);
      peer.open();
    }
    // Nothing of how sessions began counts.
    while (this.#turns.length > 0) this.#turns.shift()?.();
    this.now += 1000;
    this.listening.updates = 0;
  }

  /** Runs what was deferred before, and the microtasks behind it. */
  async turn(): Promise<void> {
    for (const run of this.#turns.splice(0)) run();
    await Promise.resolve();
  }
}

class Peer implements Connection {
  readonly localAddress = OWN;
  readonly remoteAddress: number;
  readonly remotePort = 179;
  readonly incoming = true;
  readonly queuedBytes = 0;
  updates = 0;
  readonly #scene: Scene;
  readonly #number: number;
  #handlers: ConnectionHandlers | undefined;

  constructor(scene: Scene, number: number) {
    this.#scene = scene;
    this.#number = number;
    this.remoteAddress = 0x0a000000 + number;
  }

  open(): void {
    const asn = 65000 + this.#number;
    const capabilities = [{ kind: 'four-octet-as', asn }] as const;
    const open = {
      kind: 'open',
      version: 4,
      asn,
      holdTimeSec: 90,
      routerId: this.remoteAddress,
      capabilities,
    } as const;
    this.#handlers?.onBytes(encodeMessage(open));
    this.#handlers?.onBytes(encodeMessage({ kind: 'keepalive' }));
  }

  announce(text: string): void {
    this.#handlers?.onBytes(encodeMessage(update({ attributes: attributes(), nlri: [{ prefix: prefix(text) }] })));
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    if (bytes[18] !== MessageType.update) return;
    this.updates++;
    this.#scene.now += SEND_MS;
  }

  end(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}
}

describe('turns of a speaker', () => {
  it('end with telling what came in them', async () => {
    const scene = new Scene();
    scene.speaking.announce('10.1.0.0/16');
    scene.speaking.announce('10.2.0.0/16');
    assert.equal(scene.listening.updates, 0);
    await scene.turn();
    assert.equal(scene.listening.updates, 1);
  });

  it('only gather while more keeps coming, for as long as telling took', async () => {
    const scene = new Scene();
    scene.speaking.announce('10.1.0.0/16');
    await scene.turn();
    scene.now += 1;
    for (const i of [2, 3]) {
      scene.speaking.announce(`10.${i}.0.0/16`);
      await scene.turn();
      assert.equal(scene.listening.updates, 1, 'rests');
    }
    scene.now += SEND_MS;
    scene.speaking.announce('10.4.0.0/16');
    await scene.turn();
    assert.equal(scene.listening.updates, 2, 'has rested');
  });

  it('tell at once when a turn brought nothing more', async () => {
    const scene = new Scene();
    scene.speaking.announce('10.1.0.0/16');
    await scene.turn();
    scene.speaking.announce('10.2.0.0/16');
    await scene.turn();
    assert.equal(scene.listening.updates, 1);
    await scene.turn();
    assert.equal(scene.listening.updates, 2);
  });
});
