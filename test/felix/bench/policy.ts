// Measures policy from the datastore's changes to the kernel, at the size of a large cluster, and the data path.
//
//   npm run bench:policy [-- --endpoints 250000 --quick]      (root; prints a table, and writes docs/benchmarks/policy.md)

import { writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { largeCluster } from '../calc/cluster.ts';
import { measureAudit } from './audit.ts';
import { measureChanges } from './changes.ts';
import { measureDataPath } from './data-path.ts';
import { measureEdit, measurePods } from './edits.ts';

export interface Row {
  readonly what: string;
  readonly seen: string;
  readonly aim?: string;
}

export interface Section {
  readonly title: string;
  readonly about: string;
  readonly rows: readonly Row[];
}

const { values } = parseArgs({
  options: { endpoints: { type: 'string' }, quick: { type: 'boolean' }, only: { type: 'string' } },
});
const quick = values.quick ?? false;
const endpoints = Number(values.endpoints ?? (quick ? 25_000 : largeCluster.endpoints));

const parts: Readonly<Record<string, () => Promise<Section>>> = {
  changes: () => measureChanges({ ...largeCluster, endpoints }, quick ? 100 : 300),
  edit: () => measureEdit(quick ? 1000 : 10_000),
  audit: () => measureAudit(quick ? 1000 : 10_000, 5),
  pods: () => measurePods(quick ? 200 : 1000),
  data: () => measureDataPath(quick ? 5 : 25, 0.04),
};

const [loadBefore = 0] = loadavg();
const sections: Section[] = [];
for (const [name, measure] of Object.entries(parts)) {
  if (values.only !== undefined && values.only !== name) continue;
  const section = await measure();
  sections.push(section);
  process.stdout.write(`\n${section.title}\n`);
  for (const { what, seen, aim } of section.rows) {
    process.stdout.write(`  ${what.padEnd(66)} ${seen.padStart(34)}${aim ? `   aim: ${aim}` : ''}\n`);
  }
}

if (values.only === undefined && !quick) {
  const path = fileURLToPath(new URL('../../../docs/benchmarks/policy.md', import.meta.url));
  writeFileSync(path, report(sections));
}
process.exit(0);

function report(all: readonly Section[]): string {
  const [cpu] = cpus();
  const head = `# Policy: from the datastore to the wire

Written by \`npm run bench:policy\` (root) on ${new Date().toISOString().slice(0, 10)}. Read the figures as ratios inside one run.

The machine: a virtual one with ${cpus().length} processors (${cpu?.model.trim()}) and ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}; its load average was ${loadBefore.toFixed(1)} when this began. Where that is not near 0, processor time holds and the clock does not.
`;
  const bodies = all.map(({ title, about, rows }) => {
    const table = rows.map(({ what, seen, aim }) => `| ${what} | ${seen} | ${aim ?? ''} |`);
    return `\n## ${title}\n\n${about}\n\n| What | Seen | Aim |\n|---|---|---|\n${table.join('\n')}\n`;
  });
  return head + bodies.join('');
}
