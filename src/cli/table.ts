import { printable } from "./output.ts";

export type Column<Row> = {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: "right";
  /** may go on in the lines below where a line is too long for the terminal */
  readonly wraps?: true;
};

/** characters that a column keeps: words of so many stay whole, and where that does not fit, of half as many */
const KEPT = [24, 12] as const;

/**
 * A plain table with a header, columns two spaces apart. One row is one line, unless it is too wide and columns wrap.
 * @param width characters of a line (`Output.width`); absent: as long as it gets
 */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width = Number.POSITIVE_INFINITY): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = widthsOf(cells, columns, width);
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, i) => (columns[i]?.align === "right" ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd();
  const lines = cells.flatMap((texts) => {
    const parts = texts.map((text, i) => wrapped(text, widths[i] ?? text.length));
    return Array.from({ length: Math.max(1, ...parts.map(({ length }) => length)) }, (_, at) => line(parts.map((part) => part[at] ?? "")));
  });
  return [line(columns.map((column) => column.title)), ...lines].join("\n");
}

/** What each column gets. A table that cannot fit is only narrowed as far as words stay whole. */
function widthsOf(
  cells: readonly (readonly string[])[],
  columns: readonly Pick<Column<never>, "title" | "wraps">[],
  width: number,
): readonly number[] {
  const full = columns.map(({ title }, i) => Math.max(title.length, ...cells.map((line) => line[i]?.length ?? 0)));
  const tries = KEPT.map((kept) => {
    const least = columns.map(({ title, wraps }, i) => {
      const words = cells.flatMap((line) => (line[i] ?? "").split(" "));
      return wraps === true ? Math.max(title.length, Math.min(kept, Math.max(0, ...words.map(({ length }) => length)))) : (full[i] ?? 0);
    });
    return narrowed(full, least, width);
  });
  return tries.find((widths) => lineLength(widths) <= width) ?? tries[0] ?? full;
}

/** Takes from the widest first, as far as the next widest: short columns stay whole. */
function narrowed(full: readonly number[], least: readonly number[], width: number): readonly number[] {
  const widths = [...full];
  for (let over = lineLength(widths) - width; over > 0; over -= 1) {
    const candidates = widths.flatMap((now, i) => (now > (least[i] ?? 0) ? [i] : []));
    const widest = candidates.reduce<number | undefined>(
      (a, b) => (a === undefined || (widths[b] ?? 0) > (widths[a] ?? 0) ? b : a),
      undefined,
    );
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function lineLength(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width + 2, -2);
}

/** At spaces where there are any, else anywhere. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const space = rest.lastIndexOf(" ", width);
    const end = space > 0 ? space : width;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}
