// One connection of a peer with what belongs to it: its number, its message reader, and whether the peer takes what we send
// (RFC 9687).

import type { Connection } from '../edges.ts';
import type { Outlet } from '../rib/update-group.ts';
import type { ConnectionId } from '../session-types.ts';
import { MessageReader } from '../wire/message-reader.ts';

let lastId = 0;

export class Line implements Outlet {
  /** Never used twice within a process. */
  readonly id: ConnectionId = ++lastId;
  readonly connection: Connection;
  readonly reader = new MessageReader();
  /** The OPENs of both sides, whole messages. */
  sentOpen: Uint8Array = new Uint8Array(0);
  receivedOpen: Uint8Array = new Uint8Array(0);
  /** Hears what is written. */
  tap: ((bytes: Uint8Array) => void) | undefined;
  #writtenBytes = 0;
  #deliveredBytes = 0;
  #isBlocked = false;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  get queuedBytes(): number {
    return this.connection.queuedBytes;
  }

  write(bytes: Uint8Array): void {
    this.#writtenBytes += bytes.length;
    this.connection.write(bytes);
    this.tap?.(bytes);
  }

  /** What the send hold timer must hear: that the queue is (still) blocked but has moved, or that it is empty again. */
  sendQueueChange(): 'moved' | 'emptied' | undefined {
    const delivered = this.#writtenBytes - this.connection.queuedBytes;
    if (this.connection.queuedBytes === 0) {
      const was = this.#isBlocked;
      this.#isBlocked = false;
      return was ? 'emptied' : undefined;
    }
    const hasMoved = !this.#isBlocked || delivered > this.#deliveredBytes;
    this.#isBlocked = true;
    this.#deliveredBytes = delivered;
    return hasMoved ? 'moved' : undefined;
  }
}
