// explain: what a kind or a field is, from its declaration.

import { declarationOf, type Kind, kinds } from '../../datastore/model/index.ts';
import { metadataType } from '../../datastore/model/kinds/common.ts';
import { fieldsOf, traitsOf, typeName } from '../../datastore/model/schema/describe.ts';
import { resourceSchema } from '../../datastore/model/schema/json-schema.ts';
import { nearest } from '../../datastore/model/schema/nearest.ts';
import { type Field, object, optional, required } from '../../datastore/model/schema/types.ts';
import { resolveKind } from '../kind-names.ts';
import { formatJson } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';

export interface ExplainOptions {
  readonly recursive?: boolean;
  readonly outputSchema?: boolean;
}

export async function runExplain(path: string | undefined, options: ExplainOptions, world: World): Promise<void> {
  if (path === undefined) {
    world.out(
      `${(Object.keys(kinds) as Kind[]).map((kind) => `${kind.padEnd(30)}${declarationOf(kind).doc}`).join('\n')}\n`,
    );
    return;
  }
  const [kindName = '', ...fields] = path.split('.').map((part) => part.replace(/\[\d*\]$/, ''));
  const kind = resolveKind(kindName);
  if (options.outputSchema) {
    world.out(formatJson(resourceSchema(declarationOf(kind))));
    return;
  }
  world.out(explain(kind, fields, options.recursive === true));
}

function explain(kind: Kind, path: readonly string[], recursive: boolean): string {
  const { doc, spec, status } = declarationOf(kind);
  const root: Field = required(
    object({
      metadata: required(metadataType, 'Name, namespace, labels, annotations.'),
      spec: required(spec, 'What is wanted.'),
      ...(status && { status: optional(status, 'What is.') }),
    }),
    doc,
  );
  const field = path.reduce<Field>((at, name, i) => stepInto(at, name, [kind, ...path.slice(0, i)].join('.')), root);
  const traits = traitsOf(field);
  const head = [
    `${[kind, ...path].join('.')}  <${typeName(field.type)}>${traits.length > 0 ? `  (${traits.join(', ')})` : ''}`,
    `  ${field.doc}`,
  ];
  const below = fieldsOf(field.type);
  return `${[...head, ...(below ? ['', ...describeFields(below, '  ', recursive)] : [])].join('\n')}\n`;
}

function stepInto(field: Field, name: string, at: string): Field {
  const fields = fieldsOf(field.type) ?? {};
  const found = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (found) return found;
  const known = Object.keys(fields);
  if (known.length === 0) throw new CommandError(`${at} has no fields`);
  const meant = nearest(name, known);
  throw new CommandError(
    `${at} has no field ${name}; ${meant ? `did you mean ${meant}?` : `known are ${known.join(', ')}`}`,
  );
}

function describeFields(
  fields: Readonly<Record<string, Field>>,
  indent: string,
  recursive: boolean,
): readonly string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const traits = traitsOf(field);
    const below = recursive ? fieldsOf(field.type) : undefined;
    return [
      `${indent}${name}  <${typeName(field.type)}>${traits.length > 0 ? `  (${traits.join(', ')})` : ''}`,
      `${indent}  ${field.doc}`,
      ...(below ? describeFields(below, `${indent}    `, true) : []),
    ];
  });
}
