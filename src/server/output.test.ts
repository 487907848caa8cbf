import { PassThrough, Readable } from "node:stream";
import { expect, it } from "vitest";
import { exitCodeOf } from "../base/exit-code.ts";
import { chunkDecoder, chunksOf, collectOutput } from "./output.ts";
import { formatEvent } from "./sse.ts";

it("decodes UTF-8 the same at every cut, mark included", () => {
  const bytes = Buffer.from("\ufeffaé日😀z");
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const decode = chunkDecoder();
    expect(decode(bytes.subarray(0, cut)) + decode(bytes.subarray(cut)) + decode(null)).toBe("\ufeffaé日😀z");
  }
});

it("caps each stream by itself and reads both to their ends", async () => {
  const stdout = Readable.from([Buffer.alloc(60, "a"), Buffer.alloc(60, "b"), Buffer.alloc(60, "c")]);
  const stderr = Readable.from([Buffer.alloc(100, "e")]);
  const got = await collectOutput({ stdout, stderr }, 100);
  expect([got.stdout, got.stderr, got.truncated]).toEqual(["a".repeat(60) + "b".repeat(40), "e".repeat(100), true]);
  expect(stdout.readableEnded).toBe(true);
});

it("keeps the order of arrival over both streams", async () => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const collected = collectOutput({ stdout, stderr });
  for (let i = 0; i < 20; i += 1) (i % 3 === 0 ? stderr : stdout).write(`${i} `);
  stdout.end();
  stderr.end();
  expect((await collected).output).toBe(Array.from({ length: 20 }, (_, i) => `${i} `).join(""));
});

it("takes a stream that breaks for one that ended", async () => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const collected = collectOutput({ stdout, stderr });
  stdout.write("before");
  stdout.destroy(new Error("the sandbox is gone"));
  stderr.destroy();
  expect(await collected).toMatchObject({ truncated: false, stderr: "" });
  const chunks = [];
  const broken = new PassThrough();
  broken.write("a");
  setImmediate(() => broken.destroy(new Error("gone")));
  for await (const chunk of chunksOf(broken)) chunks.push(String(chunk));
  expect(chunks).toEqual(["a"]);
});

it.each([
  [{ code: 7, signal: null }, 7],
  [{ code: null, signal: "SIGINT" }, 130],
  [{ code: null, signal: "SIGTERM", reason: "timeout" }, 124],
  [{ code: 0, signal: null, reason: "timeout" }, 124],
  [{ code: null, signal: "SIGKILL", reason: "memory" }, 137],
  [{ code: null, signal: null }, 125],
] as const)("maps %j to exit code %i", (end, code) => expect(exitCodeOf(end)).toBe(code));

it("writes an event in one piece, line breaks in data included", () => {
  expect(formatEvent({ event: "output", data: { data: "a\nb\r\n\u2028" }, id: "evt_1" })).toBe(
    'id: evt_1\nevent: output\ndata: {"data":"a\\nb\\r\\n\u2028"}\n\n',
  );
});
