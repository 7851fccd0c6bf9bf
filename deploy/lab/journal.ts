// What the lab has made on this machine, written down before it is made: so that any later run can remove exactly that,
// whatever happened to the run that made it.
//
//   /run/twill-lab/             made by the lab, removed as a whole
//     made.jsonl                one line per namespace
//     owner                     pid and start time of the lab that is at work
//
// Processes are not in the list: every process of the lab carries TWILL_LAB=<directory> in its environment, which holds
// for children too, from their first instant, and can not be confused by a reused pid.

import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const labDirectory = process.env['TWILL_LAB_DIR'] ?? '/run/twill-lab';
export const labMark = 'TWILL_LAB';

const journalFile = join(labDirectory, 'made.jsonl');
const ownerFile = join(labDirectory, 'owner');

let open = false;

/** From here on things may be made. */
export function openJournal(): void {
  open = true;
  mkdirSync(labDirectory, { recursive: true, mode: 0o755 });
  writeFileSync(ownerFile, JSON.stringify({ pid: process.pid, startTime: startTimeOf(process.pid) }));
}

/** The lab ends: what is still on its way to making something gets an error instead. */
export function closeJournal(): void {
  open = false;
}

export const isOpen = (): boolean => open;

/** To be called before anything is made. */
export function assertOpen(): void {
  if (!open) throw new Error('the lab is ending');
}

/** To be called before the namespace is made. */
export function recordNamespace(name: string): void {
  assertOpen();
  appendFileSync(journalFile, `${JSON.stringify({ namespace: name })}\n`);
}

export function recordedNamespaces(): string[] {
  if (!existsSync(journalFile)) return [];
  return readFileSync(journalFile, 'utf8')
    .split('\n')
    .flatMap((line) => {
      // The last line is cut short when the machine stopped while it was written; nothing was made from it then.
      try {
        return [(JSON.parse(line) as { namespace: string }).namespace];
      } catch {
        return [];
      }
    });
}

/** The pid of another lab that is at work right now. */
export function otherLabAtWork(): number | undefined {
  if (!existsSync(ownerFile)) return undefined;
  const owner = JSON.parse(readFileSync(ownerFile, 'utf8')) as { pid: number; startTime: string };
  return owner.pid !== process.pid && startTimeOf(owner.pid) === owner.startTime ? owner.pid : undefined;
}

/** The lab stays up, and nobody is at work on it any more. */
export const releaseOwnership = (): void => rmSync(ownerFile, { force: true });

export const labExists = (): boolean => existsSync(labDirectory);

export const removeLabDirectory = (): void => rmSync(labDirectory, { recursive: true, force: true });

/** Clock ticks since boot at which a process started: together with the pid it names one process for good. */
export const startTimeOf = (pid: number): string | undefined => statFields(pid)?.[19];

/** False also for a process that has ended and waits for its parent to take notice. */
export function isAlive(pid: number): boolean {
  const state = statFields(pid)?.[0];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

/** proc(5): fields 3 (state) and following; starttime is field 22. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    // The second field, the program's name, may hold blanks and parentheses: count from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Every process that carries the lab's mark, but for this one. */
export function markedProcesses(): number[] {
  const mark = `${labMark}=${labDirectory}`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark);
      } catch {
        return false;
      }
    });
}
