// patch and label: read one resource, change it, write it back if nobody else did meanwhile.

import { checkChange, type DraftOf, formatFault, type Kind, type Resource } from '../../datastore/model/index.ts';
import { ConflictError, NotFoundError, ResourceError, type Resources } from '../../datastore/resources.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { jsonPatch, mergePatch, type PatchResult, strategicMergePatch } from '../patch.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

const attempts = 5;

/** Throws NotFoundError, InvalidError or CommandError; another's change in between is taken in and tried again. */
export async function changeResource(
  resources: Resources,
  target: { readonly kind: Kind; readonly name: string; readonly namespace: string | undefined },
  change: (resource: Resource) => unknown,
): Promise<Resource> {
  for (let attempt = 1; ; attempt++) {
    const current: Resource = await resources.get(target.kind, target.name, target.namespace);
    const checked = checkChange(change(current), current);
    if (checked.kind === 'invalid') {
      const faults = checked.faults.map((fault) => `  ${formatFault(fault)}`).join('\n');
      throw new CommandError(`${target.kind} ${target.name} would not be valid, nothing was stored\n${faults}`);
    }
    try {
      // The checks gave back a resource of the kind that went in.
      return await resources.update(checked.resource as DraftOf<Kind>);
    } catch (error) {
      if (!(error instanceof ConflictError) || attempt === attempts) throw error;
    }
  }
}

export interface PatchOptions extends GlobalOptions {
  readonly patch: string;
  readonly type?: string;
  readonly namespace?: string;
}

export async function runPatch(kindName: string, name: string, options: PatchOptions, world: World): Promise<void> {
  const kind = resolveKind(kindName);
  const target = { kind, name, namespace: namespaceFor(kind, options.namespace, undefined) };
  const patch = await parsePatch(options.patch);
  const type = options.type ?? 'strategic';
  const apply = patches[type];
  if (apply === undefined) throw new CommandError(`--type must be one of strategic, json, merge; not ${type}`);
  await withResources(options, world, async (resources) => {
    try {
      await changeResource(resources, target, (resource) => {
        const result = apply(resource, patch);
        if (result.kind === 'refused') throw new CommandError(`Hit error: ${result.problem}`);
        return result.value;
      });
    } catch (error) {
      if (error instanceof ResourceError)
        throw new CommandError(`Failed to patch '${kind}' resource: ${error.message}`);
      throw error;
    }
    world.out(`Successfully patched 1 '${kind}' resource\n`);
  });
}

const patches: Readonly<Record<string, (target: unknown, patch: unknown) => PatchResult>> = {
  strategic: strategicMergePatch,
  merge: (target, patch) => ({ kind: 'patched', value: mergePatch(target, patch) }),
  json: jsonPatch,
};

async function parsePatch(text: string): Promise<unknown> {
  const { parse } = await import('../yaml.ts');
  try {
    return parse(text);
  } catch (error) {
    throw new CommandError(
      `the patch is neither JSON nor YAML: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

export interface LabelOptions extends GlobalOptions {
  readonly overwrite?: boolean;
  readonly remove?: boolean;
  readonly namespace?: string;
}

export async function runLabel(
  kindName: string,
  name: string,
  words: readonly string[],
  options: LabelOptions,
  world: World,
): Promise<void> {
  const kind = resolveKind(kindName);
  const target = { kind, name, namespace: namespaceFor(kind, options.namespace, undefined) };
  const done: string[] = [];
  await withResources(options, world, async (resources) => {
    try {
      await changeResource(resources, target, (resource) => {
        done.length = 0;
        const labels = { ...resource.metadata.labels };
        for (const word of words) done.push(changeLabel(labels, word, `${kindName} ${name}`, options));
        return { ...resource, metadata: { ...resource.metadata, labels } };
      });
    } catch (error) {
      if (error instanceof NotFoundError)
        throw new CommandError(`failed to get ${kindName} ${name}, error ${error.message}`);
      if (error instanceof ResourceError)
        throw new CommandError(`failed to update ${kindName} ${name}, label not changed: ${error.message}`);
      throw error;
    }
    world.out(done.join(''));
  });
}

/** Changes `labels` in place; returns what to say about it. */
function changeLabel(labels: Record<string, string>, word: string, what: string, options: LabelOptions): string {
  if (options.remove) {
    const key = word.replace(/=.*$/, '');
    if (labels[key] === undefined) throw new CommandError(`cannot remove label of ${what}, key ${key} does not exist`);
    delete labels[key];
    return `Successfully removed label ${key} from ${what}\n`;
  }
  const [, key, value] = /^([^=]+)=([^=]*)$/.exec(word) ?? [];
  if (key === undefined || value === undefined) throw new CommandError(`invalid label ${word}; write key=value`);
  const before = labels[key];
  if (before !== undefined && before !== value && !options.overwrite) {
    throw new CommandError(
      `failed to update label of ${what}, key ${key} is already present. please use '--overwrite' to set a new value.`,
    );
  }
  labels[key] = value;
  return `Successfully ${before === undefined ? 'set' : 'updated'} label ${key} on ${what}\n`;
}
