import { appendFileSync } from "node:fs";
import { writeSync } from "node:fs";
import type { TestError } from "vitest";
import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/** What one run came to. Errors outside of tests (a file that cannot be imported, a hook, an unhandled rejection) count as failed. */
export type Tally = { passed: number; failed: number; skipped: number };

/** One line of the record that `scripts/test.ts` reads, also when this process did not get to its end. */
export type RecordLine =
  | { readonly kind: "test"; readonly state: "passed" | "failed" | "skipped"; readonly name: string; readonly reason?: string }
  | { readonly kind: "error"; readonly name: string; readonly message: string }
  | { readonly kind: "end" };

/** The environment variable that names the record file; without it the closing line is printed here. */
export const RECORD_FILE = "AGENTKERNEL_TEST_RECORD";

/** Prints every skip with its reason and, as the very last line, `N passed, N failed, N skipped`: also when the run crashes. */
export default class ClosingLineReporter implements Reporter {
  readonly #recordFile = process.env[RECORD_FILE];
  readonly #lines: RecordLine[] = [];
  readonly #seen = new Set<string>();
  #ended = false;

  onInit(): void {
    if (this.#recordFile !== undefined) return;
    // 'exit' also comes after process.exit and an uncaught exception; writeSync, since nothing asynchronous happens any more
    process.once("exit", () => {
      if (!this.#ended) this.#add({ kind: "error", name: "test run", message: "it ended before all tests had" });
      writeSync(1, `${closingText(this.#lines)}\n`);
    });
  }

  onTestCaseResult(test: TestCase): void {
    this.#addTest(test);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message: string }[]): void {
    for (const module of modules) {
      for (const error of module.errors()) this.#add({ kind: "error", name: module.relativeModuleId, message: error.message });
      // skipped tests have no result event of their own
      for (const test of module.children.allTests()) this.#addTest(test);
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors())
          this.#add({ kind: "error", name: `${module.relativeModuleId} > ${suite.fullName}`, message: error.message });
      }
    }
    for (const error of unhandled) this.#add({ kind: "error", name: "unhandled", message: error.message });
    this.#ended = true;
    this.#add({ kind: "end" });
  }

  #addTest(test: TestCase): void {
    if (this.#seen.has(test.id)) return;
    this.#seen.add(test.id);
    const name = `${test.module.relativeModuleId} > ${test.fullName}`;
    const result = test.result();
    // a test that never got its result is not one that passed
    if (result.state === "pending") this.#add({ kind: "error", name, message: "it did not run to its end" });
    else if (result.state === "skipped") this.#add({ kind: "test", state: "skipped", name, reason: result.note ?? skipReason(test) });
    else if (result.state === "failed") this.#add({ kind: "test", state: "failed", name, reason: reasonOf(result.errors[0]) });
    else this.#add({ kind: "test", state: "passed", name });
  }

  #add(line: RecordLine): void {
    this.#lines.push(line);
    if (this.#recordFile !== undefined) appendFileSync(this.#recordFile, `${JSON.stringify(line)}\n`);
  }
}

function skipReason(test: TestCase): string {
  let at: TestCase | TestSuite | TestModule = test;
  for (;;) {
    const reason = at.meta().skipReason;
    if (reason !== undefined) return reason;
    if (at.type === "module") return test.options.mode === "todo" ? "still to be written" : "no reason given";
    at = at.parent;
  }
}

/** The counts of a record. */
export function tally(lines: readonly RecordLine[]): Tally {
  const counts: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const line of lines) {
    if (line.kind === "test") counts[line.state] += 1;
    else if (line.kind === "error") counts.failed += 1;
  }
  return counts;
}

/** The end of the output: skips by reason, errors outside of tests, the closing line. */
export function closingText(lines: readonly RecordLine[]): string {
  const text: string[] = [];
  for (const line of lines) {
    if (line.kind === "error") text.push(`FAILED outside of a test: ${line.name}: ${oneLine(line.message)}`);
    if (line.kind === "test" && line.state === "failed") text.push(`FAILED ${line.name}: ${oneLine(line.reason ?? "")}`);
  }
  const skips = lines.filter((line) => line.kind === "test" && line.state === "skipped");
  for (const skip of skips) if (skip.kind === "test") text.push(`skipped ${skip.name} (${skip.reason ?? "no reason given"})`);
  const { passed, failed, skipped } = tally(lines);
  text.push(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return text.join("\n");
}

/** The assertion shortens what it got; here it is whole, since the end of a long output may be all that is kept of a run. */
function reasonOf(error: TestError | undefined): string {
  const got = typeof error?.actual === "string" ? `; got ${error.actual}` : "";
  return `${error?.message ?? "no message"}${got}`;
}

function oneLine(message: string): string {
  return message.slice(0, 1000).trim().replaceAll(/\r?\n/g, "\\n");
}
