// A peer's connections: one at most times, several for a moment when both ends call (RFC 4271 §6.8), and the call under way.

import type { Connection, Transport } from '../edges.ts';
import type { ConnectionId } from '../session-types.ts';
import type { PeerSettings } from '../settings.ts';
import { Line } from './line.ts';

export interface LineHandlers {
  readonly onBytes: (line: Line, bytes: Uint8Array) => void;
  readonly onDrain: (line: Line) => void;
  /** Not for those that we close. */
  readonly onClose: (line: Line, error: string | undefined) => void;
  /** A call of ours has ended. */
  readonly onCalled: (result: { readonly line: Line } | { readonly error: string }) => void;
}

export class Lines {
  readonly #handlers: LineHandlers;
  readonly #lines = new Map<ConnectionId, Line>();
  #call: { cancel(): void } | undefined;

  constructor(handlers: LineHandlers) {
    this.#handlers = handlers;
  }

  get size(): number {
    return this.#lines.size;
  }

  get(id: ConnectionId): Line | undefined {
    return this.#lines.get(id);
  }

  call(transport: Transport, peer: PeerSettings): void {
    this.#call = transport.connect(peer, (result) => {
      this.#call = undefined;
      this.#handlers.onCalled('error' in result ? result : { line: this.adopt(result.connection) });
    });
  }

  cancelCall(): void {
    this.#call?.cancel();
    this.#call = undefined;
  }

  adopt(connection: Connection): Line {
    const line = new Line(connection);
    this.#lines.set(line.id, line);
    const { onBytes, onDrain, onClose } = this.#handlers;
    connection.setHandlers({
      onBytes: (bytes) => onBytes(line, bytes),
      onDrain: () => onDrain(line),
      onClose: (error) => {
        if (this.#lines.delete(line.id)) onClose(line, error);
      },
    });
    return line;
  }

  close(id: ConnectionId, abort: boolean): void {
    const line = this.#lines.get(id);
    if (!line) return;
    this.#lines.delete(id);
    if (abort) line.connection.destroy();
    else line.connection.end();
  }
}
