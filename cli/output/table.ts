// Tables as calicoctl prints them: columns padded to their widest cell, three blanks between, headings in capitals.

export type Row = readonly string[];

const gap = 3;
const minimumWidth = 5;

export function formatTable(headings: Row, rows: readonly Row[]): string {
  const table = new TableText(headings);
  for (const row of rows) table.add(row);
  return [...table.lines()].join('');
}

/** Rows that are kept together as one text: a cell of its own costs more than what is in it. */
const ROWS_PER_TEXT = 5000;
/** In no cell. */
const CELL_END = '\0';

/** A table whose rows come one by one; the text comes at the end, since the widest cell may be the last. */
export class TableText {
  readonly #headings: Row;
  readonly #widths: number[];
  readonly #texts: string[] = [];
  #cells: string[] = [];

  constructor(headings: Row) {
    this.#headings = headings;
    this.#widths = headings.map((heading) => heading.length);
  }

  add(row: Row): void {
    for (const [i, width] of this.#widths.entries()) {
      const cell = row[i] ?? '';
      if (cell.length > width) this.#widths[i] = cell.length;
      this.#cells.push(cell);
    }
    if (this.#cells.length >= ROWS_PER_TEXT * this.#widths.length) this.#pack();
  }

  /** The headings, then thousands of lines at a time. */
  *lines(): Generator<string, void, undefined> {
    const widths = this.#widths.map((width) => Math.max(minimumWidth, width + gap));
    const line = (row: Row): string =>
      `${row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('')
        .trimEnd()}\n`;
    yield line(this.#headings);
    this.#pack();
    for (const text of this.#texts) {
      const cells = text.split(CELL_END);
      let lines = '';
      for (let at = 0; at < cells.length; at += widths.length) lines += line(cells.slice(at, at + widths.length));
      yield lines;
    }
  }

  #pack(): void {
    if (this.#cells.length > 0) this.#texts.push(this.#cells.join(CELL_END));
    this.#cells = [];
  }
}

const widthsOf = (headings: Row, rows: readonly Row[]): readonly number[] =>
  headings.map((heading, i) => rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), heading.length));

/** A table with borders, for reports that people read at a terminal. */
export function formatBoxedTable(headings: Row, rows: readonly Row[]): string {
  const widths = widthsOf(headings, rows);
  const border = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const line = (row: Row): string => `| ${widths.map((width, i) => (row[i] ?? '').padEnd(width)).join(' | ')} |`;
  return `${[border, line(headings), border, ...rows.map(line), ...(rows.length > 0 ? [border] : [])].join('\n')}\n`;
}
