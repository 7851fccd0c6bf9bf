#!/usr/bin/env node
// Measures twill-bgp beside other speakers and writes the tables to docs/benchmarks/bgp.md.
//
//     npm run build && npm run bench:bgp [-- part...]
//
// The harness is a program of its own, in ../shared/bench/bgp or in $TWILL_BGP_BENCH. It needs root and works in network
// namespaces that it makes. Each part below is a table of the page: a run replaces those that it was told to make, and
// leaves the others. Without arguments it makes all but the slow ones, in about twenty minutes: GoBGP takes an hour for a
// million prefixes. A part that takes longer than its limit is given up, and the page says so. TWILL_BGP_BENCH_RUNS says
// how often those run that run more than once (twice).

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const harness = join(process.env.TWILL_BGP_BENCH ?? join(root, '../shared/bench/bgp'), 'bench.mjs');
const program = join(root, 'dist/bin/twill-bgp');
const target = join(root, 'docs/benchmarks/bgp.md');
const rounds = process.env.TWILL_BGP_BENCH_RUNS;

const own = 'twill';
const ownDevice = `cmd:${own}=node ${program} --config {config} --log-level warn`;
const scenarios = ['load', 'fanin', 'fanout-rr', 'fanout-ebgp', 'churn', 'podcluster'];

const parts = {
  '200k': {
    title: '200,000 prefixes, all scenarios',
    runs: [{ devices: ['bird', 'frr', 'openbgpd'], options: ['--scenario', 'all', '--prefixes', '200000'], rounds: 2 }],
    limitSec: 720,
  },
  '1m': {
    title: 'A million prefixes, one to one',
    runs: [
      { devices: ['bird', 'frr', 'openbgpd'], options: ['--scenario', 'load', '--prefixes', '1000000'], rounds: 2 },
    ],
    limitSec: 420,
  },
  cluster: {
    title: 'One block that moves, in a cluster of 200 nodes, a thousand times',
    runs: [
      {
        devices: ['bird', 'openbgpd'],
        options: ['--scenario', 'podcluster', '--probes', '500'],
        rounds: 2,
      },
    ],
    limitSec: 240,
  },
  gobgp: {
    title: 'GoBGP, 200,000 prefixes',
    // Each scenario by itself, so that those that end in time are not lost with the others.
    runs: scenarios.map((scenario) => ({
      devices: ['gobgp'],
      options: ['--scenario', scenario, '--prefixes', '200000', '--timeout', '1200'],
      rounds: 1,
    })),
    limitSec: 7200,
    slow: true,
  },
  'gobgp-1m': {
    title: 'GoBGP, a million prefixes, one to one',
    runs: [
      { devices: ['gobgp'], options: ['--scenario', 'load', '--prefixes', '1000000', '--timeout', '1800'], rounds: 1 },
    ],
    limitSec: 5400,
    slow: true,
  },
  thousand: {
    title: 'A thousand route-reflector clients',
    runs: [
      // BIRD's accept queue is too short for more than a few at once.
      { devices: ['bird', 'openbgpd'], options: ['--scenario', 'podcluster', '--nodes', '1000'], rounds: 1 },
      {
        devices: [],
        label: `${own} at once`,
        options: ['--scenario', 'podcluster', '--nodes', '1000', '--window', '1000'],
        rounds: 2,
      },
    ],
    limitSec: 240,
  },
};

async function main(wanted) {
  const problem = wanted.find((name) => !(name in parts));
  if (problem !== undefined) return fail(`there is no part ${problem}; parts are ${Object.keys(parts).join(', ')}`);
  if (!existsSync(harness)) return fail(`${harness} is missing: set TWILL_BGP_BENCH to the folder of the harness`);
  if (!existsSync(program)) return fail(`${program} is missing: npm run build`);
  const sections = readSections();
  for (const name of wanted.length > 0 ? wanted : Object.keys(parts).filter((part) => !parts[part].slow)) {
    sections.set(name, await measure(name, parts[name]));
    // After each part, so that one that is interrupted costs only itself.
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, page(sections));
    console.error(`wrote ${target}`);
  }
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}

// Measuring.

async function measure(name, { title, runs, limitSec }) {
  const began = Date.now();
  const rows = [];
  const remarks = [];
  const commands = [];
  for (const { devices, label, options, rounds: usual } of runs) {
    const argv = [...options, '--runs', usual === 1 ? '1' : (rounds ?? String(usual)), '--baseline', own];
    commands.push(`bench.mjs ${[...devices, own].map((device) => `--dut ${device}`).join(' ')} ${argv.join(' ')}`);
    const leftSec = limitSec - (Date.now() - began) / 1000;
    const duts = [...devices, ownDevice].flatMap((device) => ['--dut', device]);
    const result = leftSec > 0 ? await runHarness([...duts, ...argv], leftSec) : undefined;
    if (!result) {
      remarks.push(`Given up after ${limitSec} s for the whole part: \`${options.join(' ')}\``);
      process.exitCode = 1;
      continue;
    }
    const named = (dut) => (dut === own && label ? label : dut);
    rows.push(...result.summary.map((row) => ({ ...row, dut: named(row.dut), own: dut(row) === own })));
    for (const failure of result.failures) {
      remarks.push(`${named(failure.dut)} failed in ${failure.scenario}: ${failure.error}`);
      if (failure.dut === own) process.exitCode = 1;
    }
  }
  const tookSec = Math.round((Date.now() - began) / 1000);
  return section({ name, title, rows, remarks, commands, tookSec });
}

