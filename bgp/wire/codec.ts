// Whole messages: header, type, body. RFC 4271 §4.1 and §6.1. For the state machine's messages, for tests and tools; the
// speaker reads UPDATEs in place (rib/adj-rib-in.ts).

import type { Finding } from './attribute-scan.ts';
import { plainContext, type WireContext } from './attributes.ts';
import { concat, readUint16, uint16, writeUint16 } from './bytes.ts';
import {
  HEADER_LENGTH,
  MAX_EXTENDED_MESSAGE_LENGTH,
  MAX_MESSAGE_LENGTH,
  type Message,
  MessageType,
  type NotificationMessage,
  type RouteRefreshMessage,
} from './message.ts';
import { ErrorCode, HeaderSubcode, notification } from './notification.ts';
import { decodeOpen, encodeOpen } from './open.ts';
import { decodeUpdate, encodeUpdate } from './update.ts';

/** Shortest length of each type, header included; the type must be one of these (RFC 4271 §6.1). */
const minLengths = new Map<number, number>([
  [MessageType.open, 29],
  [MessageType.update, 23],
  [MessageType.notification, 21],
  [MessageType.keepalive, 19],
  [MessageType.routeRefresh, HEADER_LENGTH],
]);

const ROUTE_REFRESH_BODY = 4;

const badLength = (length: number): NotificationMessage =>
  notification(ErrorCode.messageHeader, HeaderSubcode.badMessageLength, uint16(length));

/**
 * Judges the header at `at`, of which all octets are there; undefined when it is good.
 * @param extended RFC 8654 was negotiated; OPEN and KEEPALIVE stay within 4096 octets all the same.
 */
export function checkHeader(bytes: Uint8Array, at: number, extended: boolean): NotificationMessage | undefined {
  for (let i = at; i < at + 16; i++) {
    if (bytes[i] !== 0xff) return notification(ErrorCode.messageHeader, HeaderSubcode.connectionNotSynchronized);
  }
  const length = readUint16(bytes, at + 16);
  const type = bytes[at + 18] ?? 0;
  const long = extended && type !== MessageType.open && type !== MessageType.keepalive;
  if (length < HEADER_LENGTH || length > (long ? MAX_EXTENDED_MESSAGE_LENGTH : MAX_MESSAGE_LENGTH)) {
    return badLength(length);
  }
  const minLength = minLengths.get(type);
  if (minLength === undefined) {
    return notification(ErrorCode.messageHeader, HeaderSubcode.badMessageType, Uint8Array.of(type));
  }
  if (length < minLength || (type === MessageType.keepalive && length !== HEADER_LENGTH)) return badLength(length);
  return undefined;
}

/** RFC 7313 §5: a refresh of another length than 23 is its own kind of error, with the whole message as data. */
export function checkRouteRefresh(body: Uint8Array): NotificationMessage | undefined {
  if (body.length === ROUTE_REFRESH_BODY) return undefined;
  return notification(ErrorCode.routeRefresh, 1, wholeMessage(MessageType.routeRefresh, body));
}

export type DecodeResult =
  | {
      readonly kind: 'message';
      readonly message: Message;
      readonly treatAsWithdraw: boolean;
      readonly findings: readonly Finding[];
    }
  /** RFC 4271 §6: send this and close. */
  | { readonly kind: 'refused'; readonly notification: NotificationMessage };

/** Decodes one whole message, header included. */
export function decodeMessage(bytes: Uint8Array, context: WireContext = plainContext, extended = false): DecodeResult {
  if (bytes.length < HEADER_LENGTH) return { kind: 'refused', notification: badLength(bytes.length) };
  const refusal = checkHeader(bytes, 0, extended);
  if (refusal) return { kind: 'refused', notification: refusal };
  if (readUint16(bytes, 16) !== bytes.length) return { kind: 'refused', notification: badLength(bytes.length) };
  const body = bytes.subarray(HEADER_LENGTH);
  switch (bytes[18]) {
    case MessageType.open: {
      const result = decodeOpen(body);
      return result.kind === 'open' ? plain(result.open) : result;
    }
    case MessageType.update: {
      const result = decodeUpdate(body, context);
      if (result.kind === 'reset') return { kind: 'refused', notification: result.notification };
      const { update, treatAsWithdraw, findings } = result;
      return { kind: 'message', message: update, treatAsWithdraw, findings };
    }
    case MessageType.notification:
      return plain(decodeNotification(body));
    case MessageType.routeRefresh: {
      const refused = checkRouteRefresh(body);
      return refused ? { kind: 'refused', notification: refused } : plain(decodeRouteRefresh(body));
    }
    default:
      return plain({ kind: 'keepalive' });
  }
}

const plain = (message: Message): DecodeResult => ({
  kind: 'message',
  message,
  treatAsWithdraw: false,
  findings: [],
});

/** The body has at least two octets. */
export const decodeNotification = (body: Uint8Array): NotificationMessage =>
  notification(body[0] ?? 0, body[1] ?? 0, body.slice(2));

/** The body has four octets. */
export const decodeRouteRefresh = (body: Uint8Array): RouteRefreshMessage => ({
  kind: 'route-refresh',
  afi: readUint16(body, 0),
  subtype: body[2] ?? 0,
  safi: body[3] ?? 0,
});

export function encodeMessage(message: Message, context: WireContext = plainContext): Uint8Array {
  switch (message.kind) {
    case 'open':
      return wholeMessage(MessageType.open, encodeOpen(message));
    case 'update':
      return wholeMessage(MessageType.update, encodeUpdate(message, context));
    case 'notification':
      return wholeMessage(
        MessageType.notification,
        concat([Uint8Array.of(message.code, message.subcode), message.data.subarray(0, 4096 - 21)]),
      );
    case 'keepalive':
      return wholeMessage(MessageType.keepalive, new Uint8Array(0));
    case 'route-refresh':
      return wholeMessage(
        MessageType.routeRefresh,
        concat([uint16(message.afi), Uint8Array.of(message.subtype, message.safi)]),
      );
  }
}

/** A message of which the body is given. */
export function wholeMessage(type: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_LENGTH + body.length).fill(0xff, 0, 16);
  writeUint16(bytes, 16, bytes.length);
  bytes[18] = type;
  bytes.set(body, HEADER_LENGTH);
  return bytes;
}
