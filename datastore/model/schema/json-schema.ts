// Declarations → JSON schema: for editors (draft 7) and for CRDs (the structural subset of OpenAPI v3).

import { type KindDeclaration, metadataType } from '../kinds/common.ts';
import { apiVersion } from '../kinds.ts';
import type { Field, JsonSchema, Type } from './types.ts';

/** `crd`: only what the Kubernetes API server accepts in a CustomResourceDefinition. */
export type SchemaFlavour = 'editor' | 'crd';

export function jsonSchemaOf(type: Type, flavour: SchemaFlavour): JsonSchema {
  switch (type.kind) {
    case 'any':
      return flavour === 'crd' ? { 'x-kubernetes-preserve-unknown-fields': true } : {};
    case 'scalar':
      return flavour === 'crd' ? forKubernetes(type.jsonSchema) : withoutExtensions(type.jsonSchema);
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
    ...jsonSchemaOf(field.type, flavour),
    ...constant,
    ...(flavour === 'editor' && field.deprecated && { deprecated: true }),
  };
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
  const { kind, doc, spec, status, namespaced } = declaration;
  const metadata = objectSchema(metadataType, 'editor');
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: kind,
    description: doc,
    type: 'object',
    properties: {
      kind: { const: kind },
      apiVersion: { const: apiVersion },
      metadata: { ...metadata, required: namespaced ? ['name', 'namespace'] : ['name'] },
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
