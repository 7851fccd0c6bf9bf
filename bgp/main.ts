// twill-bgp: the speaker alone, configured by a file. SIGHUP reads the file again and touches only what changed; SIGTERM
// and SIGINT end it as a restart would: peers with graceful restart keep our routes for a while, and the FIB stays.

import { readFileSync } from 'node:fs';
import { createLogger, type Logger, type LogLevel } from '../runtime/log.ts';
import { logLevelOption } from '../runtime/log-option.ts';
import { helpText, parseOptions } from '../runtime/options.ts';
import { version } from '../runtime/version.ts';
import { BmpMonitor } from './bmp/monitor.ts';
import { systemClock } from './clock.ts';
import { openFib } from './fib.ts';
import { settingsFromJson } from './file-config.ts';
import type { SpeakerSettings } from './settings.ts';
import { warmUp } from './speaker/warm-up.ts';
import { Speaker } from './speaker.ts';
import { createTransport } from './transport.ts';

const options = {
  logLevel: logLevelOption,
} as const;

const usage = `twill-bgp: a BGP speaker, configured by one JSON file.

Usage: twill-bgp --config <file> [options]

SIGHUP reads the file again; only what changed in it is touched.`;

const configHelp = 'Router id, AS, listen addresses and neighbors; its fields are listed in bgp/README.md.';

async function main(argv: readonly string[]): Promise<void> {
  const { file, rest } = takeConfig(argv);
  const parsed = parseOptions(options, { argv: rest, environment: process.env });
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(helpText(usage, options, configHelp));
      return;
    case 'version':
      process.stdout.write(`twill-bgp ${version}\n`);
      return;
    case 'problem':
      return fail([parsed.message]);
    case 'values':
      if (file === undefined) return fail(['--config <file> is needed; --help says more']);
      await run(file, parsed.values.logLevel);
  }
}

/** The value of --config, which is our own file and not one of options. */
function takeConfig(argv: readonly string[]): { readonly file: string | undefined; readonly rest: readonly string[] } {
  const at = argv.findIndex((word) => word === '--config' || word.startsWith('--config='));
  if (at < 0) return { file: undefined, rest: argv };
  const inline = argv[at]?.split('=')[1];
  const width = inline === undefined ? 2 : 1;
  return { file: inline ?? argv[at + 1], rest: [...argv.slice(0, at), ...argv.slice(at + width)] };
}

function fail(problems: readonly string[]): void {
  for (const problem of problems) process.stderr.write(`twill-bgp: ${problem}\n`);
  process.exitCode = 2;
}

function readSettings(file: string): SpeakerSettings | readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return [`${file} can not be read: ${error instanceof Error ? error.message : String(error)}`];
  }
  const result = settingsFromJson(text);
  return result.kind === 'settings' ? result.settings : result.problems.map((problem) => `${file}: ${problem}`);
}

const isSettings = (result: SpeakerSettings | readonly string[]): result is SpeakerSettings => 'routerId' in result;

async function run(file: string, logLevel: LogLevel): Promise<void> {
  const settings = readSettings(file);
  if (!isSettings(settings)) return fail(settings);
  const log = createLogger('bgp', logLevel);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  warmUp(log);
  const speaker = new Speaker({
    transport: createTransport(),
    monitor: new BmpMonitor({ log }),
    clock: systemClock,
    openFib: (fib) => openFib({ settings: fib }),
    log,
  });
  speaker.configure(settings);
  const errors = speaker.listenErrors();
  if (errors.length > 0) {
    await speaker.close({ abandon: true });
    return fail(errors.map((error) => `can not listen on ${error}`));
  }
  process.on('SIGHUP', () => reload(file, speaker, log));
  log.info({ peers: settings.peers.length }, 'twill-bgp started');
  log.info({ why: await stopped }, 'stopping');
  await speaker.close({ abandon: true });
  process.exit();
}

function reload(file: string, speaker: Speaker, log: Logger): void {
  const settings = readSettings(file);
  if (isSettings(settings)) {
    speaker.configure(settings);
    log.info({ peers: settings.peers.length }, 'configuration read again');
  } else log.error({ problems: settings }, 'configuration not taken');
}

await main(process.argv.slice(2));
