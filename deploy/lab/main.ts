// twill-lab: raises the lab, proves it, removes it.

import { allChecks } from './checks/all.ts';
import { type CheckGroup, runCheck } from './checks/check.ts';
import { removeLab } from './cleanup.ts';
import { hints } from './hints.ts';
import { hostCheck, hostState } from './host-state.ts';
import { otherLabAtWork, releaseOwnership } from './journal.ts';
import { type Lab, raiseLab } from './lab.ts';
import { bold, picture, showStep, Table, terminalOutput, withProgress } from './report.ts';

const usage = `twill-lab: a small data center in network namespaces of this machine.

Usage: npm start                raise the lab, check it, remove it
       npm start -- --keep      leave it up and say what to try next
       npm run lab:down         remove a lab that was left up

Two racks with a BIRD router each, an FRR spine, a client outside, three nodes that run twill-node, six pods.
Exit code: 0 when every check passed, 1 when one failed, 2 when the lab could not be tried.
`;

const output = terminalOutput;

async function main(words: readonly string[]): Promise<number> {
  const unknown = words.find((word) => !['up', 'down', '--keep', '--help', '-h'].includes(word));
  if (unknown !== undefined) {
    process.stderr.write(`twill-lab: "${unknown}" is not understood\n\n${usage}`);
    return 2;
  }
  if (words.includes('--help') || words.includes('-h')) {
    output.write(usage);
    return 0;
  }
  const other = otherLabAtWork();
  if (other !== undefined) {
    process.stderr.write(
      `twill-lab: another lab is at work (process ${other}): wait for its end, or end it with \`kill ${other}\`\n`,
    );
    return 2;
  }
  return words.includes('down') ? await down() : await up(words.includes('--keep'));
}

async function down(): Promise<number> {
  const removed = await removeLab();
  output.write(
    removed
      ? `removed the lab: ${removed.namespaces} namespaces, ${removed.processes} processes\n`
      : 'there is no lab to remove\n',
  );
  return 0;
}

async function up(keep: boolean): Promise<number> {
  const before = await prepare();
  const ended = removeWhenEnded();
  try {
    output.write(bold(output, 'Raising the lab\n'));
    const lab = await raiseLab((what, work) => showStep(output, what, work));
    output.write(`\n${picture(lab)}`);
    const host: CheckGroup = { title: 'This machine', checks: [hostCheck(before)] };
    const groups = allChecks(lab);
    const table = new Table(output, [...groups, host]);
    table.header();
    for (const group of groups) await runGroup(table, group);
    if (keep) leaveUp(lab);
    else await removeLab();
    await runGroup(table, host);
    if (keep) output.write(hints(lab));
    table.footer();
    return table.failed === 0 ? 0 : 1;
  } catch (error) {
    // What is interrupted fails, too: that is no news.
    await (ended.removal() ?? removeLab());
    output.write(
      `\n✘ the lab could not be raised: ${error instanceof Error ? error.message : String(error)}\n\n0 passed, 1 failed\n`,
    );
    return 1;
  } finally {
    ended.cancel();
  }
}

/** Removes what an earlier run left, and notes how the machine looks without it. */
async function prepare() {
  const removed = await removeLab();
  if (removed)
    output.write(
      `Removed what an earlier run left: ${removed.namespaces} namespaces, ${removed.processes} processes\n`,
    );
  return await hostState();
}

async function runGroup(table: Table, group: CheckGroup): Promise<void> {
  table.group(group.title);
  for (const check of group.checks) table.row(await withProgress(output, check.name, () => runCheck(check)));
}

function leaveUp(lab: Lab): void {
  for (const agent of lab.agents.values()) agent.release();
  releaseOwnership();
}

/** Ctrl-C and a terminal that is closed end the lab as tidily as its own end. */
function removeWhenEnded(): { cancel(): void; removal(): Promise<never> | undefined } {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let removal: Promise<never> | undefined;
  const end = (): void => {
    output.write('\ninterrupted: removing the lab\n');
    removal ??= removeLab().then(() => process.exit(130));
  };
  for (const signal of signals) process.on(signal, end);
  return {
    cancel: () => {
      for (const signal of signals) process.removeListener(signal, end);
    },
    removal: () => removal,
  };
}

// Should the work ever end without a verdict, that is no success.
process.exitCode = 2;
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`twill-lab: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(2);
  },
);
