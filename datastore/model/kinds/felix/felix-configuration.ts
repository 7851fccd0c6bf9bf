// FelixConfiguration: the parameters as a resource, and the table of all of them for felix's own configuration.

import { text } from '../../schema/scalars.ts';
import { selector } from '../../schema/scalars-names.ts';
import { type Field, object, optional, type Type } from '../../schema/types.ts';
import { kind } from '../common.ts';
import { bpfParameters } from './bpf.ts';
import { dataplaneParameters } from './dataplane.ts';
import { localParameters } from './local.ts';
import { overlayParameters } from './overlay.ts';
import type { FelixParameter } from './parameter.ts';
import { processParameters } from './process.ts';

/** Parameters by their field in FelixConfiguration. */
export const felixFields = { ...processParameters, ...dataplaneParameters, ...bpfParameters, ...overlayParameters };

export type FelixField = keyof typeof felixFields;

/** Every parameter by its name in lower case, with the field that sets it, when there is one. */
export const felixParameters: ReadonlyMap<string, FelixParameter & { readonly field?: FelixField }> = new Map([
  ...localParameters.map((parameter) => [parameter.name.toLowerCase(), parameter] as const),
  ...entriesOf(felixFields).map(
    ([field, parameter]) => [parameter.name.toLowerCase(), { ...parameter, field }] as const,
  ),
]);

function entriesOf<T extends object>(record: T): [keyof T, T[keyof T]][] {
  return Object.entries(record) as [keyof T, T[keyof T]][];
}

type SpecFields<T extends Readonly<Record<string, FelixParameter>>> = {
  readonly [K in keyof T]: Field<T[K]['type'], 'optional'>;
};

function specFields<T extends Readonly<Record<string, FelixParameter>>>(parameters: T): SpecFields<T> {
  const fields: Record<string, Field<Type, 'optional'>> = {};
  for (const [field, { type, doc, default: fallback }] of Object.entries(parameters)) {
    fields[field] = optional(type, fallback === '' ? doc : `${doc} Default: ${fallback}.`);
  }
  return fields as SpecFields<T>;
}

export const felixConfiguration = kind('FelixConfiguration', {
  plural: 'felixconfigurations',
  shortNames: ['felixconfig', 'felixconfigs'],
  doc: 'Settings of felix for the whole cluster (default), one node (node.NAME), or the nodes of a selector.',
  name: text({
    name: 'name',
    pattern: /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    maxLength: 253,
    remedy: 'call it default, or node.NAME',
  }),
  spec: object(
    {
      nodeSelector: optional(
        selector(),
        'Nodes that these settings are for, when the name is neither default nor node.NAME.',
      ),
      ...specFields(felixFields),
    },
    (spec, report) => {
      if (spec.routeTableRange && spec.routeTableRanges) {
        report('routeTableRange', 'is set together with routeTableRanges', 'keep routeTableRanges');
      }
    },
  ),
});