const dut = (row) => row.dut;

/** What the harness found; undefined when it did not come to an end in time. */
function runHarness(argv, limitSec) {
  const folder = mkdtempSync(join(tmpdir(), 'twill-bench-'));
  const file = join(folder, 'result.json');
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [harness, ...argv, '--json', file], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    // The harness ends its devices and namespaces itself.
    const timer = setTimeout(() => child.kill('SIGTERM'), limitSec * 1000);
    child.on('close', () => {
      clearTimeout(timer);
      const result = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
      rmSync(folder, { recursive: true, force: true });
      resolve(result);
    });
  });
}

// The page.

const begin = (name) => `<!-- part ${name} -->`;
const end = (name) => `<!-- end of ${name} -->`;

/** The sections of the page as it is, by name. */
function readSections() {
  const text = existsSync(target) ? readFileSync(target, 'utf8') : '';
  const sections = new Map();
  for (const name of Object.keys(parts)) {
    const from = text.indexOf(begin(name));
    const to = text.indexOf(end(name));
    if (from >= 0 && to > from) sections.set(name, text.slice(from, to + end(name).length));
  }
  return sections;
}

const page = (sections) => `# twill-bgp beside other speakers

Written by \`npm run bench:bgp\`. Compare ratios inside a table, not seconds: the machine may have had other work. Every
row ended with each receiver holding exactly the expected routes.

A table's first column of numbers is twill-bgp's time, those after it what the others took, as multiples of that: above
1 twill-bgp was faster. Below each table are the details.

${Object.keys(parts)
  .flatMap((name) => sections.get(name) ?? [])
  .join('\n\n')}
`;

function section({ name, title, rows, remarks, commands, tookSec }) {
  return `${begin(name)}
## ${title}

${new Date().toISOString().slice(0, 10)}, ${machine()}, ${versions().join(', ')}, Node ${process.version}; took ${tookSec} s:

${commands.map((command) => `    ${command}`).join('\n')}

${ratios(rows)}
${remarks.map((remark) => `- ${remark}\n`).join('')}
<details><summary>All figures</summary>

${details(rows)}

</details>
${end(name)}`;
}

/** Time of each phase: ours in seconds, the others' as multiples. Latencies and memory follow in rows of their own. */
function ratios(rows) {
  const devices = [...new Set(rows.map(dut))].sort((a, b) => Number(b.startsWith(own)) - Number(a.startsWith(own)));
  const lines = [];
  for (const key of new Set(rows.map(({ scenario, phase }) => `${scenario}: ${phase}`))) {
    const here = rows.filter(({ scenario, phase }) => `${scenario}: ${phase}` === key);
    const add = (what, value, show) => {
      const ours = here.filter((row) => row.dut.startsWith(own)).map(value)[0];
      if (here.every((row) => value(row) === undefined)) return;
      const cell = (device) => {
        const row = here.find((one) => one.dut === device);
        const one = row && value(row);
        if (one === undefined) return '–';
        return device.startsWith(own) || !ours ? show(one) : `${(one / ours).toFixed(2)}×`;
      };
      lines.push(`| ${key}${what} | ${devices.map(cell).join(' | ')} |`);
    };
    add('', ({ wallMsMedian }) => wallMsMedian, seconds);
    add(
      ', p50 of a change',
      ({ latency }) => latency?.p50,
      (ms) => `${ms.toFixed(1)} ms`,
    );
    add(
      ', p99 of a change',
      ({ latency }) => latency?.p99,
      (ms) => `${ms.toFixed(1)} ms`,
    );
  }
  for (const scenario of new Set(rows.map((row) => row.scenario))) {
    const peak = (device) => {
      const of = rows.filter((row) => row.scenario === scenario && row.dut === device);
      return of.length === 0 ? '–' : `${Math.max(...of.map(({ peakMiBMedian }) => peakMiBMedian)).toFixed(0)} MiB`;
    };
    lines.push(`| ${scenario}: peak memory | ${devices.map(peak).join(' | ')} |`);
  }
  return `| | ${devices.join(' | ')} |\n|---|${devices.map(() => '--:').join('|')}|\n${lines.join('\n')}\n`;
}

function details(rows) {
  const head = [
    'phase',
    'device',
    'runs',
    's min / median',
    'CPU s',
    'peak MiB',
    'first ms',
    'UPDATEs out',
    'prefixes out',
  ];
  const lines = rows.map((row) => {
    const wrong = Object.entries(row.errors).map(([kind, count]) => ` **${kind}: ${count}**`);
    return [
      `${row.scenario}: ${row.phase}`,
      `${row.dut}${wrong.join('')}`,
      row.runs,
      `${seconds(row.wallMsMin)} / ${seconds(row.wallMsMedian)}`,
      row.cpuSMedian.toFixed(2),
      row.peakMiBMedian.toFixed(0),
      row.firstMsMedian === null ? '' : row.firstMsMedian.toFixed(1),
      row.updatesMedian,
      row.announcedMedian + row.withdrawnMedian,
    ];
  });
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10_000 ? 3 : 1)}`;

const machine = () =>
  `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;

function versions() {
  const names = ['bird2', 'frr', 'gobgpd', 'openbgpd'];
  try {
    const lines = execFileSync('dpkg-query', ['-W', ...names], { encoding: 'utf8' })
      .trim()
      .split('\n');
    return lines.map((line) => line.replace('\t', ' '));
  } catch {
    return names;
  }
}

await main(process.argv.slice(2));
