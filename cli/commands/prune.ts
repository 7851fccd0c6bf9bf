// apply --prune: deletes what carries the labels, is of a kind that the files have, and is not in the files.

import {
  declarationOf,
  type Kind,
  keyOf,
  labelsFrom,
  matches,
  parseSelector,
  type Resource,
  type Selector,
} from '../../datastore/model/index.ts';
import { NotFoundError, type Resources } from '../../datastore/resources.ts';
import { CommandError } from '../world.ts';

/** Returns what it deleted. Only namespaces that occur in the files are looked at. */
export async function pruneOthers(
  kept: readonly Resource[],
  labels: string,
  resources: Resources,
): Promise<readonly Resource[]> {
  const selector = readLabelSelector(labels);
  const keys = new Set(kept.map(keyOf));
  const gone: Resource[] = [];
  for (const [kind, namespaces] of places(kept)) {
    for (const namespace of namespaces) {
      const found: readonly Resource[] = (await resources.list(kind, namespace)).resources;
      for (const resource of found) {
        const { metadata } = resource;
        const { protectedNames } = declarationOf(kind);
        if (keys.has(keyOf(resource)) || protectedNames.includes(metadata.name)) continue;
        if (!matches(selector, labelsFrom(metadata.labels))) continue;
        try {
          await resources.delete(kind, metadata.name, metadata.namespace, metadata.resourceVersion);
          gone.push(resource);
        } catch (error) {
          if (!(error instanceof NotFoundError)) throw error;
        }
      }
    }
  }
  return gone;
}

/** Policies go before the tiers that hold them: kinds in the reverse order of the files. */
function places(kept: readonly Resource[]): readonly (readonly [Kind, ReadonlySet<string | undefined>])[] {
  const found = new Map<Kind, Set<string | undefined>>();
  for (const { kind, metadata } of kept) {
    const namespaces = found.get(kind) ?? new Set();
    namespaces.add(metadata.namespace);
    found.set(kind, namespaces);
  }
  return [...found].reverse();
}

/** Calico's selectors, and kubectl's `app=web,tier!=db`. */
export function readLabelSelector(text: string): Selector {
  const terms = text.split(',').map((term) => /^\s*([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)\s*$/.exec(term));
  const source = terms.every((term) => term !== null)
    ? terms.map(([, key, operator, value]) => `${key} ${operator === '!=' ? '!=' : '=='} "${value}"`).join(' && ')
    : text;
  const parsed = parseSelector(source);
  if (parsed.kind === 'error') throw new CommandError(`-l ${text}: ${parsed.problem}; ${parsed.remedy}`);
  return parsed.selector;
}
