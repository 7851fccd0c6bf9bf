// What several kinds share: how a kind is declared, metadata, references to secrets, the plain conditions of a status.

import { integer, text } from '../schema/scalars.ts';
import { dnsLabel, dnsSubdomain, labelKey, labelValue } from '../schema/scalars-names.ts';
import type { InputFields, OutputFields } from '../schema/types.ts';
import {
  type Fields,
  any as json,
  list,
  map,
  type ObjectType,
  object,
  optional,
  type Rule,
  required,
  type ScalarType,
} from '../schema/types.ts';

/** An object type seen without its field types, so that declarations of all kinds fit one registry. */
export type AnyObjectType = {
  readonly kind: 'object';
  readonly fields: Fields;
  readonly rules: readonly Rule<never>[];
};

export interface Metadata {
  readonly name: string;
  /** Present on namespaced kinds. */
  readonly namespace?: string;
  readonly uid?: string;
  /** RFC 3339, whole seconds. */
  readonly creationTimestamp?: string;
  /** The key's mod revision in decimal; never stored. */
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface KindDeclaration<
  K extends string = string,
  S extends AnyObjectType = AnyObjectType,
  T extends AnyObjectType = AnyObjectType,
> {
  readonly kind: K;
  /** Lower case, as in keys. */
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** One sentence for the reference. */
  readonly doc: string;
  readonly name: ScalarType<string>;
  readonly spec: S;
  readonly status?: T;
  /** What holds between metadata and spec, as far as they are acceptable by themselves. */
  readonly rules: readonly Rule<CheckedResource>[];
  /** Resources of these names cannot be deleted. */
  readonly protectedNames: readonly string[];
  /** Written by Twill itself; people may only read it. */
  readonly readOnly: boolean;
}

/** A resource as the rules of its kind see it. */
export interface CheckedResource {
  readonly metadata: Metadata;
  readonly spec: Readonly<Record<string, unknown>>;
}

interface KindOptions<S extends AnyObjectType, T extends AnyObjectType> {
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly namespaced?: boolean;
  readonly doc: string;
  readonly name?: ScalarType<string>;
  readonly spec: S;
  readonly status?: T;
  readonly rules?: readonly Rule<CheckedResource>[];
  readonly protectedNames?: readonly string[];
  readonly readOnly?: boolean;
}

export const kind = <
  const K extends string,
  S extends AnyObjectType,
  T extends AnyObjectType = ObjectType<object & Fields>,
>(
  name: K,
  options: KindOptions<S, T>,
): KindDeclaration<K, S, T> => ({
  kind: name,
  shortNames: [],
  namespaced: false,
  name: dnsSubdomain,
  rules: [],
  protectedNames: [],
  readOnly: false,
  ...options,
});

/** The resource that a declaration describes, as it is read: defaults are in place. */
export type ResourceFrom<D> =
  D extends KindDeclaration<infer K, infer S, infer T>
    ? {
        readonly kind: K;
        readonly apiVersion: 'projectcalico.org/v3';
        readonly metadata: Metadata;
        readonly spec: OutputFields<S['fields']>;
        readonly status?: OutputFields<T['fields']>;
      }
    : never;

/** The resource as it is handed in: fields with a default may be missing. */
export type DraftFrom<D> =
  D extends KindDeclaration<infer K, infer S, infer T>
    ? {
        readonly kind: K;
        readonly apiVersion: 'projectcalico.org/v3';
        readonly metadata: Metadata;
        readonly spec: InputFields<S['fields']>;
        readonly status?: OutputFields<T['fields']>;
      }
    : never;

const anyText = text();

/** Names are checked by each kind; here only their form as text. */
export const metadataType = object({
  name: optional(anyText, 'Name, unique in the kind (and in the namespace, for namespaced kinds).'),
  generateName: optional(anyText, 'Kept for Kubernetes; unused.'),
  namespace: optional(dnsLabel, 'Namespace, for namespaced kinds.'),
  selfLink: optional(anyText, 'Kept for Kubernetes; unused.'),
  uid: optional(anyText, 'Given at creation.'),
  resourceVersion: optional(
    anyText,
    'The revision that was read; an update fails when it is no longer the current one.',
  ),
  generation: optional(integer(), 'Kept for Kubernetes; unused.'),
  creationTimestamp: optional(anyText, 'Given at creation.'),
  deletionTimestamp: optional(anyText, 'Kept for Kubernetes; unused.'),
  deletionGracePeriodSeconds: optional(integer(), 'Kept for Kubernetes; unused.'),
  labels: optional(map(labelKey, labelValue), 'Labels, for selectors.'),
  annotations: optional(map(labelKey, anyText), 'Free text by name; at most 256 KiB in all.'),
  ownerReferences: optional(list(json), 'Kept for Kubernetes; unused.'),
  finalizers: optional(list(anyText), 'Kept for Kubernetes; unused.'),
  managedFields: optional(list(json), 'Kept for Kubernetes; unused.'),
});

export const secretKeyRef = object({
  secretKeyRef: optional(
    object({
      name: optional(anyText, 'Name of the Secret.'),
      key: required(anyText, 'Key inside the Secret.'),
      optional: optional({ ...json }, 'Whether the Secret may be missing.'),
    }),
    'A key of a Kubernetes Secret in the namespace of the agent.',
  ),
});

export const conditions = list(
  object({
    type: required(anyText, 'What the condition is about.'),
    status: required(anyText, 'True, False or Unknown.'),
    observedGeneration: optional(integer(), 'Generation that the condition was made from.'),
    lastTransitionTime: optional(anyText, 'When the status last changed.'),
    reason: optional(anyText, 'One word for programs.'),
    message: optional(anyText, 'A sentence for people.'),
  }),
);

export const nodeName = text({
  name: 'node name',
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
  maxLength: 253,
  remedy: 'give the name of a Node: lower case letters, digits, "-" and "."',
});

export const interfaceName = text({
  name: 'interface name',
  pattern: /^[a-zA-Z0-9_.-]{1,15}$/,
  remedy: 'use at most 15 letters, digits, "_", "." and "-"',
});
