// Tables as calicoctl prints them: columns padded to their widest cell, three blanks between, headings in capitals.

export type Row = readonly string[];

const gap = 3;
const minimumWidth = 5;

export function formatTable(headings: Row, rows: readonly Row[]): string {
  const widths = widthsOf(headings, rows).map((width) => Math.max(minimumWidth, width + gap));
  const line = (row: Row): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('')
      .trimEnd();
  return `${[headings, ...rows].map(line).join('\n')}\n`;
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
