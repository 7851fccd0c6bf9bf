// A peer on the simulated network that waits to be called, opens with the capabilities that it is given, and then says only
// what it is told to: for what no well-behaved speaker does.

import type { Connection } from '../../bgp/edges.ts';
import { plainContext } from '../../bgp/wire/attributes.ts';
import { decodeMessage, encodeMessage, wholeMessage } from '../../bgp/wire/codec.ts';
import { type Capability, type Message, MessageType } from '../../bgp/wire/message.ts';
import { MessageReader } from '../../bgp/wire/message-reader.ts';
import type { World } from './speakers.ts';

export interface ScriptedPeerOptions {
  readonly address: number;
  readonly asn: number;
  readonly capabilities: readonly Capability[];
  readonly holdTimeSec?: number;
}

export class ScriptedPeer {
  readonly received: Message[] = [];
  readonly #options: ScriptedPeerOptions;
  #connection: Connection | undefined;
  connections = 0;

  constructor(world: World, options: ScriptedPeerOptions) {
    this.#options = options;
    world.listeners.set(options.address, (connection) => this.#accept(connection));
  }

  send(message: Parameters<typeof encodeMessage>[0]): void {
    this.sendBytes(encodeMessage(message));
  }

  /** Whole messages, as wrong as they may be. */
  sendBytes(bytes: Uint8Array): void {
    this.#connection?.write(bytes);
  }

  #accept(connection: Connection): void {
    this.connections++;
    this.#connection = connection;
    const reader = new MessageReader();
    connection.setHandlers({
      onBytes: (bytes) =>
        void reader.feed(bytes, (type, buffer, from, to) => {
          this.#onMessage(type, buffer.subarray(from, to));
          return true;
        }),
      onDrain: () => {},
      onClose: () => {
        if (this.#connection === connection) this.#connection = undefined;
      },
    });
    const { asn, address, capabilities, holdTimeSec = 0 } = this.#options;
    this.send({ kind: 'open', version: 4, asn, holdTimeSec, routerId: address, capabilities });
  }

  #onMessage(type: number, body: Uint8Array): void {
    const result = decodeMessage(wholeMessage(type, body), plainContext, true);
    if (result.kind === 'message') this.received.push(result.message);
    if (type === MessageType.open) this.send({ kind: 'keepalive' });
  }
}
