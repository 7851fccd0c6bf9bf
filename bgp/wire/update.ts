// UPDATE as a value, for tests, tools and explanations: RFC 4271 §4.3. The RIB reads and writes the same bytes without
// making objects; both judge attributes with AttributeScan.

import type { AddressFamily } from '../settings.ts';
import { AttributeScan, type Finding } from './attribute-scan.ts';
import {
  type AttributeName,
  type AttributeTable,
  attributes,
  EXTENDED_LENGTH,
  type PathAttributes,
  plainContext,
  type WireContext,
} from './attributes.ts';
import { concat, readUint16, uint16 } from './bytes.ts';
import { fromWireFamily, type NotificationMessage } from './message.ts';
import { decodeNlri, encodeNlri, isWellFormedNlri, type Nlri } from './nlri.ts';
import { ErrorCode, notification, UpdateSubcode } from './notification.ts';

export interface UpdateMessage {
  readonly kind: 'update';
  readonly withdrawn: readonly Nlri[];
  readonly attributes: PathAttributes;
  /** Optional transitive attributes that this speaker does not know. */
  readonly unknownAttributes: readonly UnknownAttribute[];
  readonly nlri: readonly Nlri[];
}

export interface UnknownAttribute {
  readonly flags: number;
  readonly code: number;
  readonly data: Uint8Array;
}

export type UpdateResult =
  /** With `treatAsWithdraw`, all prefixes of the UPDATE count as withdrawn (RFC 7606 §2). */
  | {
      readonly kind: 'update';
      readonly update: UpdateMessage;
      readonly treatAsWithdraw: boolean;
      readonly findings: readonly Finding[];
    }
  | {
      readonly kind: 'reset';
      readonly notification: NotificationMessage;
      readonly findings: readonly Finding[];
    };

/** Where the three parts of an UPDATE's body are. */
export interface UpdateLayout {
  readonly withdrawnFrom: number;
  readonly withdrawnTo: number;
  readonly attributesFrom: number;
  readonly attributesTo: number;
  readonly nlriTo: number;
}

/** RFC 4271 §6.3: the parts must add up to the message; undefined when they do not. */
export function layoutOf(bytes: Uint8Array, from: number, to: number): UpdateLayout | undefined {
  if (to - from < 4) return undefined;
  const withdrawnTo = from + 2 + readUint16(bytes, from);
  if (withdrawnTo + 2 > to) return undefined;
  const attributesTo = withdrawnTo + 2 + readUint16(bytes, withdrawnTo);
  if (attributesTo > to) return undefined;
  return { withdrawnFrom: from + 2, withdrawnTo, attributesFrom: withdrawnTo + 2, attributesTo, nlriTo: to };
}

export const malformedAttributeList = notification(ErrorCode.updateMessage, UpdateSubcode.malformedAttributeList);
export const invalidNetworkField = notification(ErrorCode.updateMessage, UpdateSubcode.invalidNetworkField);

/** Decodes the body of an UPDATE (after the header). */
export function decodeUpdate(body: Uint8Array, context: WireContext = plainContext): UpdateResult {
  const layout = layoutOf(body, 0, body.length);
  if (!layout) return { kind: 'reset', notification: malformedAttributeList, findings: [] };
  const { withdrawnFrom, withdrawnTo, attributesFrom, attributesTo, nlriTo } = layout;
  const addPath = context.addPathIpv4;
  if (
    !isWellFormedNlri(body, withdrawnFrom, withdrawnTo, 4, addPath) ||
    !isWellFormedNlri(body, attributesTo, nlriTo, 4, addPath)
  ) {
    return { kind: 'reset', notification: invalidNetworkField, findings: [] };
  }
  const scan = new AttributeScan();
  scan.scan(body, attributesFrom, attributesTo, context, attributesTo < nlriTo);
  if (scan.reset) return { kind: 'reset', notification: scan.reset, findings: scan.findings };
  const update: UpdateMessage = {
    kind: 'update',
    withdrawn: decodeNlri(body, withdrawnFrom, withdrawnTo, 4, addPath),
    attributes: decodeAttributes(body, scan, context),
    unknownAttributes: unknownAttributes(body, scan),
    nlri: decodeNlri(body, attributesTo, nlriTo, 4, addPath),
  };
  return { kind: 'update', update, treatAsWithdraw: scan.treatAsWithdraw, findings: scan.findings };
}

