// Where the policy commands get their resources from: files, or the datastore.

import type { KvStore } from '../../datastore/kv.ts';
import { kinds, resourcePrefix } from '../../datastore/model/index.ts';
import { kindsInGraph } from '../../felix/calc/fail-closed.ts';
import type { RawUpdate } from '../../felix/calc/graph.ts';
import { type Concern, concernOf } from '../../felix/explain/concern.ts';
import { resourcesOf } from '../../felix/explain/policy-test.ts';
import { PolicyWorld } from '../../felix/explain/policy-world.ts';
import { progressOf } from '../output/progress.ts';
import type { World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { readPolicyFiles } from './policy-files.ts';

export interface PolicySourceOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly namespace?: string;
}

const PAGE_SIZE = 2000;

/** `ends`: what is asked about, when it is not everything. */
export async function openPolicyWorld(
  options: PolicySourceOptions,
  world: World,
  ends?: readonly string[],
): Promise<PolicyWorld> {
  if (!options.filename) return new PolicyWorld(await readStore(options, world, ends));
  const { filename, recursive = false } = options;
  const { resources, tests } = await readPolicyFiles(filename, recursive, world);
  return PolicyWorld.of([...resources, ...tests.flatMap((test) => resourcesOf(test, resources))]);
}

function readStore(
  options: PolicySourceOptions,
  world: World,
  ends: readonly string[] | undefined,
): Promise<readonly RawUpdate[]> {
  return withResources(options, world, async ({ store }) => {
    const progress = progressOf(world);
    const entries: RawUpdate[] = [];
    const concern = ends && concernOf(ends, options.namespace);
    let revision: number | undefined;
    for (const prefix of prefixesFor(concern)) {
      revision = await readPrefix(store, prefix, revision, (page) => {
        for (const { key, value, modRevision } of page) entries.push({ key, value, revision: modRevision });
        progress(`${entries.length} resources read`);
      });
    }
    return entries;
  });
}

/** All of one revision; a picture of two would show a cluster that never was. */
async function readPrefix(
  store: KvStore,
  prefix: string,
  revision: number | undefined,
  take: (page: Awaited<ReturnType<KvStore['list']>>['entries']) => void,
): Promise<number> {
  let after: string | undefined;
  for (;;) {
    const page = await store.list(prefix, {
      limit: PAGE_SIZE,
      ...(after !== undefined && { after }),
      ...(revision !== undefined && { revision }),
    });
    revision ??= page.revision;
    take(page.entries);
    after = page.entries.at(-1)?.key;
    if (!page.more || after === undefined) return revision;
  }
}

/** Of a question about some namespaces, everything that is in no namespace, and of those only what decides there. */
function prefixesFor(concern: Concern | undefined): readonly string[] {
  return [...kindsInGraph].flatMap((kind) => {
    if (!concern) return [resourcePrefix(kind)];
    if (kind === 'Node') return concern.nodes ? [resourcePrefix(kind)] : [];
    // Rules select network sets of any namespace.
    if (kind === 'NetworkSet' || !kinds[kind].namespaced) return [resourcePrefix(kind)];
    return concern.namespaces.map((namespace) => resourcePrefix(kind, namespace));
  });
}
