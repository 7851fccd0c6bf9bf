// datastore migrate import: what export wrote, ours or calicoctl's, into a datastore that holds nothing yet. Everything is
// checked before anything is written. The datastore is locked then and stays so: unlock it when the agents are to use it.

import { ipamOperations, TransferError } from '../../datastore/ipam-transfer.ts';
import { KvError, type KvStore, type Operation, type Transaction } from '../../datastore/kv.ts';
import { builtInTiers, type DraftOf, ipamRoot, type Kind, type Resource } from '../../datastore/model/index.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import type { Resources } from '../../datastore/resources.ts';
import { type CheckedManifest, checkManifests } from '../checked.ts';
import { parseManifests } from '../manifests.ts';
import { progressOf } from '../output/progress.ts';
import { CommandError, type World } from '../world.ts';
import { changeResource } from './change.ts';
import { type GlobalOptions, withResources } from './context.ts';
import { exportedKinds, PART_END } from './datastore-export.ts';
import { lockDatastore } from './datastore-lock.ts';
import { report, tryAll } from './outcome.ts';

export interface ImportOptions extends GlobalOptions {
  readonly filename: string;
  readonly force?: boolean;
}

interface Parts {
  readonly resources: readonly CheckedManifest[];
  readonly information: { readonly clusterGUID?: string; readonly calicoVersion?: string };
  readonly ipam: readonly Extract<Operation, { kind: 'put' }>[];
}

export async function runImport(options: ImportOptions, world: World): Promise<void> {
  const { filename } = options;
  const text = filename === '-' ? await world.readStdin() : world.readFile(filename);
  if (text === undefined) throw new CommandError(`open ${filename}: no such file or directory`);
  const parts = await readParts(text, filename === '-' ? 'standard input' : filename);
  await withResources(options, world, async (resources) => {
    if (!options.force) await refuseWhenNotEmpty(resources);
    await lockDatastore(resources, world);
    const show = progressOf(world);
    let done = 0;
    const outcome = await tryAll(
      parts.resources,
      ({ resource }) => ({ kind: resource.kind, ...resource.metadata }),
      async ({ resource }) => {
        await resources.apply(resource as DraftOf<Kind>);
        show(`${++done} of ${parts.resources.length} resources`);
      },
    );
    report(
      'apply',
      parts.resources.map(({ resource }) => resource.kind),
      outcome,
      world,
    );
    await changeResource(
      resources,
      { kind: 'ClusterInformation', name: 'default', namespace: undefined },
      (present) => ({
        ...present,
        spec: { ...present.spec, ...parts.information },
      }),
    );
    world.out('Importing IPAM resources\n');
    await writeIpam(resources.store, parts.ipam, options.force === true);
    world.out(`Successfully applied ${parts.ipam.length} IPAM resource(s)\n`);
    world.out(
      'Datastore information successfully imported. It is locked: when the agents are to use it, twillctl datastore migrate unlock.\n',
    );
  });
}

async function readParts(text: string, name: string): Promise<Parts> {
  if (text.startsWith('{"format":"twill-backup"')) {
    throw new CommandError(`${name} is a backup: twillctl datastore restore ${name}`);
  }
  const [resources, information, ipam, ...more] = text.split(new RegExp(`^${PART_END}`, 'm'));
  if (resources === undefined || information === undefined || ipam === undefined || more.length > 0) {
    throw new CommandError(
      `Error while reading migration file: Imported file: ${name} is improperly formatted. Try recreating with 'twillctl datastore migrate export'`,
    );
  }
  try {
    return {
      resources: checkManifests(await parseManifests(resources, name), undefined),
      information: readInformation(information, name),
      ipam: ipamOperations(ipam),
    };
  } catch (error) {
    if (error instanceof TransferError) throw new CommandError(`${name}: ${error.message}`);
    throw error;
  }
}

/** Who the cluster is, and what has run on it. Whether it is ready is not carried over. */
function readInformation(text: string, name: string): Parts['information'] {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`${name}: ClusterInformation: ${error instanceof Error ? error.message : String(error)}`);
  }
  const spec = isObject(given) && isObject(given['spec']) ? given['spec'] : undefined;
  if (!spec) throw new CommandError(`${name}: its second part is no ClusterInformation`);
  const { clusterGUID, calicoVersion } = spec;
  return {
    ...(typeof clusterGUID === 'string' && { clusterGUID }),
    ...(typeof calicoVersion === 'string' && { calicoVersion }),
  };
}

/** What every datastore has from its start, and the nodes that agents announce, are no reason to refuse. */
async function refuseWhenNotEmpty(resources: Resources): Promise<void> {
  const refuse = (found: string): never => {
    throw new CommandError(
      `Datastore already has Calico resources: Found existing ${found}. Use an empty datastore, or write over what is there with --force`,
    );
  };
  for (const kind of exportedKinds) {
    if (kind === 'Node') continue;
    for await (const page of resources.pages(kind)) {
      const [invalid] = page.invalid;
      const found = (page.resources as readonly Resource[]).find((resource) => !isMadeAtStart(resource))?.metadata.name;
      const name = found ?? invalid?.id.name;
      if (name !== undefined) refuse(`Calico ${kind} resource: ${name}`);
    }
  }
  const ipam = await resources.store.list(ipamRoot, { limit: 1, keysOnly: true });
  if (ipam.entries.length > 0) refuse('IPAM resources');
}

const isMadeAtStart = ({ kind, metadata, spec }: Resource): boolean =>
  (kind === 'Tier' && metadata.name in builtInTiers) ||
  (kind === 'FelixConfiguration' && metadata.name === 'default' && Object.keys(spec).length === 0);

/** Blocks are a few kilobytes each, and a transaction at most 1.5 MB. */
const OPERATIONS = 100;

/** In transactions that find none of their keys there, so that nothing of others is overwritten; unless that is wanted. */
async function writeIpam(store: KvStore, puts: Parts['ipam'], force: boolean): Promise<void> {
  for (let at = 0; at < puts.length; at += OPERATIONS) {
    const then = puts.slice(at, at + OPERATIONS);
    const compare = force ? [] : then.map(({ key }) => ({ key, target: 'version', is: 0 }) as const);
    if (await written(store, { compare, then })) continue;
    // An earlier attempt of ours may be what is there.
    for (const { key, value } of then) {
      if ((await store.get(key))?.value !== value) {
        throw new CommandError(
          `${key} was written by somebody else meanwhile; stop the agents and import again with --force`,
        );
      }
    }
  }
}

const attempts = 5;

async function written(store: KvStore, transaction: Transaction): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await store.transact(transaction)).succeeded;
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== 'unknown-outcome' || attempt === attempts) throw error;
    }
  }
}
