// What the state machine makes of a NOTIFICATION: which ones mean that trying again is in vain for now, and how one is sent that
// is to end the peer's patience (RFC 8538).

import type { DownReason } from './session-types.ts';
import type { NotificationMessage } from './wire/message.ts';
import { CeaseSubcode, ErrorCode, notification, OpenSubcode } from './wire/notification.ts';

/**
 * Trying again at once would most likely end in the same way. All else – a lost connection, an expired hold timer, an
 * administrator at the other end – leads to Active, where the peer is welcome when it comes back.
 */
export function isProtocolError(reason: DownReason): boolean {
  if (reason.kind !== 'notification-sent' && reason.kind !== 'notification-received') return false;
  return reason.notification.code !== ErrorCode.cease && reason.notification.code !== ErrorCode.holdTimerExpired;
}

export const isBadPeerAs = (reason: DownReason): boolean =>
  reason.kind === 'notification-received' &&
  reason.notification.code === ErrorCode.openMessage &&
  reason.notification.subcode === OpenSubcode.badPeerAs;

export const isCollision = ({ code, subcode }: NotificationMessage): boolean =>
  code === ErrorCode.cease && subcode === CeaseSubcode.connectionCollision;

/** RFC 8538 §3.1: the real reason rides inside. */
export const hardReset = ({ code, subcode, data }: NotificationMessage): NotificationMessage =>
  notification(ErrorCode.cease, CeaseSubcode.hardReset, Uint8Array.of(code, subcode, ...data));
