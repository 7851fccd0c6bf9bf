// Resources as JSON: reading what is stored or written by people, and writing it.
//
// In the store a resource is one JSON object {kind, apiVersion, metadata, spec, status?}, without resourceVersion: that is
// the key's mod revision.

import { isDeepStrictEqual } from 'node:util';
import type { KvEntry } from '../kv.ts';
import { type ResourceId, resourceKey } from './keys.ts';
import { type CheckedResource, type KindDeclaration, metadataType } from './kinds/common.ts';
import { apiVersion, declarationOf, isKind, type Kind, kinds, type Resource, type ResourceOf } from './kinds.ts';
import { check, type Fault, faultyPaths, isObject, lookUp, type Origin } from './schema/check.ts';
import { guarded, unlessFaulty } from './schema/guard.ts';
import { nearest } from './schema/nearest.ts';
import { describe } from './schema/scalars.ts';
import { Refused, type Type } from './schema/types.ts';

export type { Fault } from './schema/check.ts';
export { formatFault } from './schema/check.ts';

export type CheckResult<R = Resource> =
  | { readonly kind: 'valid'; readonly resource: R }
  /** `given` is the value as it came, for showing and repairing it. */
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[]; readonly given: unknown };

/** Checks what a person wrote: every fault is listed, unknown fields are faults, defaults are filled in. */
export const checkResource = (given: unknown): CheckResult => checkAny(given, 'person');

/**
 * Checks what a person made of a stored resource: unknown fields are faults only when they are new or changed, so that
 * those of a newer version survive the change.
 */
export function checkChange(given: unknown, stored: Resource): CheckResult {
  const result = checkAny(given, 'person');
  if (result.kind === 'valid') return result;
  const kept = (fault: Fault): boolean =>
    fault.unknownField === true && isDeepStrictEqual(lookUp(stored, fault.path), fault.value);
  const faults = result.faults.filter((fault) => !kept(fault));
  return faults.length > 0 ? { ...result, faults } : checkAny(given, 'program');
}

/** Checks what a program is about to write; fields of newer versions, read before, may be in it. */
export function checkResourceOf<K extends Kind>(kind: K, given: unknown): CheckResult<ResourceOf<K>> {
  return narrow(kind, checkAny(given, 'program'));
}

/**
 * Reads a stored resource. Unknown fields stay in it, so that writing it back keeps them. `invalid`: count it as missing;
 * its key and revision are in the entry.
 */
export function decodeResource<K extends Kind>(
  kind: K,
  entry: Pick<KvEntry, 'value' | 'modRevision'>,
): CheckResult<ResourceOf<K>> {
  const given = parseJson(entry.value);
  if (!isObject(given)) {
    const fault = { path: '', value: entry.value, problem: 'is not a JSON object', remedy: 'delete or replace it' };
    return { kind: 'invalid', faults: [fault], given: entry.value };
  }
  const metadata = isObject(given['metadata']) ? given['metadata'] : {};
  const versioned = { ...given, metadata: { ...metadata, resourceVersion: String(entry.modRevision) } };
  return narrow(kind, checkAny(versioned, 'store'));
}

/** The text to store: Calico's order of fields, no resourceVersion, unknown fields at the end of their object. */
export function encodeResource(resource: Resource): string {
  const { resourceVersion: _, ...metadata } = resource.metadata;
  return JSON.stringify({ ...resource, metadata });
}

export const idOf = (resource: Resource): ResourceId => ({
  kind: resource.kind,
  name: resource.metadata.name,
  ...(resource.metadata.namespace !== undefined && { namespace: resource.metadata.namespace }),
});

export const keyOf = (resource: Resource): string => resourceKey(idOf(resource));

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function narrow<K extends Kind>(kind: K, result: CheckResult): CheckResult<ResourceOf<K>> {
  if (result.kind === 'invalid') return result;
  if (isOfKind(kind, result.resource)) return { kind: 'valid', resource: result.resource };
  const fault = {
    path: 'kind',
    value: result.resource.kind,
    problem: `is ${result.resource.kind}, not ${kind}`,
    remedy: `give a ${kind}`,
  };
  return { kind: 'invalid', faults: [fault], given: result.resource };
}

export const isOfKind = <K extends Kind>(kind: K, resource: Resource): resource is ResourceOf<K> =>
  resource.kind === kind;

