import { describe, expect, it } from "vitest";
import { table } from "./table.ts";

const rows = [
  { name: "a", what: "one two three four five six seven eight nine ten", count: "1" },
  { name: "bb", what: "short", count: "22" },
];
const columns = [
  { title: "NAME", value: (row: (typeof rows)[number]) => row.name },
  { title: "WHAT", value: (row: (typeof rows)[number]) => row.what, wraps: true as const },
  { title: "N", value: (row: (typeof rows)[number]) => row.count, align: "right" as const },
];

describe("a table", () => {
  it("has one line for a row where nothing limits it", () => {
    expect(table(rows, columns).split("\n")).toEqual([
      "NAME  WHAT                                               N",
      "a     one two three four five six seven eight nine ten   1",
      "bb    short                                             22",
    ]);
  });

  it("fits a terminal: columns that may wrap go on below, at spaces", () => {
    expect(table(rows, columns, 40).split("\n")).toEqual([
      "NAME  WHAT                             N",
      "a     one two three four five six      1",
      "      seven eight nine ten",
      "bb    short                           22",
    ]);
  });

  it("breaks what has no space, and keeps what cannot be narrower", () => {
    const long = [{ name: "x".repeat(30), what: "y".repeat(40), count: "1" }];
    expect(table(long, columns, 50).split("\n")).toEqual([
      `${"NAME".padEnd(30)}  ${"WHAT".padEnd(15)}  N`,
      `${"x".repeat(30)}  ${"y".repeat(15)}  1`,
      `${" ".repeat(30)}  ${"y".repeat(15)}`,
      `${" ".repeat(30)}  ${"y".repeat(10)}`,
    ]);
    // what cannot fit anyway is left whole as far as its words are short
    const name = [{ name: "x".repeat(30), what: "run-00004fgq8fn462", count: "1" }];
    expect(table(name, columns, 40).split("\n")).toEqual([
      `${"NAME".padEnd(30)}  ${"WHAT".padEnd(18)}  N`,
      `${"x".repeat(30)}  run-00004fgq8fn462  1`,
    ]);
  });

  it("takes from the widest first, so that short columns stay whole", () => {
    const two = [{ a: "word ".repeat(20).trim(), b: "word ".repeat(5).trim() }];
    const text = table(
      two,
      [
        { title: "A", value: (row) => row.a, wraps: true },
        { title: "B", value: (row) => row.b, wraps: true },
      ],
      80,
    );
    expect(text.split("\n").map(({ length }) => length <= 80)).not.toContain(false);
    expect(text).toContain("word word word word word  ".trim());
  });

  it("shows control characters instead of sending them", () => {
    expect(table([{ name: "a\u001b[2J\nb", what: "", count: "" }], columns)).not.toMatch(/\u001b|a\nb/);
  });
});
