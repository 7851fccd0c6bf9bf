// One peer's session: the state machine with its TCP connections and its timer. What comes out are UPDATEs and the
// beginning and end of the session; bytes for the peer go in.
//
//     transport ──bytes──► MessageReader ─┬─ UPDATE ───────────────────────────► handlers.onUpdate
//                                         └─ OPEN, KEEPALIVE, NOTIFICATION ──► step() ──effects──► transport, handlers

import type { Clock, Connection, Millis, Transport } from './edges.ts';
import { createSession, establishedLink, nextDeadline, type Session, step } from './fsm.ts';
import { MessageReader } from './message-reader.ts';
import type {
  ConnectionId,
  DownReason,
  Negotiated,
  SessionConfig,
  SessionEffect,
  SessionEvent,
  SessionState,
} from './session-types.ts';
import { decodeMessage, encodeMessage } from './wire/codec.ts';
import { MessageType, type NotificationMessage, type RouteRefreshMessage } from './wire/message.ts';

export interface PeerSessionHandlers {
  readonly onState: (from: SessionState, to: SessionState, reason: DownReason | undefined) => void;
  readonly onEstablished: (negotiated: Negotiated, connection: Connection) => void;
  /** A whole UPDATE, header included, at bytes[from..to), valid during the call. A NOTIFICATION to answer ends the session. */
  readonly onUpdate: (bytes: Uint8Array, from: number, to: number) => NotificationMessage | undefined;
  readonly onRouteRefresh: (message: RouteRefreshMessage) => void;
  /** After the UPDATEs of one read: time to flush what follows from them. */
  readonly onReadEnd: () => void;
  /** Everything that was queued has left, after it had been much. */
  readonly onDrain: () => void;
  readonly onDown: (reason: DownReason, keepRoutes: boolean) => void;
}

export interface MessageCounters {
  messagesIn: number;
  messagesOut: number;
  updatesIn: number;
  notificationsIn: number;
  notificationsOut: number;
}

interface Line {
  readonly id: ConnectionId;
  readonly connection: Connection;
  readonly reader: MessageReader;
  /** Bytes handed to the connection since it was made. */
  writtenBytes: number;
  /** Of those, delivered when the send queue was last looked at. */
  deliveredBytes: number;
  blocked: boolean;
}

const keepaliveBytes = encodeMessage({ kind: 'keepalive' });

/** Never used twice in a process. */
let lastConnectionId = 0;

export class PeerSession {
  readonly counters: MessageCounters = {
    messagesIn: 0,
    messagesOut: 0,
    updatesIn: 0,
    notificationsIn: 0,
    notificationsOut: 0,
  };
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #handlers: PeerSessionHandlers;
  readonly #lines = new Map<ConnectionId, Line>();
  readonly #events: SessionEvent[] = [];
  #session: Session;
  #running = false;
  #dial: { cancel(): void } | undefined;
  #timer: { readonly at: Millis; readonly disarm: () => void } | undefined;
  /** The established connection. */
  #line: Line | undefined;

  constructor(
    config: SessionConfig,
    edges: { readonly transport: Transport; readonly clock: Clock },
    handlers: PeerSessionHandlers,
  ) {
    this.#transport = edges.transport;
    this.#clock = edges.clock;
    this.#handlers = handlers;
    this.#session = createSession(config, edges.clock.now());
  }

  get session(): Session {
    return this.#session;
  }

