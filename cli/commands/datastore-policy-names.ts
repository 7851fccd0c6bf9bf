// datastore migrate-policy-names: each policy is renamed in one transaction, so that agents never see none of it or both, and
// an interrupted run is simply started again. Where both names are there already and say the same, as calicoctl's own migration
// leaves them when it is interrupted, the old one goes; where they differ, somebody has to decide.

import type { KvEntry, KvStore, Operation } from '../../datastore/kv.ts';
import { resourcePrefix } from '../../datastore/model/index.ts';
import { pagesOf } from '../../datastore/pages.ts';
import { type Renaming, renamedKinds, renamingOf, samePolicy } from '../../datastore/policy-names.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface PolicyNamesOptions extends GlobalOptions {
  readonly dryRun?: boolean;
}

export async function runPolicyNames({ dryRun = false, ...options }: PolicyNamesOptions, world: World): Promise<void> {
  await withResources(options, world, async ({ store }) => {
    const conflicts: string[] = [];
    let renamed = 0;
    for (const kind of renamedKinds) {
      for await (const { entries } of pagesOf(store, resourcePrefix(kind))) {
        for (const entry of entries) {
          const renaming = renamingOf(entry);
          if (!renaming) continue;
          const happened = await rename(store, entry, renaming, dryRun);
          if (happened === 'differs') {
            conflicts.push(
              `${describe(renaming)}: both are there and differ; delete the one that is not wanted, then run this again`,
            );
            continue;
          }
          renamed++;
          world.out(`${describe(renaming)}${happened === 'was there' ? ' (was there already)' : ''}\n`);
        }
      }
    }
    world.out(
      dryRun
        ? `${renamed} policies would be renamed (dry run: nothing was changed).\n`
        : `Policy name migration complete, migrated ${renamed} policies.\n`,
    );
    if (conflicts.length > 0) throw new CommandError(conflicts.join('\n'));
  });
}

const describe = ({ from, to }: Renaming): string =>
  `${from.kind} ${from.namespace === undefined ? '' : `${from.namespace}/`}${from.name} → ${to.name}`;

type Happened = 'renamed' | 'was there' | 'differs';

async function rename(store: KvStore, found: KvEntry, first: Renaming, dryRun: boolean): Promise<Happened> {
  let entry: KvEntry | undefined = found;
  let renaming: Renaming | undefined = first;
  while (entry && renaming) {
    const present = await store.get(renaming.key);
    if (present && !samePolicy(present.value, renaming.value)) return 'differs';
    const happened = present ? 'was there' : 'renamed';
    if (dryRun) return happened;
    const put: readonly Operation[] = present ? [] : [{ kind: 'put', key: renaming.key, value: renaming.value }];
    const { succeeded } = await store.transact({
      compare: [
        { key: entry.key, target: 'modRevision', is: entry.modRevision },
        { key: renaming.key, target: 'modRevision', is: present?.modRevision ?? 0 },
      ],
      then: [...put, { kind: 'delete', key: entry.key }],
    });
    if (succeeded) return happened;
    // Somebody was at one of the two meanwhile: look again.
    entry = await store.get(entry.key);
    renaming = entry && renamingOf(entry);
  }
  return 'was there';
}
