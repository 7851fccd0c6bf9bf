// Declarations → reference pages in Markdown: one per kind, and one for felix's parameters.

import type { KindDeclaration } from '../kinds/common.ts';
import { felixParameters } from '../kinds/felix/felix-configuration.ts';
import { declarationOf, type Kind, kinds } from '../kinds.ts';
import { fieldsOf, traitsOf, typeName } from './describe.ts';
import type { Field } from './types.ts';

const note = '<!-- Made by `npm run generate` from the declarations in datastore/model/kinds; do not edit. -->\n';
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

export const pageName = (kind: Kind): string => `${kind.toLowerCase()}.md`;

export function kindPage(declaration: KindDeclaration): string {
  const { kind, plural, shortNames, namespaced, doc, spec, status, readOnly, protectedNames } = declaration;
  const names = [plural, ...shortNames].map((name) => `\`${name}\``).join(', ');
  const remarks = [
    `${namespaced ? 'Namespaced' : 'Global'}. On the command line: ${names}.`,
    readOnly ? 'Written by Twill itself; people only read it.' : '',
    protectedNames.length > 0 ? `Cannot be deleted: ${protectedNames.join(', ')}.` : '',
  ];
  return [
    note,
    `# ${kind}\n`,
    `${doc}\n`,
    `${remarks.filter(Boolean).join(' ')}\n`,
    `Key in the datastore: \`/calico/resources/v3/projectcalico.org/${plural}/${namespaced ? 'NAMESPACE/' : ''}NAME\`\n`,
    ...section('spec', spec.fields),
    ...(status ? section('status', status.fields) : []),
  ].join('\n');
}

/** A table of one object's fields, then one for each object inside it. */
function section(path: string, fields: Readonly<Record<string, Field>>): readonly string[] {
  const entries = Object.entries(fields);
  const inner = entries.flatMap(([name, field]) => {
    const below = fieldsOf(field.type);
    const suffix = field.type.kind === 'list' ? '[]' : field.type.kind === 'map' ? '.*' : '';
    return below ? section(`${path}.${name}${suffix}`, below) : [];
  });
  if (entries.length === 0) return inner;
  return [
    `## ${path}\n`,
    '| Field | Type | |',
    '|---|---|---|',
    ...entries.map(([name, field]) => {
      const traits = traitsOf(field).join(', ');
      const text = traits === '' ? field.doc : `${field.doc} *${traits}*`;
      return `| \`${name}\` | ${cell(typeName(field.type))} | ${cell(text)} |`;
    }),
    '',
    ...inner,
  ];
}

export function indexPage(): string {
  const rows = (Object.keys(kinds) as Kind[]).map((kind) => {
    const { doc, shortNames, namespaced } = declarationOf(kind);
    return `| [${kind}](${pageName(kind)}) | ${shortNames.join(', ')} | ${namespaced ? 'yes' : ''} | ${cell(doc)} |`;
  });
  return [
    note,
    '# Resources\n',
    'All of `apiVersion: projectcalico.org/v3`. The same declarations give `twillctl explain`, the JSON schemas in `schemas/` for editors,',
    'and the CustomResourceDefinitions in `deploy/crds`. See also [felix’s parameters](felix-parameters.md) and [twillctl](twillctl.md).\n',
    '| Kind | Short names | Namespaced | What |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export function felixPage(): string {
  const rows = [...felixParameters.values()].map(({ name, field, type, default: fallback, doc }) => {
    const text = fallback === '' ? doc : `${doc} *default ${fallback}*`;
    return `| \`${name}\` | ${field ? `\`${field}\`` : '–'} | ${cell(typeName(type))} | ${cell(text)} |`;
  });
  return [
    note,
    '# Felix’s parameters\n',
    'Each parameter is taken from the first of these places that has it: the environment (`FELIX_` and the name, in any case), the file',
    '`felix.cfg`, the FelixConfiguration `node.NAME`, one whose `nodeSelector` matches, and the one called `default`. Parameters without a',
    'field are only for the environment and the file. Not every parameter of Calico’s has an effect in Twill; all of them are accepted.\n',
    '| Name | Field | Type | |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