function checkAny(given: unknown, origin: Origin): CheckResult {
  const faults: Fault[] = [];
  if (!isObject(given)) {
    faults.push({
      path: '',
      value: given,
      problem: `${describe(given)} is not a resource`,
      remedy: 'give kind, apiVersion, metadata and spec',
    });
    return { kind: 'invalid', faults, given };
  }
  const kind = checkKind(given, faults);
  if (!kind) return { kind: 'invalid', faults, given };
  const resource = checkParts(kind, given, origin, faults);
  return faults.length > 0 ? { kind: 'invalid', faults, given } : { kind: 'valid', resource };
}

function checkKind(given: Readonly<Record<string, unknown>>, faults: Fault[]): Kind | undefined {
  const { kind, apiVersion: version } = given;
  if (version !== apiVersion) {
    const problem = version === undefined ? 'is missing' : `${describe(version)} is not served`;
    faults.push({ path: 'apiVersion', value: version, problem, remedy: `write ${apiVersion}` });
  }
  if (typeof kind === 'string' && isKind(kind)) return kind;
  const meant = typeof kind === 'string' ? nearest(kind, Object.keys(kinds)) : undefined;
  faults.push({
    path: 'kind',
    value: kind,
    problem: kind === undefined ? 'is missing' : `${describe(kind)} is not a kind of resource`,
    remedy: meant ? `did you mean ${meant}?` : `give one of ${Object.keys(kinds).join(', ')}`,
  });
  return undefined;
}

const rootFields = ['kind', 'apiVersion', 'metadata', 'spec', 'status'];

function checkParts(kind: Kind, given: Readonly<Record<string, unknown>>, origin: Origin, faults: Fault[]): Resource {
  const declaration = declarationOf(kind);
  const part = (type: Type, field: string): unknown => check(type, given[field] ?? {}, field, origin, faults);
  const metadata = part(metadataType, 'metadata');
  checkMetadata(kind, metadata, origin, faults);
  const spec = part(declaration.spec, 'spec');
  const status = declaration.status && given['status'] != null ? part(declaration.status, 'status') : given['status'];
  const result: Record<string, unknown> = { kind, apiVersion, metadata, spec };
  if (status != null) result['status'] = status;
  for (const field in given) {
    if (rootFields.includes(field)) continue;
    if (origin !== 'person') result[field] = given[field];
    else {
      const meant = nearest(field, rootFields);
      const remedy = meant ? `did you mean ${meant}?` : `known here: ${rootFields.join(', ')}`;
      faults.push({ path: field, value: given[field], problem: 'is not a known field', remedy, unknownField: true });
    }
  }
  // The declaration that was just walked is the one that this type was made from.
  const resource = result as unknown as Resource;
  if (origin !== 'store') checkRules(declaration, resource, faults);
  return resource;
}

function checkRules(declaration: KindDeclaration, { metadata, spec }: Resource, faults: Fault[]): void {
  const whole: CheckedResource = { metadata, spec: { ...spec } };
  const faulty = faultyPaths(faults);
  const seen = faulty.length > 0 ? guarded(whole, '', faulty) : whole;
  for (const rule of declaration.rules) {
    unlessFaulty(() =>
      rule(seen, (path, problem, remedy) =>
        faults.push({ path, value: undefined, problem, remedy, betweenFields: true }),
      ),
    );
  }
}

const annotationsLimitBytes = 256 * 1024;

function checkMetadata(kind: Kind, metadata: unknown, origin: Origin, faults: Fault[]): void {
  if (!isObject(metadata)) return;
  const { namespaced, name: nameType } = declarationOf(kind);
  const { name, namespace } = metadata;
  if (name === undefined) {
    faults.push({ path: 'metadata.name', value: name, problem: 'is missing', remedy: 'give the resource a name' });
  } else if (origin !== 'store') {
    const read = nameType.read(name);
    if (read instanceof Refused)
      faults.push({ path: 'metadata.name', value: name, problem: read.problem, remedy: read.remedy });
  }
  if (namespace !== undefined && !namespaced) {
    const problem = `${kind} is not namespaced`;
    faults.push({ path: 'metadata.namespace', value: namespace, problem, remedy: 'remove the namespace' });
  }
  if (namespace === undefined && namespaced && origin !== 'store') {
    faults.push({ path: 'metadata.namespace', value: namespace, problem: 'is missing', remedy: 'give the namespace' });
  }
  const annotations = isObject(metadata['annotations']) ? Object.entries(metadata['annotations']) : [];
  const bytes = annotations.reduce((sum, [key, value]) => sum + key.length + String(value).length, 0);
  if (bytes > annotationsLimitBytes) {
    const problem = `hold ${bytes} bytes`;
    faults.push({
      path: 'metadata.annotations',
      value: undefined,
      problem,
      remedy: `stay below ${annotationsLimitBytes}`,
    });
  }
}
