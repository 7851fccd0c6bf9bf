// Resources as YAML and JSON documents, in calicoctl's forms.

import { apiVersion, type Kind, type Metadata, type Resource } from '../../datastore/model/index.ts';
import { nameAnnotation } from '../../datastore/resources.ts';
import type { YamlWriter } from './yaml-text.ts';

export const formatJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

let writer: Promise<YamlWriter> | undefined;

export function yamlWriter(): Promise<YamlWriter> {
  writer ??= Promise.all([import('../yaml.ts'), import('./yaml-text.ts')]).then(
    ([{ stringify }, { YamlWriter }]) => new YamlWriter(stringify),
  );
  return writer;
}

/** Fields in alphabetical order, as calicoctl has them; quoted so that readers of YAML 1.1 see the same. */
export const formatYaml = async (value: unknown): Promise<string> => (await yamlWriter()).document(value);

/** What `get KIND` shows: one list object. */
export const listOf = (kind: Kind, items: readonly unknown[], revision: number) => ({
  kind: `${kind}List`,
  apiVersion,
  metadata: { resourceVersion: String(revision) },
  items,
});

/** Without what belongs to one cluster: for `--export`. */
export function exported(resource: Resource): unknown {
  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _created,
    namespace: _namespace,
    ...metadata
  } = resource.metadata;
  return { ...resource, metadata: withoutNameAnnotation(metadata) };
}

/** Without the copy of a policy's name that every client of the datastore writes by itself. */
export function withoutNameAnnotation<M extends Pick<Metadata, 'annotations'>>(metadata: M): M {
  if (metadata.annotations?.[nameAnnotation] === undefined) return metadata;
  const { [nameAnnotation]: _name, ...annotations } = metadata.annotations;
  const { annotations: _all, ...others } = metadata;
  return (Object.keys(annotations).length === 0 ? others : { ...others, annotations }) as M;
}