  get negotiated(): Negotiated | undefined {
    return establishedLink(this.#session)?.negotiated;
  }

  get connection(): Connection | undefined {
    return this.#line?.connection;
  }

  /** Bytes for the peer that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.#line?.connection.queuedBytes ?? 0;
  }

  start(): void {
    this.#send({ kind: 'start' });
  }

  /** Cease with the subcode; up again by itself after `restartAfterMs`, when given. */
  stop(subcode: number, options: { readonly text?: string; readonly restartAfterMs?: Millis } = {}): void {
    this.#send({ kind: 'stop', subcode, ...options });
  }

  /** Closes without a word, so that the peer keeps our routes: we will be back. */
  abandon(): void {
    this.#send({ kind: 'abandon' });
  }

  /** For the next OPEN. */
  configure(config: SessionConfig): void {
    this.#send({ kind: 'configure', config });
  }

  /** The peer has connected to us. */
  accept(connection: Connection): void {
    this.#send({ kind: 'connected', connection: this.#addLine(connection), incoming: true });
  }

  /** Whole messages for the established session; the array is taken over. Without a session it goes nowhere. */
  write(bytes: Uint8Array, messages = 1): void {
    if (!this.#line) return;
    this.counters.messagesOut += messages;
    this.#line.writtenBytes += bytes.length;
    this.#line.connection.write(bytes);
  }

  #addLine(connection: Connection): ConnectionId {
    const id = ++lastConnectionId;
    const line: Line = {
      id,
      connection,
      reader: new MessageReader(),
      writtenBytes: 0,
      deliveredBytes: 0,
      blocked: false,
    };
    this.#lines.set(id, line);
    connection.setHandlers({
      onBytes: (bytes) => this.#onBytes(line, bytes),
      onDrain: () => {
        if (this.#line === line) this.#handlers.onDrain();
      },
      onClose: (error) => {
        if (this.#lines.delete(id)) this.#send({ kind: 'closed', connection: id, error });
      },
    });
    return id;
  }

  #onBytes(line: Line, bytes: Uint8Array): void {
    let heard = false;
    const refusal = line.reader.read(bytes, (chunk, from, to) => {
      this.counters.messagesIn++;
      if (chunk[from + 18] === MessageType.update && this.#line === line) {
        heard = true;
        return this.#onUpdate(line, chunk, from, to);
      }
      this.#onMessage(line, chunk.subarray(from, to));
      return this.#lines.has(line.id);
    });
    if (heard && this.#lines.has(line.id)) this.#send({ kind: 'heard', connection: line.id });
    if (refusal && this.#lines.has(line.id)) {
      this.#send({ kind: 'refused', connection: line.id, notification: refusal, problem: 'a bad message header' });
    }
    if (heard) this.#handlers.onReadEnd();
  }

  #onUpdate(line: Line, chunk: Uint8Array, from: number, to: number): boolean {
    this.counters.updatesIn++;
    const refusal = this.#handlers.onUpdate(chunk, from, to);
    if (refusal) this.#send({ kind: 'refused', connection: line.id, notification: refusal });
    return this.#line === line;
  }

  #onMessage(line: Line, bytes: Uint8Array): void {
    const connection = line.id;
    const result = decodeMessage(bytes, undefined, line.reader.extended);
    if (result.kind === 'refused') {
      this.#send({ kind: 'refused', connection, notification: result.notification });
      return;
    }
    const { message } = result;
    switch (message.kind) {
      case 'open':
        this.#send({ kind: 'open', connection, open: message });
        break;
      case 'keepalive':
        this.#send({ kind: 'keepalive', connection });
        break;
      case 'notification':
        this.counters.notificationsIn++;
        this.#send({ kind: 'notification', connection, notification: message });
        break;
      case 'update':
        // Before the session is established.
        this.#send({ kind: 'heard', connection });
        break;
      case 'route-refresh':
        this.#send({ kind: 'heard', connection });
        if (this.#line === line) this.#handlers.onRouteRefresh(message);
        break;
    }
  }

  /** Events that arise while effects are carried out wait their turn. */
  #send(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const { session, effects } = step(this.#session, next, this.#clock.now(), this.#clock.random());
        this.#session = session;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#running = false;
    }
    this.#arm();
  }

  #carryOut(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'connect':
        this.#connect();
        break;
      case 'cancel-connect':
        this.#dial?.cancel();
        this.#dial = undefined;
        break;
      case 'send':
        this.#sendMessage(effect);
        break;
      case 'close':
        this.#close(effect.connection, effect.abort ?? false);
        break;
      case 'established': {
        const line = this.#lines.get(effect.connection);
        if (!line) break;
        this.#line = line;
        line.reader.extended = effect.negotiated.extendedMessage;
        this.#handlers.onEstablished(effect.negotiated, line.connection);
        break;
      }
      case 'down':
        this.#line = undefined;
        this.#handlers.onDown(effect.reason, effect.keepRoutes);
        break;
      case 'state':
        this.#handlers.onState(effect.from, effect.to, effect.reason);
        break;
    }
  }

  #connect(): void {
    const dial = this.#transport.connect(this.#session.config.peer, (result) => {
      if (this.#dial !== dial) return;
      this.#dial = undefined;
      if ('error' in result) this.#send({ kind: 'connect-failed', error: result.error });
      else this.#send({ kind: 'connected', connection: this.#addLine(result.connection), incoming: false });
    });
    this.#dial = dial;
  }

  #sendMessage({ connection, message }: Extract<SessionEffect, { readonly kind: 'send' }>): void {
    const line = this.#lines.get(connection);
    if (!line) return;
    this.counters.messagesOut++;
    if (message.kind === 'notification') this.counters.notificationsOut++;
    // The connection owns what is written to it, so each KEEPALIVE is a copy.
    const bytes = message.kind === 'keepalive' ? keepaliveBytes.slice() : encodeMessage(message);
    line.writtenBytes += bytes.length;
    line.connection.write(bytes);
  }

  #close(id: ConnectionId, abort: boolean): void {
    const line = this.#lines.get(id);
    if (!line) return;
    this.#lines.delete(id);
    if (abort) line.connection.destroy();
    else line.connection.end();
  }

  /** One timer. A deadline that moves away is noticed when the old one is reached, so messages do not touch the timer. */
  #arm(): void {
    const at = nextDeadline(this.#session);
    if (at === undefined || (this.#timer && this.#timer.at <= at)) return;
    this.#timer?.disarm();
    const disarm = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#timer = undefined;
      if (this.#line) this.#watchQueue(this.#line);
      this.#send({ kind: 'timer' });
    });
    this.#timer = { at, disarm };
  }

  /** RFC 9687. Looked at with every KEEPALIVE that is due, which is often enough for a timer of eight minutes. */
  #watchQueue(line: Line): void {
    const delivered = line.writtenBytes - line.connection.queuedBytes;
    const blocked = line.connection.queuedBytes > 0;
    const progress = delivered > line.deliveredBytes;
    line.deliveredBytes = delivered;
    if (blocked === line.blocked && !(blocked && progress)) return;
    line.blocked = blocked;
    this.#send({ kind: 'send-queue', connection: line.id, blocked });
  }

  /** Stops the timer and forgets the connections, which must have been closed by stop() or abandon(). */
  dispose(): void {
    this.#timer?.disarm();
    this.#timer = undefined;
    this.#dial?.cancel();
    this.#dial = undefined;
  }
}
