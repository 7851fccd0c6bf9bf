// twillctl's reference page, from the definitions of its commands.

import type { Command } from 'commander';
import { examplesOf } from './examples.ts';
import { buildProgram } from './program.ts';
import type { World } from './world.ts';

/** For building the command line without running it. */
export const emptyWorld: World = {
  environment: {},
  out: () => {},
  err: () => {},
  readStdin: async () => '',
  readFile: () => undefined,
  openStore: () => Promise.reject(new Error('the reference needs no datastore')),
  interrupted: () => Promise.resolve(),
  runEditor: () => 1,
  runForeground: async () => 1,
  author: '',
  progress: false,
  colours: false,
};

export function commandPage(): string {
  const program = buildProgram(emptyWorld);
  return [
    '<!-- Made by `npm run generate` from cli/definitions; do not edit. -->\n',
    '# twillctl\n',
    `${program.description()} Exit codes: 0 done, 1 not (or not all) done; diff has 0, 1 and 2.\n`,
    'Where the datastore is: `--etcd-endpoints`, else `ETCD_ENDPOINTS` and its kin (`ETCD_USERNAME`, `ETCD_PASSWORD`, `ETCD_KEY_FILE`,',
    '`ETCD_CERT_FILE`, `ETCD_CA_CERT_FILE`, `ETCD_DISCOVERY_SRV`), else the CalicoAPIConfig file of `--config` (default',
    '`/etc/calico/calicoctl.cfg`), else `unix:/run/twill/datastore.sock`.\n',
    ...program.commands.flatMap((command) => section(command, 'twillctl')),
  ].join('\n');
}

function section(command: Command, parent: string): readonly string[] {
  if (command.name().startsWith('_')) return [];
  const name = `${parent} ${command.name()}`;
  if (command.commands.length > 0) return command.commands.flatMap((child) => section(child, name));
  const words = command.registeredArguments.map((argument) => {
    const label = argument.variadic ? `${argument.name()}...` : argument.name();
    return argument.required ? `<${label}>` : `[${label}]`;
  });
  const options = command.options.filter((option) => !option.hidden);
  return [
    `## ${name}\n`,
    `${command.description()}\n`,
    `    ${[name, ...words].join(' ')}${options.length > 0 ? ' [options]' : ''}\n`,
    ...(options.length > 0 ? ['| Option | |', '|---|---|'] : []),
    ...options.map(
      ({ flags, description }) => `| \`${flags.replaceAll('|', '\\|')}\` | ${description.replaceAll('|', '\\|')} |`,
    ),
    ...(options.length > 0 ? [''] : []),
    ...examplesOf(command).flatMap(({ does, line }) => [`${does}:\n`, `    ${line}\n`]),
  ];
}
