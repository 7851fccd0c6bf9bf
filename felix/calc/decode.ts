// Stored text → a valid resource, or what an invalid one counts as (fail-closed.ts), and what was wrong with it.

import {
  decodeResource,
  type Fault,
  parseResourceKey,
  type Resource,
  type ResourceId,
} from '../../datastore/model/index.ts';
import { closedForm, kindsInGraph, withGivenLabels } from './fail-closed.ts';
import { readRemoteWorkload } from './remote-workload.ts';

export interface Decoded {
  readonly id: ResourceId;
  /** Undefined: deleted, or invalid in a way that leaves nothing. */
  readonly resource: Resource | undefined;
  readonly faults: readonly Fault[];
}

/** What the syncer reports for one key. */
export interface RawUpdate {
  readonly key: string;
  /** Undefined: deleted. */
  readonly value: string | undefined;
  /** Mod revision of the change. */
  readonly revision: number;
}

/** Whether an endpoint is one that the graph works for. */
export type IsLocal = (endpoint: ResourceId, node: string | undefined) => boolean;

const noFaults: readonly Fault[] = [];

/** Undefined for keys that the graph has no use for. */
export function decode(update: RawUpdate, isLocal: IsLocal): Decoded | undefined {
  const id = parseResourceKey(update.key);
  if (!id || !kindsInGraph.has(id.kind)) return undefined;
  if (update.value === undefined) return { id, resource: undefined, faults: noFaults };
  const remote = id.kind === 'WorkloadEndpoint' ? readRemoteWorkload(id, update.value, isLocal) : undefined;
  if (remote) return { id, resource: remote, faults: noFaults };
  const result = read(id, update.value, update.revision);
  if (result.kind === 'valid') return { id, resource: placed(id, result.resource), faults: noFaults };
  const { faults, given: original } = result;
  let given: unknown = original;
  let current = faults;
  for (const last of [false, true]) {
    const repaired = closedForm(id, given, current, last);
    if (repaired === undefined) break;
    const again = read(id, JSON.stringify(repaired), update.revision);
    if (again.kind === 'valid') {
      return { id, resource: withGivenLabels(placed(id, again.resource), original), faults };
    }
    given = again.given;
    current = again.faults;
  }
  return { id, resource: undefined, faults };
}

function read(id: ResourceId, value: string, revision: number): ReturnType<typeof decodeResource> {
  return decodeResource(id.kind, { value, modRevision: revision });
}

/** The key says what a resource is called, whatever its metadata claims. */
function placed(id: ResourceId, resource: Resource): Resource {
  const { metadata } = resource;
  if (metadata.name === id.name && metadata.namespace === id.namespace) return resource;
  const { namespace: _, ...rest } = metadata;
  return {
    ...resource,
    metadata: { ...rest, name: id.name, ...(id.namespace !== undefined && { namespace: id.namespace }) },
  };
}
