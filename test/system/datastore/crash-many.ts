// npm run crash:store – CRASH_ROUNDS (10,000) kills, with progress. A failure prints its seed; CRASH_SEED repeats it.

import { crashAgainAndAgain } from './crash.ts';

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 10_000);
const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1_000_000);
process.stderr.write(`${rounds} rounds, seed ${seed}\n`);
const started = Date.now();
const report = await crashAgainAndAgain(rounds, seed, (round, steps) => {
  if (round % 100 !== 0) return;
  process.stderr.write(`${round} rounds, ${steps} steps, ${Math.round((Date.now() - started) / 1000)} s\n`);
});
process.stdout.write(
  `${report.rounds} kills, ${report.steps} acknowledged or later steps, ${report.tornEnds} torn ends, nothing lost\n`,
);
