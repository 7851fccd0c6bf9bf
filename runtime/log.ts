// Logs: pino's JSON on standard error, or lines for people when standard error is a terminal.
//
// A message is constant, facts are fields: log.info({ peer, state }, 'session changed').
// State changes are info, packets trace. A component has a child logger: log.child({ peer: '10.0.0.2' }).

import { type DestinationStream, destination, type Logger, levels, pino } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The process's logger. `name` is the program or child: "felix", "bgp", "node". */
export const createLogger = (name: string, level: LogLevel = 'info'): Logger => loggerWith(name, level, () => {});

/** A logger whose level can be changed while the process runs. */
export interface AdjustableLogger {
  readonly log: Logger;
  /** Child loggers follow, but for those that were given a level of their own. */
  setLevel(level: LogLevel): void;
}

export function createAdjustableLogger(
  name: string,
  level: LogLevel,
  to: DestinationStream = standardError(),
): AdjustableLogger {
  // Children have a level each, and come and go with what they log for.
  let children: WeakRef<Logger>[] = [];
  let roomFor = 64;
  const onChild = (child: Logger): void => {
    if (children.length >= roomFor) {
      children = children.filter((one) => one.deref() !== undefined);
      roomFor = Math.max(64, children.length * 2);
    }
    children.push(new WeakRef(child));
  };
  const log = loggerWith(name, level, onChild, to);
  const setLevel = (next: LogLevel): void => {
    const { level: before } = log;
    if (next === before) return;
    log.level = next;
    for (const one of children) {
      const child = one.deref();
      if (child?.level === before) child.level = next;
    }
  };
  return { log, setLevel };
}

function loggerWith(name: string, level: LogLevel, onChild: (child: Logger) => void, to = standardError()): Logger {
  return pino(
    {
      name,
      level,
      base: { name, pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      onChild,
    },
    to,
  );
}

function standardError(): DestinationStream {
  if (process.stderr.isTTY) return { write: (line: string) => void process.stderr.write(toPeople(line)) };
  // Synchronous: what was logged before a crash is there after it.
  return destination({ fd: 2, sync: true });
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
