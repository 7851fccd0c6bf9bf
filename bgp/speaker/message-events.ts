// What a message is to the session's state machine. UPDATEs of a session that is up do not come this way.

import type { ConnectionId, SessionEvent } from '../session-types.ts';
import { checkRouteRefresh, decodeNotification } from '../wire/codec.ts';
import { MessageType } from '../wire/message.ts';
import { decodeOpen } from '../wire/open.ts';

export function eventOfMessage(type: number, body: Uint8Array, connection: ConnectionId): SessionEvent {
  switch (type) {
    case MessageType.open: {
      const result = decodeOpen(body);
      return result.kind === 'open'
        ? { kind: 'open', connection, open: result.open }
        : { kind: 'refused', connection, notification: result.notification };
    }
    case MessageType.keepalive:
      return { kind: 'keepalive', connection };
    case MessageType.notification:
      return { kind: 'notification', connection, notification: decodeNotification(body) };
    case MessageType.routeRefresh: {
      const refused = checkRouteRefresh(body);
      return refused ? { kind: 'refused', connection, notification: refused } : { kind: 'heard', connection };
    }
    default:
      // An UPDATE before the session is up: the state machine says what is wrong with that.
      return { kind: 'heard', connection };
  }
}
