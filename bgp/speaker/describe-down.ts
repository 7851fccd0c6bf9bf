// Why a session is not up, in one line for people.

import type { DownReason } from '../session-types.ts';
import { describeNotification, ErrorCode, notification } from '../wire/notification.ts';

export function describeDown(reason: DownReason): string {
  switch (reason.kind) {
    case 'stopped':
      return `stopped here: ${describeNotification(notification(ErrorCode.cease, reason.subcode))}`;
    case 'closed':
      return reason.error === undefined ? 'the peer closed the connection' : `connection lost: ${reason.error}`;
    case 'connect-failed':
      return `connection failed: ${reason.error}`;
    case 'hold-timer-expired':
      return 'nothing heard for the hold time';
    case 'send-hold-timer-expired':
      return `the peer took nothing for ${Math.round(reason.afterMs / 1000)} s`;
    case 'notification-sent':
      return `we sent ${describeNotification(reason.notification)}${reason.problem ? `: ${reason.problem}` : ''}`;
    case 'notification-received':
      return `the peer sent ${describeNotification(reason.notification)}`;
    case 'replaced':
      return 'the peer opened a new connection';
  }
}
