#!/usr/bin/env node
// Measures twill-bgp beside other speakers and writes the tables to docs/benchmarks/bgp.md.
//
//     npm run build && npm run bench:bgp [-- options of the harness]
//
// The harness is a program of its own, in ../shared/bench/bgp or in $TWILL_BGP_BENCH. It needs root and works in network
// namespaces that it makes. Without options, every scenario runs with 200,000 prefixes and the one-to-one scenario with a
// million; GoBGP, which takes minutes for those, beside twill-bgp with 20,000.
// TWILL_BGP_BENCH_RUNS says how often (3).

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const harness = join(process.env.TWILL_BGP_BENCH ?? join(root, '../shared/bench/bgp'), 'bench.mjs');
const program = join(root, 'dist/bin/twill-bgp');
const target = join(root, 'docs/benchmarks/bgp.md');

for (const [path, remedy] of [
  [harness, 'set TWILL_BGP_BENCH to the folder of the harness'],
  [program, 'npm run build'],
]) {
  if (existsSync(path)) continue;
  console.error(`${path} is missing: ${remedy}`);
  process.exit(1);
}

const own = `cmd:twill=node ${program} --config {config} --log-level warn`;
const beside = (...names) => [...names, own].flatMap((device) => ['--dut', device]);
const swift = beside('bird', 'frr', 'openbgpd');
const rounds = process.env.TWILL_BGP_BENCH_RUNS ?? '3';
const given = process.argv.slice(2);
const runs =
  given.length > 0
    ? [[...swift, ...given]]
    : [
        [...swift, '--scenario', 'all', '--prefixes', '200000', '--runs', rounds],
        [...swift, '--scenario', 'load', '--prefixes', '1000000', '--runs', rounds],
        [...beside('bird', 'gobgp'), '--scenario', 'all', '--prefixes', '20000', '--runs', '1'],
      ];

const tables = [];
for (const options of runs) {
  const { output, code } = await run(options);
  tables.push(output.slice(Math.max(0, output.search(/^\d+ prefixes,/m))));
  if (code !== 0) process.exitCode = code;
}
mkdirSync(dirname(target), { recursive: true });
writeFileSync(target, page(tables));
console.error(`wrote ${target}`);

function run(options) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [harness, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (bytes) => {
      output += bytes;
      process.stdout.write(bytes);
    });
    child.on('close', (code) => resolve({ output, code: code ?? 1 }));
  });
}

function page(sections) {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
  return `# twill-bgp beside other speakers

Written by \`npm run bench:bgp\`. Compare ratios inside a table, not seconds: the machine may have had other work. Every
row ended with each receiver holding exactly the expected routes.

- Date: ${new Date().toISOString().slice(0, 10)}
- Machine: ${machine}
- Versions: ${versions().join(', ')}, Node ${process.version}

${sections.join('\n')}`;
}

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