const names = Object.keys(attributes).filter((name): name is AttributeName => name in attributes);

/** The values of the attributes that a scan kept. */
export function decodeAttributes(bytes: Uint8Array, scan: AttributeScan, context: WireContext): PathAttributes {
  const found: Partial<Record<AttributeName, unknown>> = {};
  for (const name of names) {
    const i = scan.indexOf(attributes[name].code);
    if (i < 0) continue;
    found[name] = attributes[name].decode(bytes, scan.starts[i] ?? 0, scan.ends[i] ?? 0, context);
  }
  return isPathAttributes(found) ? found : {};
}

/** Each value comes from the descriptor of its own name. */
const isPathAttributes = (found: Partial<Record<AttributeName, unknown>>): found is PathAttributes =>
  found !== undefined;

function unknownAttributes(bytes: Uint8Array, scan: AttributeScan): UnknownAttribute[] {
  const known = new Set<number>(names.map((name) => attributes[name].code));
  const list: UnknownAttribute[] = [];
  for (let i = 0; i < scan.count; i++) {
    const code = scan.codes[i] ?? 0;
    if (known.has(code)) continue;
    const flags = (scan.flags[i] ?? 0) & ~EXTENDED_LENGTH;
    list.push({ flags, code, data: bytes.slice(scan.starts[i], scan.ends[i]) });
  }
  return list;
}

/** The body of an UPDATE. The caller keeps it within the session's message length. */
export function encodeUpdate(update: UpdateMessage, context: WireContext = plainContext): Uint8Array {
  const withdrawn = encodeNlri(update.withdrawn);
  const encoded = encodeAttributes(update.attributes, update.unknownAttributes, context);
  return concat([uint16(withdrawn.length), withdrawn, uint16(encoded.length), encoded, encodeNlri(update.nlri)]);
}

/** In the order of their codes, as RFC 4271 §5 recommends. */
export function encodeAttributes(
  values: PathAttributes,
  unknown: readonly UnknownAttribute[] = [],
  context: WireContext = plainContext,
): Uint8Array {
  const list = names.flatMap((name) => encodeNamed(name, values, context));
  for (const { flags, code, data } of unknown) list.push({ code, bytes: withHeader(flags, code, data) });
  return concat(list.sort((a, b) => a.code - b.code).map(({ bytes }) => bytes));
}

function encodeNamed<N extends AttributeName>(
  name: N,
  values: PathAttributes,
  context: WireContext,
): { code: number; bytes: Uint8Array }[] {
  const value = pick<Required<PathAttributes>, N>(values, name);
  if (value === undefined) return [];
  const descriptor: AttributeTable[N] = attributes[name];
  return [
    { code: descriptor.code, bytes: withHeader(descriptor.flags, descriptor.code, descriptor.encode(value, context)) },
  ];
}

const pick = <V, K extends keyof V>(values: { readonly [P in keyof V]?: V[P] }, name: K): V[K] | undefined =>
  values[name];

function withHeader(flags: number, code: number, data: Uint8Array): Uint8Array {
  const head =
    data.length > 255 ? [flags | EXTENDED_LENGTH, code, data.length >> 8, data.length] : [flags, code, data.length];
  return concat([Uint8Array.from(head), data]);
}

/** RFC 4724 §2: an UPDATE that says nothing at all, or only an empty MP_UNREACH_NLRI. */
export function endOfRib(family: AddressFamily): UpdateMessage {
  const attributes: PathAttributes = family === 'ipv4-unicast' ? {} : { mpUnreach: { afi: 2, safi: 1, withdrawn: [] } };
  return { kind: 'update', withdrawn: [], attributes, unknownAttributes: [], nlri: [] };
}

/** The family whose initial routes are complete, or undefined when this is not an End-of-RIB. */
export function endOfRibOf(update: UpdateMessage): AddressFamily | undefined {
  if (update.withdrawn.length > 0 || update.nlri.length > 0 || update.unknownAttributes.length > 0) return undefined;
  const present = names.filter((name) => update.attributes[name] !== undefined);
  if (present.length === 0) return 'ipv4-unicast';
  const { mpUnreach } = update.attributes;
  if (present.length > 1 || !mpUnreach || mpUnreach.withdrawn.length > 0) return undefined;
  return fromWireFamily(mpUnreach.afi, mpUnreach.safi);
}
