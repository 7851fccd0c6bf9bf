// Manifests → checked resources. All faults of all resources are gathered before anything is written.

import {
  checkResource,
  declarationOf,
  formatFault,
  isKind,
  type Kind,
  type Resource,
} from '../datastore/model/index.ts';
import { isObject } from '../datastore/model/schema/check.ts';
import { namespaceFor } from './kind-names.ts';
import type { Manifest } from './manifests.ts';
import { CommandError } from './world.ts';

export interface CheckedManifest {
  readonly where: string;
  readonly resource: Resource;
}

/** Throws one CommandError that lists, by file and resource, every fault. */
export function checkManifests(
  manifests: readonly Manifest[],
  namespace: string | undefined,
): readonly CheckedManifest[] {
  const checked: CheckedManifest[] = [];
  const problems: string[] = [];
  for (const manifest of manifests) {
    const result = checkOne(manifest, namespace);
    if ('resource' in result) checked.push(result);
    else
      problems.push(
        `${manifest.where}: ${describe(manifest.value)}\n${result.faults.map((fault) => `  ${fault}`).join('\n')}`,
      );
  }
  if (problems.length === 0) return checked;
  const summary =
    manifests.length === 1
      ? 'the resource is not valid, nothing was stored'
      : `${problems.length} of ${manifests.length} resources are not valid, nothing was stored`;
  throw new CommandError(`${problems.join('\n')}\nFailed to execute command: ${summary}`);
}

function checkOne(
  manifest: Manifest,
  namespace: string | undefined,
): CheckedManifest | { readonly faults: readonly string[] } {
  const { value } = manifest;
  try {
    const result = checkResource(withNamespace(value, namespace));
    if (result.kind === 'invalid') return { faults: result.faults.map(formatFault) };
    const refusal = refusalToWrite(result.resource);
    if (refusal !== undefined) return { faults: [refusal] };
    return { where: manifest.where, resource: result.resource };
  } catch (error) {
    if (error instanceof CommandError) return { faults: [error.message] };
    throw error;
  }
}

/** What calicoctl does not let people write either. */
function refusalToWrite({ kind, metadata }: Resource): string | undefined {
  if (declarationOf(kind).readOnly)
    return `kind: operation not supported: a ${kind} is written by Twill alone; remove it`;
  if (kind === 'ClusterInformation') {
    return 'kind: operation not supported: ClusterInformation is populated by Twill; to lock the datastore, use twillctl datastore migrate lock';
  }
  return kind === 'NetworkPolicy' ? refusalOfKubernetesPolicy(metadata.name) : undefined;
}

/** Policies of Kubernetes are stored under such names. */
export const refusalOfKubernetesPolicy = (name: string): string | undefined =>
  name.startsWith('knp.default.')
    ? `operation not supported: NetworkPolicy ${name}: kubernetes network policies must be managed through the kubernetes API`
    : undefined;

function withNamespace(value: unknown, wanted: string | undefined): unknown {
  if (!isObject(value) || typeof value['kind'] !== 'string' || !isKind(value['kind'])) return value;
  const metadata = isObject(value['metadata']) ? value['metadata'] : {};
  const own = metadata['namespace'];
  // What is no text is for the checks to refuse.
  if (own !== undefined && own !== null && typeof own !== 'string') return value;
  const namespace = namespaceFor(value['kind'], wanted, own || undefined);
  if (namespace === undefined) return value;
  return { ...value, metadata: { ...metadata, namespace } };
}

/** "IPPool main", as far as the manifest says. */
function describe(value: unknown): string {
  if (!isObject(value)) return 'not a resource';
  const name = isObject(value['metadata']) ? value['metadata']['name'] : undefined;
  return [value['kind'] ?? 'resource without kind', name].filter((part) => part !== undefined).join(' ');
}

export interface IdentifiedManifest {
  readonly where: string;
  readonly kind: Kind;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly resourceVersion?: string;
}

/** For commands that only need to know which resources are meant: the rest of the manifest may be wrong. */
export function identifyManifests(
  manifests: readonly Manifest[],
  wanted: string | undefined,
): readonly IdentifiedManifest[] {
  return manifests.map(({ where, value }) => {
    const metadata = isObject(value) && isObject(value['metadata']) ? value['metadata'] : {};
    const { name, namespace, resourceVersion } = metadata;
    const kind = isObject(value) ? value['kind'] : undefined;
    if (typeof kind !== 'string' || !isKind(kind) || typeof name !== 'string') {
      throw new CommandError(
        `Failed to execute command: ${where}: ${describe(value)}: kind and metadata.name must be given`,
      );
    }
    const own = typeof namespace === 'string' && namespace !== '' ? namespace : undefined;
    return {
      where,
      kind,
      name,
      namespace: namespaceFor(kind, wanted, own),
      ...(typeof resourceVersion === 'string' && { resourceVersion }),
    };
  });
}
