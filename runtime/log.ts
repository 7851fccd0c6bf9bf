// Logs: pino's JSON on standard error, or lines for people when standard error is a terminal.
//
// A message is constant, facts are fields: log.info({ peer, state }, 'session changed').
// State changes are info, packets trace. A component has a child logger: log.child({ peer: '10.0.0.2' }).

import { destination, type Logger, levels, pino } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The process's logger. `name` is the program or child: "felix", "bgp", "node". */
export function createLogger(name: string, level: LogLevel = 'info'): Logger {
  const options = {
    name,
    level,
    base: { name, pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  if (process.stderr.isTTY)
    return pino(options, { write: (line: string) => void process.stderr.write(toPeople(line)) });
  // Synchronous: what was logged before a crash is there after it.
  return pino(options, destination({ fd: 2, sync: true }));
}

const dim = (text: string): string => `\u001b[2m${text}\u001b[0m`;
const colours: Readonly<Record<string, string>> = { warn: '\u001b[33m', error: '\u001b[31m', fatal: '\u001b[31;1m' };

/** One JSON log line as "12:00:00.000 info  felix  message  key=value …". */
export function toPeople(line: string): string {
  const { time, level, name, pid, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const label = levels.labels[Number(level)] ?? String(level);
  const clock = String(time).slice(11, 23);
  const details = Object.entries(facts)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
  const head = `${dim(clock)} ${colours[label] ?? ''}${label.padEnd(5)}\u001b[0m ${String(name)}[${String(pid)}]`;
  return `${head} ${String(msg ?? '')}${details ? `  ${dim(details)}` : ''}\n`;
}
