// edit: a resource in the editor, checked and stored when it is closed; opened again with the faults while it has some.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkChange,
  type DraftOf,
  formatFault,
  idOf,
  type Kind,
  type Resource,
  resourceKey,
} from '../../datastore/model/index.ts';
import { ConflictError, ResourceError } from '../../datastore/resources.ts';
import { explainConflict } from '../conflict.ts';
import { namespaceFor, resolveKind } from '../kind-names.ts';
import { parseManifests } from '../manifests.ts';
import { formatYaml } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface EditOptions extends GlobalOptions {
  readonly namespace?: string;
}

const comment = (lines: readonly string[]): string => lines.map((line) => `# ${line}\n`).join('');
const withoutComments = (text: string): string => text.replace(/^#.*\n/gm, '');

export async function runEdit(kindName: string, name: string, options: EditOptions, world: World): Promise<void> {
  const kind = resolveKind(kindName);
  const namespace = namespaceFor(kind, options.namespace, undefined);
  await withResources(options, world, async (resources) => {
    const current: Resource = await resources.get(kind, name, namespace);
    const original = await formatYaml(current);
    const head = `Change what you like; lines with "#" in front are left out. Without a change nothing is stored.`;
    let text = comment([head]) + original;
    for (;;) {
      const edited = editText(text, `${kind}-${name}.yaml`, world);
      if (withoutComments(edited) === original || edited === text) {
        world.out('Edit cancelled, no changes made.\n');
        return;
      }
      const checked = await check(edited, current);
      if ('faults' in checked) {
        text =
          comment([head, 'It is not valid yet:', ...checked.faults.map((fault) => `  ${fault}`)]) +
          withoutComments(edited);
        continue;
      }
      try {
        // The checks made sure that it is of the kind that was opened.
        await resources.update(checked.resource as DraftOf<Kind>);
        world.out(`Successfully replaced 1 '${kind}' resource(s)\n`);
        return;
      } catch (error) {
        if (error instanceof ConflictError) throw await explainConflict(error, checked.resource, resources);
        if (!(error instanceof ResourceError)) throw error;
        text = comment([head, 'It was refused:', `  ${error.message}`]) + withoutComments(edited);
      }
    }
  });
}

function editText(text: string, name: string, world: World): string {
  const directory = mkdtempSync(join(tmpdir(), 'twillctl-'));
  const file = join(directory, name);
  try {
    writeFileSync(file, text, { mode: 0o600 });
    const editor = world.environment['VISUAL'] || world.environment['EDITOR'] || 'vi';
    const code = world.runEditor(editor, file);
    if (code !== 0)
      throw new CommandError(
        `the editor (${editor}) ended with ${code}, nothing was stored; set EDITOR to use another`,
      );
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function check(
  text: string,
  current: Resource,
): Promise<{ readonly resource: Resource } | { readonly faults: readonly string[] }> {
  try {
    const [manifest, ...others] = await parseManifests(text, 'the text');
    if (!manifest || others.length > 0) return { faults: ['leave exactly one resource'] };
    const result = checkChange(manifest.value, current);
    if (result.kind === 'invalid') return { faults: result.faults.map(formatFault) };
    if (resourceKey(idOf(result.resource)) !== resourceKey(idOf(current))) {
      return { faults: ['kind, name and namespace cannot change: create another resource for that'] };
    }
    return { resource: result.resource };
  } catch (error) {
    if (error instanceof CommandError) return { faults: error.message.split('\n') };
    throw error;
  }
}
