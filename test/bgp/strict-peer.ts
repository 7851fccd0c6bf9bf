// The other end of a session as most speakers are, for collisions: by RFC 4271 §6.8's default a connection in Established
// wins over a new one without any comparison, and the loser is closed at once. It knows no timers and no errors.

import type { ConnectionId, SessionEffect, SessionEvent } from '../../bgp/session-types.ts';
import type { OpenMessage } from '../../bgp/wire/message.ts';

interface Connection {
  readonly incoming: boolean;
  readonly phase: 'OpenSent' | 'OpenConfirm' | 'Established';
}

export class StrictPeer {
  readonly #open: OpenMessage;
  /** Its BGP identifier is the higher one. */
  readonly #isHigher: boolean;
  readonly #connections = new Map<ConnectionId, Connection>();

  constructor(open: OpenMessage, isHigher: boolean) {
    this.#open = open;
    this.#isHigher = isHigher;
  }

  get links(): readonly ConnectionId[] {
    return [...this.#connections.keys()];
  }

  get state(): string {
    return [...this.#connections.values()].find(({ phase }) => phase === 'Established')?.phase ?? 'none';
  }

  send(event: SessionEvent): readonly SessionEffect[] {
    if (!('connection' in event)) return [];
    const { connection: id } = event;
    if (event.kind === 'connected') {
      this.#connections.set(id, { incoming: event.incoming, phase: 'OpenSent' });
      return [{ kind: 'send', connection: id, message: this.#open }];
    }
    const connection = this.#connections.get(id);
    if (!connection) return [];
    if (event.kind === 'open') return this.#onOpen(id, connection);
    if (event.kind === 'keepalive') this.#connections.set(id, { ...connection, phase: 'Established' });
    if (event.kind === 'closed' || event.kind === 'notification') this.#connections.delete(id);
    return [];
  }

  #onOpen(id: ConnectionId, connection: Connection): readonly SessionEffect[] {
    for (const [otherId, { phase }] of this.#connections) {
      if (otherId === id || phase === 'OpenSent') continue;
      if (phase === 'Established' || connection.incoming === this.#isHigher) return this.#close(id);
      return [...this.#close(otherId), ...this.#confirm(id, connection)];
    }
    return this.#confirm(id, connection);
  }

  #confirm(id: ConnectionId, { incoming }: Connection): readonly SessionEffect[] {
    this.#connections.set(id, { incoming, phase: 'OpenConfirm' });
    return [{ kind: 'send', connection: id, message: { kind: 'keepalive' } }];
  }

  #close(id: ConnectionId): readonly SessionEffect[] {
    this.#connections.delete(id);
    return [
      { kind: 'send', connection: id, message: { kind: 'notification', code: 6, subcode: 7, data: new Uint8Array() } },
      { kind: 'close', connection: id },
    ];
  }
}
