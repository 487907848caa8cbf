import { describe, expect, test } from "vitest";
import { execFailure, dialFailure, parseFailure, STAGE } from "./failure.ts";
import { FrameError } from "./frame.ts";
import { encodeExec, encodeHello, encodeSize, parseExit, parseHello } from "./message.ts";

describe("hello", () => {
  test("says version, window and build", () => {
    expect(parseHello(encodeHello("abc123"))).toEqual({ version: 1, window: 262_144, buildId: "abc123" });
  });

  test("a build id cannot smuggle control characters into a log", () => {
    expect(parseHello(encodeHello("a\x1b[31m\n")).buildId).toBe("a??31m?");
  });

  test.each([Buffer.alloc(0), Buffer.from("AKIN"), Buffer.alloc(12), Buffer.concat([encodeHello(""), Buffer.alloc(65)])])(
    "refuses %#",
    (payload) => {
      expect(() => parseHello(payload)).toThrow(FrameError);
    },
  );
});

describe("exec", () => {
  const request = { argv: ["ls", "-l"], env: { A: "1", B: "" }, cwd: "/w" };

  test("is a fixed head and NUL-terminated texts: directory, arguments, environment", () => {
    const payload = encodeExec({ ...request, tty: { rows: 24, cols: 80 } });
    expect(payload.subarray(0, 16).toString("hex")).toBe("0100" + "0018" + "0050" + "0000" + "00000002" + "00000002");
    expect(payload.subarray(16).toString()).toBe("/w\0ls\0-l\0A=1\0B=\0");
    expect(
      encodeExec(request)
        .subarray(0, 8)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  test.each([
    { ...request, argv: [] },
    { ...request, argv: [""] },
    { ...request, cwd: "" },
    { ...request, cwd: "/\0" },
    { ...request, env: { "": "x" } },
    { ...request, env: { "A=": "x" } },
    { ...request, env: { A: "x\0B=y" } },
    { ...request, tty: { rows: 0, cols: 80 } },
    { ...request, tty: { rows: 24, cols: 65_536 } },
    { ...request, tty: { rows: 24.5, cols: 80 } },
  ])("refuses what no program can be given: %#", (bad) => {
    expect(() => encodeExec(bad)).toThrow(expect.objectContaining({ code: "VALIDATION" }));
  });

  test("one byte more than a frame is too large", () => {
    const overhead = encodeExec({ argv: ["a", ""], env: {}, cwd: "/" }).length;
    const fits = { argv: ["a", "x".repeat(1024 * 1024 - overhead)], env: {}, cwd: "/" };
    expect(encodeExec(fits).length).toBe(1024 * 1024);
    expect(() => encodeExec({ ...fits, argv: [...fits.argv, ""] })).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });

  test("a size has bounds", () => {
    expect(encodeSize({ rows: 1, cols: 65_535 }).toString("hex")).toBe("0001ffff");
    expect(() => encodeSize({ rows: Number.NaN, cols: 1 })).toThrow();
  });
});

describe("exit", () => {
  test.each([
    [[0, 0], { code: 0, signal: null }],
    [[0, 255], { code: 255, signal: null }],
    [[1, 9], { code: null, signal: "SIGKILL" }],
    [[1, 6], { code: null, signal: "SIGABRT" }],
    [[1, 29], { code: null, signal: "SIGIO" }],
    [[1, 40], { code: 168, signal: null }],
  ])("%j is %j", (bytes, status) => {
    expect(parseExit(Buffer.from(bytes))).toEqual(status);
  });

  test.each([[[]], [[0]], [[2, 0]], [[0, 0, 0]]])("refuses %j", (bytes) => {
    expect(() => parseExit(Buffer.from(bytes))).toThrow(FrameError);
  });
});

describe("failures", () => {
  const request = { argv: ["tool"], cwd: "/w" };
  const failed = (stage: number, errno: number) => parseFailure(Buffer.from([stage, 0, 0, 0, errno]));

  test.each([
    [STAGE.lookup, 2, "EXEC_NOT_FOUND"],
    [STAGE.execute, 13, "EXEC_NOT_EXECUTABLE"],
    [STAGE.execute, 8, "EXEC_NOT_EXECUTABLE"],
    [STAGE.interpreter, 2, "EXEC_NOT_EXECUTABLE"],
    [STAGE.directory, 2, "EXEC_NOT_EXECUTABLE"],
    [STAGE.fork, 11, "LIMIT_EXCEEDED"],
    [STAGE.resources, 24, "LIMIT_EXCEEDED"],
    [STAGE.terminal, 5, "INTERNAL"],
    [200, 1, "INTERNAL"],
  ])("step %d with errno %d is %s", (stage, errno, code) => {
    const error = execFailure(failed(stage, errno), request);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/tool|\/w/);
  });

  test("a refused connection says that nothing listens", () => {
    expect(dialFailure(failed(STAGE.connect, 111), 8080).message).toBe("port 8080 of the sandbox cannot be reached: nothing listens there");
  });

  test("an errno that is none stays a number", () => {
    expect(parseFailure(Buffer.from([1, 0xff, 0xff, 0xff, 0xff])).errno).toBe("errno 4294967295");
    expect(() => parseFailure(Buffer.alloc(4))).toThrow(FrameError);
  });
});
