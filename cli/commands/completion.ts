// completion: scripts for bash, zsh and fish, and the answers to what they ask: commands, flags, kinds, names.

import type { Command } from 'commander';
import { declarationOf, type Kind, kinds, parseResourceKey, resourcePrefix } from '../../datastore/model/index.ts';
import { listAll } from '../ipam-data.ts';
import { namesOfKind, resolveKind } from '../kind-names.ts';
import { CommandError, type World } from '../world.ts';
import { withResources } from './context.ts';

const bash = `# twillctl completion for bash: source <(twillctl completion bash)
_twillctl() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD-1}") current="\${COMP_WORDS[COMP_CWORD]}"
  local found
  found="$(twillctl __complete -- "\${words[@]}" "$current" 2>/dev/null)" || return
  mapfile -t COMPREPLY < <(compgen -W "$found" -- "$current")
  [[ "$found" == "__files__" ]] && mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _twillctl twillctl
`;

const zsh = `#compdef twillctl
# twillctl completion for zsh: source <(twillctl completion zsh)
_twillctl() {
  local found
  found="$(twillctl __complete -- "\${(@)words[2,CURRENT-1]}" "\${words[CURRENT]}" 2>/dev/null)" || return
  if [[ "$found" == "__files__" ]]; then _files; else compadd -- \${(f)found}; fi
}
compdef _twillctl twillctl
`;

const fish = `# twillctl completion for fish: twillctl completion fish | source
function __twillctl_complete
  set -l found (twillctl __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
  if test "$found" = "__files__"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c twillctl -f -a '(__twillctl_complete)'
`;

const scripts: ReadonlyMap<string, string> = new Map(Object.entries({ bash, zsh, fish }));

export function runCompletion(shell: string, world: World): void {
  const script = scripts.get(shell);
  if (!script) throw new CommandError(`there is no completion for ${shell}; there is for bash, zsh and fish`);
  world.out(script);
}

const answerTimeoutMs = 800;

/** Prints one candidate a line; "__files__" alone asks the shell to complete file names. */
export async function runComplete(program: Command, words: readonly string[], world: World): Promise<void> {
  const current = words.at(-1) ?? '';
  const candidates = await candidatesFor(program, words.slice(0, -1), current, world);
  world.out(
    [...new Set(candidates)]
      .filter((word) => word === '__files__' || word.startsWith(current))
      .map((word) => `${word}\n`)
      .join(''),
  );
}

async function candidatesFor(
  program: Command,
  before: readonly string[],
  current: string,
  world: World,
): Promise<readonly string[]> {
  const { command, positional } = walk(program, before);
  const awaiting = optionAwaiting(command, before.at(-1));
  if (awaiting === '--filename' || awaiting === '--config' || awaiting === '--go-template-file') return ['__files__'];
  if (awaiting === '--output')
    return ['ps', 'wide', 'yaml', 'json', 'custom-columns=', 'go-template=', 'go-template-file='];
  if (awaiting === '--namespace') return await fromDatastore(world, namespaces);
  if (awaiting !== undefined) return [];
  if (current.startsWith('-')) {
    return command.options
      .filter((option) => !option.hidden)
      .flatMap((option) => [option.long, option.short].filter((flag) => flag != null));
  }
  const names = command.commands.map((child) => child.name()).filter((name) => !name.startsWith('_'));
  if (names.length > 0) return names;
  return await argumentCandidates(command, positional, before, current, world);
}

async function argumentCandidates(
  command: Command,
  positional: readonly string[],
  before: readonly string[],
  current: string,
  world: World,
): Promise<readonly string[]> {
  const [first] = command.registeredArguments;
  if (command.name() === 'completion') return [...scripts.keys()];
  if (first?.name() !== 'kind' && command.name() !== 'explain') return [];
  const [kindName] = positional;
  if (kindName === undefined) return kindNames(current);
  if (command.name() === 'explain') return [];
  const kind = resolveKind(kindName);
  const at = before.findIndex((word) => word === '-n' || word === '--namespace');
  const namespace = at < 0 ? 'default' : before[at + 1];
  return await fromDatastore(world, async (list) =>
    (await list(resourcePrefix(kind, namespace))).flatMap((key) => parseResourceKey(key)?.name ?? []),
  );
}

/** Short names only for those who have begun to type one. */
const kindNames = (current: string): readonly string[] =>
  (Object.keys(kinds) as Kind[]).flatMap((kind) => (current === '' ? [declarationOf(kind).plural] : namesOfKind(kind)));

/** The command that the words lead to, and its arguments so far. */
function walk(
  program: Command,
  words: readonly string[],
): { readonly command: Command; readonly positional: readonly string[] } {
  let command = program;
  const positional: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word.startsWith('-')) {
      if (optionAwaiting(command, word) !== undefined) i++;
      continue;
    }
    const child = command.commands.find((candidate) => candidate.name() === word);
    if (child && positional.length === 0) command = child;
    else positional.push(word);
  }
  return { command, positional };
}

/** The long name of the option that this word is, when it takes a value. */
function optionAwaiting(command: Command, word: string | undefined): string | undefined {
  const option = command.options.find(({ long, short }) => word !== undefined && (long === word || short === word));
  return option && (option.required || option.optional) ? (option.long ?? undefined) : undefined;
}

type ListKeys = (prefix: string) => Promise<readonly string[]>;

/** A shell does not wait: no datastore, or a slow one, means no candidates. */
async function fromDatastore(
  world: World,
  work: (list: ListKeys) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const answer = withResources({}, world, (resources) =>
    work(async (prefix) => (await listAll(resources.store, prefix)).map((entry) => entry.key)),
  ).catch(() => []);
  const timeout = new Promise<readonly string[]>((resolve) => {
    setTimeout(() => resolve([]), answerTimeoutMs).unref();
  });
  return await Promise.race([answer, timeout]);
}

const namespaces = async (list: ListKeys): Promise<readonly string[]> => {
  const found = new Set<string>();
  for (const kind of ['WorkloadEndpoint', 'NetworkPolicy', 'NetworkSet'] as const) {
    for (const key of await list(resourcePrefix(kind))) found.add(parseResourceKey(key)?.namespace ?? '');
  }
  found.delete('');
  return [...found];
};
