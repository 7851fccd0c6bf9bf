// NOTIFICATION: why a session ends. RFC 4271 §4.5 and §6, RFC 4486 (Cease subcodes), RFC 9003 (shutdown text),
// RFC 7313 §5 (ROUTE-REFRESH errors), RFC 8538 (hard reset), RFC 9687 (send hold timer).

import type { NotificationMessage } from './message.ts';

export const ErrorCode = {
  messageHeader: 1,
  openMessage: 2,
  updateMessage: 3,
  holdTimerExpired: 4,
  finiteStateMachine: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimerExpired: 8,
} as const;

export const HeaderSubcode = { connectionNotSynchronized: 1, badMessageLength: 2, badMessageType: 3 } as const;

export const OpenSubcode = {
  unspecific: 0,
  unsupportedVersion: 1,
  badPeerAs: 2,
  badBgpIdentifier: 3,
  unsupportedOptionalParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
} as const;

export const UpdateSubcode = {
  malformedAttributeList: 1,
  unrecognizedWellKnownAttribute: 2,
  missingWellKnownAttribute: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetworkField: 10,
  malformedAsPath: 11,
} as const;

/** RFC 6608: in which state an unexpected message came. */
export const FsmSubcode = { openSent: 1, openConfirm: 2, established: 3 } as const;

export const CeaseSubcode = {
  maximumPrefixes: 1,
  administrativeShutdown: 2,
  peerDeconfigured: 3,
  administrativeReset: 4,
  connectionRejected: 5,
  otherConfigurationChange: 6,
  connectionCollision: 7,
  outOfResources: 8,
  /** RFC 8538. */
  hardReset: 9,
  /** RFC 9384. */
  bfdDown: 10,
} as const;

const none = new Uint8Array(0);

export function notification(code: number, subcode: number, data: Uint8Array = none): NotificationMessage {
  return { kind: 'notification', code, subcode, data };
}

/** RFC 9003 §2: a length octet and at most 255 octets of UTF-8, cut between characters. */
export function shutdownData(text: string): Uint8Array {
  const encoded = new Uint8Array(255);
  const { written } = new TextEncoder().encodeInto(text, encoded);
  const data = new Uint8Array(1 + written);
  data[0] = written;
  data.set(encoded.subarray(0, written), 1);
  return data;
}

/** Whether a Cease with this subcode may say why in words (RFC 9003 §2). */
export const carriesText = (subcode: number): boolean =>
  subcode === CeaseSubcode.administrativeShutdown || subcode === CeaseSubcode.administrativeReset;

/** The text of an administrative shutdown or reset; undefined when there is none or it is not UTF-8. */
export function shutdownText(message: NotificationMessage): string | undefined {
  const { code, subcode, data } = message;
  if (code !== ErrorCode.cease) return undefined;
  // GoBGP's hard reset is a shutdown of which only the subcode has been changed.
  if (!carriesText(subcode) && subcode !== CeaseSubcode.hardReset) return undefined;
  const length = data[0] ?? 0;
  if (length === 0 || length > data.length - 1) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(1, 1 + length));
    // RFC 9003 §4: it comes from outside and ends in logs and terminals.
    return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
  } catch {
    return undefined;
  }
}

const codeNames = new Map<number, { readonly name: string; readonly subcodes: Readonly<Record<string, number>> }>([
  [ErrorCode.messageHeader, { name: 'message header error', subcodes: HeaderSubcode }],
  [ErrorCode.openMessage, { name: 'OPEN message error', subcodes: OpenSubcode }],
  [ErrorCode.updateMessage, { name: 'UPDATE message error', subcodes: UpdateSubcode }],
  [ErrorCode.holdTimerExpired, { name: 'hold timer expired', subcodes: {} }],
  [ErrorCode.finiteStateMachine, { name: 'FSM error, unexpected message in state', subcodes: FsmSubcode }],
  [ErrorCode.cease, { name: 'Cease', subcodes: CeaseSubcode }],
  [ErrorCode.routeRefresh, { name: 'ROUTE-REFRESH message error', subcodes: { invalidMessageLength: 1 } }],
  [ErrorCode.sendHoldTimerExpired, { name: 'send hold timer expired', subcodes: {} }],
]);

/** A text's second byte, behind its length, is at least this, and no subcode is. */
const FIRST_LETTER = 0x20;

/** "Cease: administrative shutdown (6/2): maintenance". */
export function describeNotification(message: NotificationMessage): string {
  const { code, subcode } = message;
  const known = codeNames.get(code);
  const subcodeName = Object.entries(known?.subcodes ?? {}).find(([, value]) => value === subcode)?.[0];
  const words = subcodeName?.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const [innerCode = 0, innerSubcode = FIRST_LETTER] = message.data;
  // RFC 8538 §3.1: the real reason is inside, unless it is a text, as GoBGP's.
  const isHardReset = code === ErrorCode.cease && subcode === CeaseSubcode.hardReset;
  if (isHardReset && codeNames.has(innerCode) && innerSubcode < FIRST_LETTER) {
    return `hard reset: ${describeNotification(notification(innerCode, innerSubcode, message.data.subarray(2)))}`;
  }
  const text = shutdownText(message);
  const name = known?.name ?? 'unknown error';
  return `${name}${words ? `: ${words}` : ''} (${code}/${subcode})${text ? `: ${text}` : ''}`;
}
