// Declarations → JSON schema: for editors (draft 7) and for CRDs (the structural subset of OpenAPI v3).

import { type KindDeclaration, metadataType } from '../kinds/common.ts';
import { apiVersion } from '../kinds.ts';
import { type Field, type JsonSchema, Refused, type Type } from './types.ts';

/** `crd`: only what the Kubernetes API server accepts in a CustomResourceDefinition. */
export type SchemaFlavour = 'editor' | 'crd';

export function jsonSchemaOf(type: Type, flavour: SchemaFlavour): JsonSchema {
  switch (type.kind) {
    case 'any':
      return flavour === 'crd' ? { 'x-kubernetes-preserve-unknown-fields': true } : {};
    case 'scalar':
      return flavour === 'crd' ? forKubernetes(type.jsonSchema) : forManifests(type);
    case 'list':
      return {
        type: 'array',
        items: jsonSchemaOf(type.of, flavour),
        ...(type.minItems !== undefined && { minItems: type.minItems }),
        ...(type.maxItems !== undefined && { maxItems: type.maxItems }),
      };
    case 'map':
      return { type: 'object', additionalProperties: jsonSchemaOf(type.of, flavour) };
    case 'object':
      return objectSchema(type, flavour);
  }
}

function objectSchema(type: Extract<Type, { kind: 'object' }>, flavour: SchemaFlavour): JsonSchema {
  const entries = Object.entries(type.fields);
  const required = entries.filter(([, field]) => field.presence === 'required').map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, field]) => [name, fieldSchema(field, flavour)])),
    ...(required.length > 0 && { required }),
    // The API server prunes unknown fields by itself, and refuses the word beside properties.
    ...(flavour === 'editor' && { additionalProperties: false }),
  };
}

function fieldSchema(field: Field, flavour: SchemaFlavour): JsonSchema {
  const constant = field.default && !field.defaultDoc ? { default: field.default({}) } : {};
  const words = [
    field.doc,
    field.defaultDoc && `Default: ${field.defaultDoc}.`,
    field.deprecated && `Deprecated: ${field.deprecated}.`,
  ];
  return {
    description: words.filter(Boolean).join(' '),
    ...(flavour === 'editor' && field.presence !== 'required'
      ? orNull(jsonSchemaOf(field.type, flavour))
      : jsonSchemaOf(field.type, flavour)),
    ...constant,
    ...(flavour === 'editor' && field.deprecated && { deprecated: true }),
  };
}

/** What a scalar may be in a manifest: where text is wanted, YAML's `80` and `true` are text too, if they can be. */
function forManifests(type: Extract<Type, { kind: 'scalar' }>): JsonSchema {
  const schema = withoutExtensions(type.manifestSchema ?? type.jsonSchema);
  if (schema['type'] !== 'string') return schema;
  const takes = (words: readonly string[]): boolean => words.some((word) => !(type.read(word) instanceof Refused));
  const number = takes(['0', '1', '12', '123456', '1.5']) ? ['number'] : [];
  const boolean = takes(['true', 'false']) ? ['boolean'] : [];
  return number.length + boolean.length === 0 ? schema : { ...schema, type: ['string', ...number, ...boolean] };
}

/** `field: null`, or nothing behind the colon, is as good as no field. */
function orNull(schema: JsonSchema): JsonSchema {
  const { type, anyOf } = schema;
  const alternatives = Array.isArray(anyOf) ? { anyOf: [...anyOf, { type: 'null' }] } : {};
  const types = typeof type === 'string' || Array.isArray(type) ? { type: [type, 'null'].flat() } : {};
  const words = Array.isArray(schema['enum']) ? { enum: [...schema['enum'], null] } : {};
  return { ...schema, ...alternatives, ...types, ...words };
}

const withoutExtensions = (schema: JsonSchema): JsonSchema =>
  Object.fromEntries(Object.entries(schema).filter(([keyword]) => !keyword.startsWith('x-kubernetes-')));

/** Go's regular expressions know no look-around: such patterns are left to our own validation. */
function forKubernetes(schema: JsonSchema): JsonSchema {
  const { pattern, ...others } = schema;
  return typeof pattern === 'string' && !/\(\?[=!<]/.test(pattern) ? schema : others;
}

/** The schema of one kind's resources, as manifests have them. */
export function resourceSchema(declaration: KindDeclaration): JsonSchema {
  const { kind, doc, spec, status } = declaration;
  const metadata = objectSchema(metadataType, 'editor');
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: kind,
    description: doc,
    type: 'object',
    properties: {
      kind: { const: kind },
      apiVersion: { const: apiVersion },
      // Without a namespace it is that of the command line, or `default`.
      metadata: { ...metadata, required: ['name'] },
      spec: jsonSchemaOf(spec, 'editor'),
      ...(status && { status: jsonSchemaOf(status, 'editor') }),
    },
    required: ['kind', 'apiVersion', 'metadata', 'spec'],
    additionalProperties: false,
  };
}

/** The CustomResourceDefinition that makes a Kubernetes API server serve the kind. */
export function customResourceDefinition(declaration: KindDeclaration): JsonSchema {
  const { kind, plural, shortNames, namespaced, doc, spec, status } = declaration;
  const [group, version] = apiVersion.split('/');
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortNames.length > 0 && { shortNames: shortNames.filter((name) => name !== kind.toLowerCase()) }),
      },
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              description: doc,
              type: 'object',
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: jsonSchemaOf(spec, 'crd'),
                ...(status && { status: jsonSchemaOf(status, 'crd') }),
              },
              required: ['spec'],
            },
          },
        },
      ],
    },
  };
}
