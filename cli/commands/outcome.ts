// What became of several resources, in calicoctl's words.

import { formatFault, type Kind } from '../../datastore/model/index.ts';
import { InvalidError, ResourceError } from '../../datastore/resources.ts';
import { CommandError, type World } from '../world.ts';

export type Verb = 'create' | 'apply' | 'replace' | 'delete';

const past: Readonly<Record<Verb, string>> = {
  create: 'created',
  apply: 'applied',
  replace: 'replaced',
  delete: 'deleted',
};

export interface Outcome {
  readonly done: number;
  readonly failures: readonly { readonly where: string; readonly message: string }[];
}

/** How many are under way at once: enough for a store to take many with one sync of its disk. */
const atOnce = 64;

/** What the checks of other resources ask for: policies need their tier, pools must not overlap. */
const alone: ReadonlySet<Kind> = new Set(['Tier', 'IPPool']);

interface Place {
  readonly kind: Kind;
  readonly name: string;
  readonly namespace?: string | undefined;
}

/**
 * Each of the items in turn, several at once where their order makes no difference. A failure does not keep the others from
 * being tried; what is told comes in the order of the items.
 */
export async function tryAll<T extends { readonly where: string }>(
  items: readonly T[],
  placeOf: (item: T) => Place,
  work: (item: T) => Promise<void>,
): Promise<Outcome> {
  const failures: { where: string; message: string }[] = [];
  for (const batch of independent(items, placeOf)) {
    const errors = await settle(batch, work);
    // What is no fault of one resource ends everything, as a store that has gone.
    const end = errors.find((error) => error !== undefined && !(error instanceof ResourceError));
    if (end !== undefined) throw end;
    for (const [i, { where }] of batch.entries()) {
      const error = errors[i];
      if (error instanceof ResourceError) failures.push({ where, message: messageOf(error) });
    }
  }
  return { done: items.length - failures.length, failures };
}

/** Runs of items that have nothing to do with each other. */
function independent<T>(items: readonly T[], placeOf: (item: T) => Place): readonly (readonly T[])[] {
  const batches: T[][] = [];
  let open: T[] | undefined;
  const inBatch = new Set<string>();
  for (const item of items) {
    const { kind, name, namespace = '' } = placeOf(item);
    const place = `${kind} ${namespace}/${name}`;
    if (open === undefined || alone.has(kind) || inBatch.has(place)) {
      open = [];
      batches.push(open);
      inBatch.clear();
    }
    open.push(item);
    inBatch.add(place);
    if (alone.has(kind)) open = undefined;
  }
  return batches;
}

/** The error of each item. After one that ends everything no further item is begun. */
async function settle<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<readonly unknown[]> {
  const errors: unknown[] = items.map(() => undefined);
  const waiting = items.entries();
  let ended = false;
  const worker = async (): Promise<void> => {
    for (const [i, item] of waiting) {
      if (ended) return;
      try {
        await work(item);
      } catch (error) {
        errors[i] = error;
        ended ||= !(error instanceof ResourceError);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return errors;
}

function messageOf(error: ResourceError): string {
  if (!(error instanceof InvalidError)) return error.message;
  const { kind, name } = error.id;
  return `${kind} ${name} is not valid: ${error.faults.map(formatFault).join('; ')}`;
}

export function report(
  verb: Verb,
  kinds: readonly Kind[],
  { done, failures }: Outcome,
  world: World,
  dryRun = false,
): void {
  const [single] = new Set(kinds).size === 1 ? kinds : [];
  const quoted = single ? ` '${single}'` : '';
  if (failures.length === 0) {
    world.out(
      `Successfully ${past[verb]} ${done}${quoted} resource(s)${dryRun ? ' (dry run: nothing was stored)' : ''}\n`,
    );
    return;
  }
  const reasons = failures.map(({ where, message }) => `${where}: ${message}`).join('\n');
  if (done > 0) {
    world.out(`Partial success: ${past[verb]} ${done} out of ${kinds.length}${quoted} resources:\n`);
    throw new CommandError(`Hit error(s): ${reasons}`);
  }
  if (kinds.length === 1) throw new CommandError(`Failed to ${verb}${quoted} resource: ${reasons}`);
  throw new CommandError(`Failed to ${verb} any${quoted} resources: ${reasons}`);
}
