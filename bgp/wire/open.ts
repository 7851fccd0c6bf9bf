// OPEN: RFC 4271 §4.2 and §6.2, capabilities in optional parameters (RFC 5492), extended optional parameters length
// (RFC 9072). Structure is judged here; whether AS, identifier and hold time are acceptable is the state machine's.

import { concat, readUint16, readUint32, uint16, uint32 } from './bytes.ts';
import { decodeCapability, encodeCapability } from './capability.ts';
import { AS_TRANS, type Capability, type NotificationMessage, type OpenMessage } from './message.ts';
import { ErrorCode, notification, OpenSubcode } from './notification.ts';

const CAPABILITIES_PARAMETER = 2;
/** RFC 9072: as type of the first parameter, announces 2-octet lengths. */
const EXTENDED = 255;
const FIXED_LENGTH = 10;
const VERSION = 4;

export type OpenResult =
  | { readonly kind: 'open'; readonly open: OpenMessage }
  | { readonly kind: 'refused'; readonly notification: NotificationMessage };

type Refused = Extract<OpenResult, { kind: 'refused' }>;

const refused = (subcode: number, data?: Uint8Array): Refused => ({
  kind: 'refused',
  notification: notification(ErrorCode.openMessage, subcode, data),
});

/** Decodes the body of an OPEN (after the header). */
export function decodeOpen(body: Uint8Array): OpenResult {
  if (body.length < FIXED_LENGTH) return refused(OpenSubcode.unspecific);
  const version = body[0] ?? 0;
  // RFC 4271 §6.2: the data is the largest version that we speak.
  if (version !== VERSION) return refused(OpenSubcode.unsupportedVersion, uint16(VERSION));
  const parameters = decodeParameters(body);
  if (parameters.kind === 'refused') return parameters;
  const { capabilities } = parameters;
  const asn4 = capabilities.find((capability) => capability.kind === 'four-octet-as')?.asn;
  return {
    kind: 'open',
    open: {
      kind: 'open',
      version,
      asn: asn4 ?? readUint16(body, 1),
      holdTimeSec: readUint16(body, 3),
      routerId: readUint32(body, 5),
      capabilities,
    },
  };
}

type Parameters = { readonly kind: 'parameters'; readonly capabilities: Capability[] };

function decodeParameters(body: Uint8Array): Parameters | Refused {
  const malformed = refused(OpenSubcode.unspecific);
  // RFC 9072 §3: the type tells; the length octet before it should be 255 and may be any but 0.
  const extended = body[9] !== 0 && body[10] === EXTENDED;
  const lengthSize = extended ? 2 : 1;
  let at = extended ? 13 : FIXED_LENGTH;
  const total = extended ? readUint16(body, 11) : (body[9] ?? 0);
  if (at + total !== body.length) return malformed;
  const capabilities: Capability[] = [];
  while (at < body.length) {
    if (at + 1 + lengthSize > body.length) return malformed;
    const type = body[at] ?? 0;
    const length = extended ? readUint16(body, at + 1) : (body[at + 1] ?? 0);
    at += 1 + lengthSize;
    if (at + length > body.length) return malformed;
    if (type !== CAPABILITIES_PARAMETER) return refused(OpenSubcode.unsupportedOptionalParameter);
    if (!decodeCapabilities(body.subarray(at, at + length), capabilities)) return malformed;
    at += length;
  }
  return { kind: 'parameters', capabilities };
}

function decodeCapabilities(parameter: Uint8Array, into: Capability[]): boolean {
  for (let at = 0; at < parameter.length; ) {
    if (at + 2 > parameter.length) return false;
    const end = at + 2 + (parameter[at + 1] ?? 0);
    if (end > parameter.length) return false;
    into.push(decodeCapability(parameter[at] ?? 0, parameter.subarray(at + 2, end)));
    at = end;
  }
  return true;
}

/** The body of an OPEN. All capabilities go into one parameter; RFC 9072 form only when they need it. */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const fixed = concat([
    Uint8Array.of(open.version),
    uint16(open.asn > 0xffff ? AS_TRANS : open.asn),
    uint16(open.holdTimeSec),
    uint32(open.routerId),
  ]);
  const capabilities = concat(open.capabilities.map(encodeCapability));
  const { length } = capabilities;
  if (length === 0) return concat([fixed, Uint8Array.of(0)]);
  if (length + 2 < EXTENDED) {
    return concat([fixed, Uint8Array.of(length + 2, CAPABILITIES_PARAMETER, length), capabilities]);
  }
  const head = [Uint8Array.of(EXTENDED, EXTENDED), uint16(length + 3), Uint8Array.of(CAPABILITIES_PARAMETER)];
  return concat([fixed, ...head, uint16(length), capabilities]);
}
