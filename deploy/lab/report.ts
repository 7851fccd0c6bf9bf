// What the user sees: steps, the picture, the table, the sum. Colour only on a terminal.

import type { CheckGroup, CheckResult } from './checks/check.ts';
import type { Lab } from './lab.ts';
import { nodes, outside, spine, tors } from './topology.ts';

export interface Output {
  readonly write: (text: string) => void;
  readonly colour: boolean;
  /** Lines may be written over. */
  readonly terminal: boolean;
}

export const terminalOutput: Output = {
  write: (text) => void process.stdout.write(text),
  colour: process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined,
  terminal: process.stdout.isTTY === true,
};

const paint = (output: Output, code: number, text: string): string =>
  output.colour ? `\u001b[${code}m${text}\u001b[0m` : text;
export const green = (output: Output, text: string): string => paint(output, 32, text);
export const red = (output: Output, text: string): string => paint(output, 31, text);
export const bold = (output: Output, text: string): string => paint(output, 1, text);
export const dim = (output: Output, text: string): string => paint(output, 2, text);

/** While work lasts longer than two seconds, says so: on a terminal in one line that goes away, else in a line each time. */
export async function withProgress<T>(output: Output, what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  let shown = false;
  const timer = setInterval(() => {
    const text = dim(output, `  … ${what} (${seconds(began)})`);
    output.write(output.terminal ? `\r${text}\u001b[K` : `${text}\n`);
    shown = true;
  }, 2000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    if (shown && output.terminal) output.write('\r\u001b[K');
  }
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** A step of raising the lab: what it is, and how long it took. */
export async function showStep<T>(output: Output, what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await withProgress(output, what, work);
  output.write(`  ${what} ${dim(output, seconds(began))}\n`);
  return result;
}

const columnWidth = 28;

/** The data center with the addresses that its pods have got. */
export function picture(lab: Lab): string {
  const center = (text: string, width: number): string => {
    const left = Math.max(0, Math.floor((width - text.length) / 2));
    return `${' '.repeat(left)}${text}`.padEnd(width);
  };
  const all = columnWidth * nodes.length;
  const racks = tors.map((tor) => nodes.filter((node) => `tor-${node.rack}` === tor.name));
  const perRack = (text: (index: number) => string): string =>
    racks.map((rack, i) => center(text(i), columnWidth * rack.length)).join('');
  const perNode = (text: (index: number) => string): string =>
    nodes.map((_, i) => center(text(i), columnWidth)).join('');
  const podsOf = (i: number) => [...lab.pods.values()].filter((pod) => pod.node === nodes[i]?.name);
  const deepest = Math.max(...nodes.map((_, i) => podsOf(i).length));
  const lines = [
    center(`${outside.name} ${outside.address}`, all),
    center('│', all),
    center(`spine  AS ${spine.asn}  FRR`, all),
    trunk(racks.map((rack) => rack.length * columnWidth)),
    perRack((i) => `${tors[i]?.name}  AS ${tors[i]?.asn}  BIRD`),
    racks.map((rack) => trunk(rack.map(() => columnWidth))).join(''),
    perNode((i) => nodes[i]?.name ?? ''),
    perNode((i) => `${nodes[i]?.address}  AS ${nodes[i]?.asn}`),
    ...Array.from({ length: deepest }, (_, row) =>
      perNode((i) => {
        const pod = podsOf(i)[row];
        return pod ? `${`${pod.namespace}/${pod.name}`.padEnd(12)} ${pod.address}` : '';
      }),
    ),
  ];
  return `${lines.map((line) => `  ${line.trimEnd()}`).join('\n')}\n`;
}

/** A line that joins the centres of columns to their common parent, or a plain "│" for one column. */
function trunk(widths: readonly number[]): string {
  const total = widths.reduce((sum, width) => sum + width, 0);
  const cells = new Array<string>(total).fill(' ');
  let offset = 0;
  const centres = widths.map((width) => {
    const centre = offset + Math.floor((width - 1) / 2);
    offset += width;
    return centre;
  });
  const [first = 0] = centres;
  const last = centres.at(-1) ?? first;
  for (let i = first; i <= last; i++) cells[i] = '─';
  const parent = Math.floor((total - 1) / 2);
  cells[parent] = centres.length === 1 ? '│' : '┴';
  if (centres.length > 1) {
    cells[first] = '┌';
    cells[last] = '┐';
  }
  return cells.join('');
}

/** Rows are written as they come, so the widths come from what is known before: names and expectations. */
export class Table {
  readonly #output: Output;
  readonly #nameWidth: number;
  readonly #expectedWidth: number;
  readonly #seenWidth = 60;
  readonly #failures: CheckResult[] = [];
  passed = 0;
  failed = 0;

  constructor(output: Output, groups: readonly CheckGroup[]) {
    this.#output = output;
    const checks = groups.flatMap((group) => group.checks);
    this.#nameWidth = Math.max('check'.length, ...checks.map((check) => check.name.length));
    this.#expectedWidth = Math.max('expected'.length, ...checks.map((check) => check.expected.length));
  }

  header(): void {
    this.#output.write(`\n    ${bold(this.#output, this.#line('check', 'expected', 'seen', 'ms'))}\n`);
  }

  group(title: string): void {
    this.#output.write(`  ${bold(this.#output, title)}\n`);
  }

  row(result: CheckResult): void {
    if (result.passed) this.passed++;
    else {
      this.failed++;
      this.#failures.push(result);
    }
    const mark = result.passed ? green(this.#output, '✔') : red(this.#output, '✘');
    const line = this.#line(result.name, result.expected, result.seen, result.ms.toFixed(0));
    this.#output.write(`  ${mark} ${result.passed ? line : red(this.#output, line)}\n`);
  }

  /** Details of what failed, then the plain last line. */
  footer(): void {
    for (const { name, expected, seen, details } of this.#failures) {
      this.#output.write(`\n${red(this.#output, `✘ ${name}`)}\n  expected: ${expected}\n  seen:     ${seen}\n`);
      for (const detail of (details ?? []).slice(0, 30)) this.#output.write(`    ${detail}\n`);
    }
    this.#output.write(`\n${this.passed} passed, ${this.failed} failed\n`);
  }

  #line(name: string, expected: string, seen: string, ms: string): string {
    return [
      name.padEnd(this.#nameWidth),
      expected.padEnd(this.#expectedWidth),
      seen.padEnd(this.#seenWidth),
      ms.padStart(6),
    ].join('  ');
  }
}
