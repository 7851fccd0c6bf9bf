// Where the policy commands get their resources from: files, or the datastore.

import type { RawUpdate } from '../../felix/calc/graph.ts';
import { resourcesOf } from '../../felix/explain/policy-test.ts';
import { PolicyWorld } from '../../felix/explain/policy-world.ts';
import type { World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { readPolicyFiles } from './policy-files.ts';

export interface PolicySourceOptions extends GlobalOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly namespace?: string;
}

const RESOURCES = '/calico/resources/v3/projectcalico.org/';
const PAGE_SIZE = 2000;

export async function openPolicyWorld(options: PolicySourceOptions, world: World): Promise<PolicyWorld> {
  if (!options.filename) return new PolicyWorld(await readStore(options, world));
  const { filename, recursive = false } = options;
  const { resources, tests } = await readPolicyFiles(filename, recursive, world);
  return PolicyWorld.of([...resources, ...tests.flatMap((test) => resourcesOf(test, resources))]);
}

function readStore(options: PolicySourceOptions, world: World): Promise<readonly RawUpdate[]> {
  return withResources(options, world, async ({ store }) => {
    const entries: RawUpdate[] = [];
    let after: string | undefined;
    let revision: number | undefined;
    for (;;) {
      const page = await store.list(RESOURCES, {
        limit: PAGE_SIZE,
        ...(after !== undefined && { after }),
        ...(revision !== undefined && { revision }),
      });
      revision ??= page.revision;
      for (const { key, value, modRevision } of page.entries) entries.push({ key, value, revision: modRevision });
      after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) return entries;
    }
  });
}
