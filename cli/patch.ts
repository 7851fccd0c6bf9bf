// Patches as values: JSON merge patch (RFC 7396), Kubernetes' strategic merge patch, and JSON patch (RFC 6902).

import { isDeepStrictEqual } from 'node:util';
import { isObject } from '../datastore/model/schema/check.ts';

export type PatchResult =
  | { readonly kind: 'patched'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly problem: string };

/** null removes a member, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

const DELETE_FROM = '$deleteFromPrimitiveList/';
const ELEMENT_ORDER = '$setElementOrder/';

/**
 * As mergePatch, and with the directives of a strategic merge patch. No list of Calico's specs declares a merge key, so lists
 * are replaced, as by calicoctl.
 */
export function strategicMergePatch(target: unknown, patch: unknown): PatchResult {
  try {
    return { kind: 'patched', value: mergeStrategically(target, patch) };
  } catch (error) {
    if (error instanceof DirectiveError) return refuse(error.message);
    throw error;
  }
}

class DirectiveError extends Error {}

function mergeStrategically(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const { $patch: directive = 'merge', $retainKeys: retained, ...fields } = patch;
  if (directive === 'replace') return fields;
  if (directive === 'delete') return {};
  if (directive !== 'merge')
    throw new DirectiveError(`$patch is ${JSON.stringify(directive)}; it can be merge, replace or delete`);
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  if (retained !== undefined) {
    if (!Array.isArray(retained)) throw new DirectiveError('$retainKeys is not a list of names');
    for (const name of Object.keys(result)) if (!retained.includes(name)) delete result[name];
  }
  for (const [name, value] of Object.entries(fields)) {
    if (name.startsWith(DELETE_FROM)) deleteFromList(result, name.slice(DELETE_FROM.length), value);
    // The order of a list that is replaced is that of the patch.
    else if (name.startsWith(ELEMENT_ORDER)) continue;
    else if (value === null) delete result[name];
    else result[name] = mergeStrategically(result[name], value);
  }
  return result;
}

function deleteFromList(object: Record<string, unknown>, name: string, values: unknown): void {
  const list = object[name];
  if (!Array.isArray(values)) throw new DirectiveError(`${DELETE_FROM}${name} is not a list`);
  if (Array.isArray(list)) object[name] = list.filter((item) => !values.includes(item));
}

/** Applies the operations in order; the first that cannot be done refuses the whole. */
export function jsonPatch(target: unknown, operations: unknown): PatchResult {
  if (!Array.isArray(operations)) return { kind: 'refused', problem: 'a JSON patch is a list of operations' };
  let value: unknown = structuredClone(target);
  for (const [i, operation] of operations.entries()) {
    const result = isObject(operation) ? applyOperation(value, operation) : refuse('is not an object');
    if (result.kind === 'refused') return { kind: 'refused', problem: `operation ${i}: ${result.problem}` };
    value = result.value;
  }
  return { kind: 'patched', value };
}

const refuse = (problem: string): PatchResult => ({ kind: 'refused', problem });

function applyOperation(root: unknown, operation: Readonly<Record<string, unknown>>): PatchResult {
  const { op, path, from, value } = operation;
  if (typeof path !== 'string') return refuse('path is missing');
  switch (op) {
    case 'add':
    case 'replace':
      return 'value' in operation ? change(root, path, op, value) : refuse('value is missing');
    case 'remove':
      return change(root, path, 'remove', undefined);
    case 'test': {
      const found = find(root, path);
      if (!found) return refuse(`there is nothing at ${path}`);
      return isDeepStrictEqual(found.value, value)
        ? { kind: 'patched', value: root }
        : refuse(`${path} has another value`);
    }
    case 'move':
    case 'copy': {
      const source = typeof from === 'string' ? find(root, from) : undefined;
      if (!source || typeof from !== 'string') return refuse(`there is nothing at ${String(from)}`);
      const without: PatchResult =
        op === 'move' ? change(root, from, 'remove', undefined) : { kind: 'patched', value: root };
      return without.kind === 'refused' ? without : change(without.value, path, 'add', structuredClone(source.value));
    }
    default:
      return refuse(`${JSON.stringify(op)} is not an operation; use add, remove, replace, move, copy or test`);
  }
}

/** RFC 6901. */
const pointer = (path: string): readonly string[] =>
  path === ''
    ? []
    : path
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

function find(root: unknown, path: string): { readonly value: unknown } | undefined {
  let at = root;
  for (const part of pointer(path)) {
    if (Array.isArray(at) && /^\d+$/.test(part) && Number(part) < at.length) at = at[Number(part)];
    else if (isObject(at) && Object.hasOwn(at, part)) at = at[part];
    else return undefined;
  }
  return { value: at };
}

function change(root: unknown, path: string, op: 'add' | 'replace' | 'remove', value: unknown): PatchResult {
  const parts = pointer(path);
  const last = parts.at(-1);
  if (last === undefined) return op === 'remove' ? refuse('the whole cannot be removed') : { kind: 'patched', value };
  const parent = find(root, path.slice(0, path.lastIndexOf('/')))?.value;
  if (op !== 'add' && !find(root, path)) return refuse(`there is nothing at ${path}`);
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length) return refuse(`${path} is outside the list`);
    if (op === 'add') parent.splice(index, 0, value);
    else if (op === 'remove') parent.splice(index, 1);
    else parent[index] = value;
  } else if (isObject(parent)) {
    const object: Record<string, unknown> = parent;
    if (op === 'remove') delete object[last];
    else object[last] = value;
  } else return refuse(`there is nothing at ${path.slice(0, path.lastIndexOf('/')) || '/'}`);
  return { kind: 'patched', value: root };
}
