// What etcd3 and gRPC throw, as KvError.
//
// The hard question is what became of a write that failed. It was certainly not done when the server refused it, or when
// the call never found a connection; in every other case it may have been, or may still be.

import { KvError, type KvErrorCode } from './kv.ts';

export type CallKind = 'read' | 'write';

/** grpc-js says so when a call was never given to a connection; our own brief client says it likewise. */
const NEVER_SENT =
  /No connection established|Channel closed before call started|Waiting for LB pick|waiting for name resolution|Name resolution failed/i;

/** etcd3 renews its connection when any call on it has failed; whoever begins one at that moment finds it closed. */
export const isBetweenConnections = (error: unknown): boolean =>
  /Channel closed before call started/.test(String(error));

/** etcd says so before it proposes the request to the cluster. */
const NOT_PROPOSED = /etcdserver: (no leader|not capable|too many requests|mvcc: database space exceeded)/;

/** "user name is empty" comes as INVALID_ARGUMENT when authentication is on and we have no token. */
const NO_ACCESS = /permission denied|authentication failed|invalid auth token|user name is empty/;

export function toKvError(error: unknown, kind: CallKind): KvError {
  if (error instanceof KvError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new KvError(codeOf(error, message, kind), message, { cause: error });
}

function codeOf(error: unknown, message: string, kind: CallKind): KvErrorCode {
  if (error instanceof Error && error.constructor.name === 'ClientClosedError') return 'closed';
  if (/has been compacted/.test(message)) return 'compacted';
  if (/future revision|requested lease not found/.test(message)) return 'invalid';
  if (NO_ACCESS.test(message)) return 'permission-denied';
  if (NEVER_SENT.test(message) || NOT_PROPOSED.test(message)) return 'unavailable';
  switch (grpcCodeOf(message)) {
    case 7: // PERMISSION_DENIED
    case 16: // UNAUTHENTICATED
      return 'permission-denied';
    case 3: // INVALID_ARGUMENT
    case 5: // NOT_FOUND
    case 6: // ALREADY_EXISTS
    case 8: // RESOURCE_EXHAUSTED: what is left of it here is a message that is too large
    case 9: // FAILED_PRECONDITION
    case 11: // OUT_OF_RANGE
    case 12: // UNIMPLEMENTED
      return 'invalid';
    default:
      return kind === 'read' ? 'unavailable' : 'unknown-outcome';
  }
}

/** gRPC errors start with their code: "14 UNAVAILABLE: …". etcd3 keeps the text and loses the number. */
function grpcCodeOf(message: string): number | undefined {
  const match = /^(?:\w+: )?(\d+) [A-Z_]+:/.exec(message);
  return match ? Number(match[1]) : undefined;
}
