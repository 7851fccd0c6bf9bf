// Why a resource could not be read or written. I/O failures are the store's KvError and pass through.

import { type Fault, formatFault, type Kind, kinds, type ResourceId } from './model/index.ts';

export type ResourceErrorCode = 'not-found' | 'already-exists' | 'conflict' | 'invalid' | 'forbidden';

export class ResourceError extends Error {
  override readonly name: string = 'ResourceError';
  readonly code: ResourceErrorCode;
  readonly id: ResourceId;
  /** Reading again and repeating the change can help. */
  readonly retryable: boolean;

  constructor(code: ResourceErrorCode, id: ResourceId, message: string) {
    super(message);
    this.code = code;
    this.id = id;
    this.retryable = code === 'conflict';
  }
}

// The phrases of the first three are calicoctl's: scripts look for them.

export class NotFoundError extends ResourceError {
  override readonly name = 'NotFoundError';
  constructor(id: ResourceId) {
    super('not-found', id, `resource does not exist: ${formatId(id)}`);
  }
}

export class AlreadyExistsError extends ResourceError {
  override readonly name = 'AlreadyExistsError';
  constructor(id: ResourceId) {
    super('already-exists', id, `resource already exists: ${formatId(id)}`);
  }
}

/** Somebody else changed the resource since it was read. */
export class ConflictError extends ResourceError {
  override readonly name = 'ConflictError';
  /** What is stored now; undefined when it was deleted meanwhile. */
  readonly current: unknown;

  constructor(id: ResourceId, current: unknown, explanation?: string) {
    const plain = current === undefined ? 'was deleted meanwhile' : 'was changed meanwhile';
    super('conflict', id, `update conflict: ${formatId(id)} ${explanation ?? plain}`);
    this.current = current;
  }
}

export class InvalidError extends ResourceError {
  override readonly name = 'InvalidError';
  readonly faults: readonly Fault[];

  constructor(id: ResourceId, faults: readonly Fault[]) {
    super('invalid', id, `${formatId(id)} is not valid: ${faults.map(formatFault).join('; ')}`);
    this.faults = faults;
  }
}

/** Never possible for this resource, whatever its content: built in, or written by Twill alone. */
export class ForbiddenError extends ResourceError {
  override readonly name = 'ForbiddenError';
  constructor(id: ResourceId, reason: string) {
    super('forbidden', id, `operation not supported: ${formatId(id)} ${reason}`);
  }
}

/** `NetworkPolicy(prod/allow-dns)`, `Tier(default)`. */
export const formatId = (id: ResourceId): string =>
  `${id.kind}(${kinds[id.kind].namespaced ? `${id.namespace ?? 'default'}/` : ''}${id.name})`;

export const idFor = (kind: Kind, name: string, namespace?: string): ResourceId =>
  kinds[kind].namespaced ? { kind, name, namespace: namespace ?? 'default' } : { kind, name };
