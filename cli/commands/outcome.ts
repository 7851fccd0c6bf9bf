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

/** One after the other; a failure does not keep the others from being tried. */
export async function inOrder<T extends { readonly where: string }>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<Outcome> {
  const failures: { where: string; message: string }[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      if (!(error instanceof ResourceError)) throw error;
      failures.push({ where: item.where, message: messageOf(error) });
    }
  }
  return { done: items.length - failures.length, failures };
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
