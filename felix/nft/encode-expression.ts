// One expression of a rule as netlink attributes.

import type { MessageWriter } from '../../linux/netlink/message.ts';
import type { CompareOp, Expression } from './compile.ts';
import { anonymousSetName, u32, u64, writeVerdict } from './encode.ts';
import * as nf from './numbers.ts';

const compareOps: Readonly<Record<CompareOp, number>> = { eq: 0, neq: 1, lte: 3, gte: 5 };
const payloadBase = { network: 1, transport: 2 } as const;
const lookupInverted = 1;
const rejectIcmpx = { type: 2, portUnreachable: 1 } as const;
/** NF_NAT_RANGE_PROTO_SPECIFIED, NF_NAT_RANGE_PROTO_RANDOM_FULLY. */
const natFlag = { ports: 2, fullyRandom: 16 } as const;
const verdictRegister = 0;
const NFPROTO_IPV4 = 2;

/** `setId`: of the anonymous set that the expression looks into. */
export function writeExpression(w: MessageWriter, expression: Expression, setId: number | undefined): void {
  const [name, write] = attributesOf(w, expression, setId);
  w.attributeString(nf.expression.name, name);
  w.nest(nf.expression.data, write);
}

function attributesOf(
  w: MessageWriter,
  expression: Expression,
  setId: number | undefined,
): readonly [name: string, write: () => void] {
  const value = (type: number, bytes: Uint8Array): void => w.nest(type, () => w.attribute(nf.data.value, bytes));
  const named = (kernelName: string, write: () => void) => [kernelName, write] as const;
  switch (expression.kind) {
    case 'meta':
      return named('meta', () => {
        u32(w, 2, expression.key);
        u32(w, 1, expression.register);
      });
    case 'meta-set':
      return named('meta', () => {
        u32(w, 2, expression.key);
        u32(w, 3, expression.register);
      });
    case 'ct':
      return named('ct', () => {
        u32(w, 2, expression.key);
        u32(w, 1, expression.register);
      });
    case 'payload':
      return named('payload', () => {
        u32(w, 1, expression.register);
        u32(w, 2, payloadBase[expression.base]);
        u32(w, 3, expression.offset);
        u32(w, 4, expression.length);
      });
    case 'cmp':
      return named('cmp', () => {
        u32(w, 1, expression.register);
        u32(w, 2, compareOps[expression.op]);
        value(3, expression.data);
      });
    case 'range':
      return named('range', () => {
        u32(w, 1, expression.register);
        u32(w, 2, compareOps[expression.op]);
        value(3, expression.from);
        value(4, expression.to);
      });
    case 'bitwise':
      return named('bitwise', () => {
        u32(w, 1, expression.register);
        u32(w, 2, expression.register);
        u32(w, 3, expression.mask.length);
        value(4, expression.mask);
        value(5, expression.xor);
      });
    case 'lookup':
      return named('lookup', () => {
        w.attributeString(1, 'keys' in expression.set ? anonymousSetName : expression.set.name);
        u32(w, 2, expression.register);
        if (expression.verdict) u32(w, 3, verdictRegister);
        if (setId !== undefined) u32(w, 4, setId);
        if (expression.inverted) u32(w, 5, lookupInverted);
      });
    case 'immediate':
      return named('immediate', () => {
        u32(w, 1, expression.register);
        value(2, expression.data);
      });
    case 'verdict':
      return named('immediate', () => {
        u32(w, 1, verdictRegister);
        w.nest(2, () => writeVerdict(w, expression.verdict));
      });
    case 'counter':
      return named('objref', () => {
        u32(w, 1, nf.objectCounter);
        w.attributeString(2, expression.name);
      });
    case 'counter-map':
      return named('objref', () => {
        u32(w, 3, expression.register);
        w.attributeString(4, expression.set);
      });
    case 'limit':
      return named('limit', () => {
        u64(w, 1, expression.rate);
        u64(w, 2, expression.unitSec);
        u32(w, 3, expression.burst);
        u32(w, 4, 0);
        u32(w, 5, 0);
      });
    case 'log':
      return named('log', () => w.attributeString(2, expression.prefix));
    case 'reject':
      return named('reject', () => {
        u32(w, 1, rejectIcmpx.type);
        w.attributeU8(2, rejectIcmpx.portUnreachable);
      });
    case 'notrack':
      return named('notrack', () => {});
    case 'masquerade':
      return named('masq', () => {
        const flags = natFlags(expression);
        if (flags !== 0) u32(w, 1, flags);
        if (expression.ports === undefined) return;
        u32(w, 2, expression.ports);
        u32(w, 3, expression.ports + 4);
      });
    case 'snat':
      return named('nat', () => {
        u32(w, 1, 0);
        u32(w, 2, NFPROTO_IPV4);
        u32(w, 3, expression.address);
        if (expression.ports !== undefined) {
          u32(w, 5, expression.ports);
          u32(w, 6, expression.ports + 4);
        }
        const flags = natFlags(expression);
        if (flags !== 0) u32(w, 7, flags);
      });
  }
}

const natFlags = ({ ports, random }: { readonly ports?: number; readonly random: boolean }): number =>
  (ports === undefined ? 0 : natFlag.ports) | (random ? natFlag.fullyRandom : 0);
