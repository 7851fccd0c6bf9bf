#!/usr/bin/env node
// Runs the suites and ends with one plain line, `N passed, N failed`, over all of them.
//
//   node tools/test.mjs                       everything: lint, types, unit, system
//   node tools/test.mjs unit                  one suite
//   node tools/test.mjs unit -g 'longest'     … with options for mocha
//   node tools/test.mjs test/net/lpm.test.ts  these files

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [first, ...rest] = process.argv.slice(2);

const suites = {
  lint: () => command('biome', 'check', '--error-on-warnings', '.'),
  types: () => command('tsc'),
  unit: (...options) => mocha('--exclude', 'test/system/**', 'test/**/*.test.ts', ...options),
  system: (...options) => mocha('test/system/**/*.test.ts', ...options),
};

const outcomes = chosen();
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function chosen() {
  if (first === undefined) return Object.entries(suites).map(([name, suite]) => timed(name, suite));
  const suite = suites[first];
  return suite ? [timed(first, () => suite(...rest))] : [mocha(first, ...rest)];
}

function timed(name, suite) {
  console.log(`\n== ${name}`);
  const started = performance.now();
  const outcome = suite();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`== ${name}: ${outcome.passed} passed, ${outcome.failed} failed, ${seconds} s`);
  return outcome;
}

/** A program of node_modules that passes or fails as a whole. */
function command(program, ...options) {
  const { status } = spawnSync(join('node_modules/.bin', program), options, { stdio: 'inherit' });
  return status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

function mocha(...options) {
  const directory = mkdtempSync(join(tmpdir(), 'twill-test-'));
  const countsFile = join(directory, 'counts');
  try {
    const { status } = spawnSync('node_modules/.bin/mocha', ['--reporter', 'tools/reporter.cjs', ...options], {
      stdio: 'inherit',
      env: { ...process.env, TWILL_TEST_COUNTS: countsFile },
    });
    const counts = readCounts(countsFile);
    // A crash, or a file that can not be loaded, is a failure even when no test was there to fail.
    return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function readCounts(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1 };
  }
}
