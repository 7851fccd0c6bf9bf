// A continuous ping, and what it lost.

import { spawn } from 'node:child_process';
import { labDirectory, labMark } from './journal.ts';
import { inside } from './shell.ts';

export interface PingResult {
  readonly sent: number;
  readonly received: number;
}

/** Sends an echo request each `everyMs` from this machine or pod until stopped. */
export function startPing(from: string, address: string, everyMs: number): { stop(): Promise<PingResult> } {
  const [program = '', ...rest] = inside(from, ['ping', '-n', '-q', '-i', String(everyMs / 1000), address]);
  const child = spawn(program, rest, { env: { ...process.env, LC_ALL: 'C', [labMark]: labDirectory } });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  return {
    stop: async () => {
      child.kill('SIGINT');
      await ended;
      return parsePing(text);
    },
  };
}

/** From ping's closing line: "200 packets transmitted, 199 received, 0.5% packet loss, time 1990ms". */
export function parsePing(text: string): PingResult {
  const found = text.match(/(\d+) packets transmitted, (\d+) received/);
  return { sent: Number(found?.[1] ?? 0), received: Number(found?.[2] ?? 0) };
}
