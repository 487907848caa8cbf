import { readFile } from "node:fs/promises";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { connectInit } from "../../src/backends/init/client.ts";
import { encodeFrame, FRAME, type Frame, FrameDecoder, FrameError, type FrameType, HEADER_BYTES } from "../../src/backends/init/frame.ts";
import { encodeExec, encodeHello } from "../../src/backends/init/message.ts";
import { silentLog } from "../../src/base/log.ts";
import { execRequest, startInitProcess } from "../support/init-process.ts";
import { fuzz } from "../support/fuzz.ts";

const MAX = 4096;

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const channel = fc.constantFrom(0 as const, 1 as const, 2 as const);
const type = fc.constantFrom(...(Object.values(FRAME) as FrameType[]));
const frame = fc.record({ type, channel, stream: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.nat(0xffffffff)), payload: bytes(600) });

/** Cuts bytes at these places, whatever they are. */
function cut(wire: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < wire.length; i += 1) {
    const size = sizes.length === 0 ? wire.length : (sizes[i % sizes.length] ?? 1);
    chunks.push(wire.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function decode(chunks: readonly Buffer[]): { readonly frames: Frame[]; readonly error: boolean; readonly held: number } {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder({ maxPayload: MAX });
  let held = 0;
  try {
    for (const chunk of chunks) {
      decoder.push(chunk, (one) => frames.push({ ...one, payload: Buffer.from(one.payload) }));
      held = Math.max(held, decoder.pending);
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    return { frames, error: true, held };
  }
  return { frames, error: false, held };
}

const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 20 });

describe("the frame decoder", () => {
  test("gives the frames that were encoded, in any chunking", async () => {
    await fuzz(
      fc.property(fc.array(frame, { maxLength: 20 }), sizes, (frames, at) => {
        const wire = Buffer.concat(frames.map((one) => encodeFrame(one.type, one.channel, one.stream, one.payload)));
        const result = decode(cut(wire, at));
        expect(result.error).toBe(false);
        expect(result.frames).toEqual(frames);
      }),
      { runs: 500 },
    );
  });

  test("gives the same for garbage in any chunking, within its bounds", async () => {
    await fuzz(
      fc.property(bytes(3000), sizes, (garbage, at) => {
        const whole = decode([garbage]);
        const parts = decode(cut(garbage, at));
        expect(parts.frames).toEqual(whole.frames);
        expect(parts.error).toBe(whole.error);
        expect(parts.held).toBeLessThanOrEqual(HEADER_BYTES + MAX);
      }),
      { runs: 500 },
    );
  });
});

describe("the client", () => {
  test("answers whatever an init says with results or a named error, and never hangs", async () => {
    await fuzz(
      fc.asyncProperty(fc.array(fc.oneof(frame, frame, bytes(200)), { maxLength: 30 }), sizes, fc.boolean(), async (said, at, greets) => {
        const wire = Buffer.concat([
          greets ? encodeFrame(FRAME.hello, 0, 0, encodeHello("fuzz")) : Buffer.alloc(0),
          ...said.map((one) => (Buffer.isBuffer(one) ? one : encodeFrame(one.type, one.channel, one.stream, one.payload))),
        ]);
        const channelOfInit = new Duplex({
          read: () => undefined,
          write: (_chunk, _encoding, done) => done(),
        });
        const connecting = connectInit(channelOfInit, { log: silentLog, helloTimeoutMs: 5_000 });
        const working = connecting.then(async (client) => {
          const signal = new AbortController().signal;
          // streams 1 to 4: two commands, a terminal, a connection
          await Promise.allSettled([
            ...[execRequest(["a"]), execRequest(["b"]), execRequest(["c"], { tty: { rows: 1, cols: 1 } })].map(async (request) => {
              const exec = await client.exec(request, { signal });
              exec.stdout.resume();
              exec.stdin.write("input");
              await exec.exited;
            }),
            client.dial(80, { signal }).then((stream) => stream.resume()),
          ]);
        });
        if (greets) channelOfInit.push(wire.subarray(0, 12 + encodeHello("fuzz").length));
        await new Promise((resolve) => setImmediate(resolve));
        for (const chunk of cut(greets ? wire.subarray(12 + encodeHello("fuzz").length) : wire, at))
          if (chunk.length > 0) channelOfInit.push(chunk);
        channelOfInit.push(null);
        const results = await Promise.allSettled([working, connecting.then((client) => client.closed)]);
        for (const result of results) {
          if (result.status === "rejected")
            expect(["SANDBOX_START_FAILED", "BACKEND_UNAVAILABLE", "SANDBOX_ENDED"]).toContain(result.reason.code);
        }
      }),
      { runs: 300, startsProcesses: true },
    );
  });
});

/** Plausible frames get further than noise: this is what a host that lost its mind would send. */
const almost = fc.oneof(
  frame.map((one) => encodeFrame(one.type, one.channel, one.stream, one.payload)),
  fc.integer({ min: 1, max: 4 }).map((stream) => encodeFrame(FRAME.exec, 0, stream, encodeExec(execRequest(["cat"])))),
  fc
    .integer({ min: 1, max: 4 })
    .map((stream) =>
      encodeFrame(FRAME.exec, 0, stream, encodeExec(execRequest(["sh", "-c", "yes & yes >&2"], { tty: { rows: 2, cols: 2 } }))),
    ),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), bytes(300))
    .map(([stream, payload]) => encodeFrame(FRAME.data, 0, stream, Buffer.concat([payload, Buffer.from("x")]))),
  fc.tuple(fc.integer({ min: 1, max: 4 }), channel).map(([stream, on]) => encodeFrame(FRAME.reset, on, stream)),
  fc.integer({ min: 1, max: 4 }).map((stream) => encodeFrame(FRAME.signal, 0, stream, Buffer.from([15]))),
  bytes(64),
);

/** Frames that may follow each other: stream n is opened once, and what is said about it fits. */
const legal = fc
  .array(
    fc.record({
      of: fc.nat(9),
      act: fc.constantFrom("exec", "exec", "tty", "flood", "data", "data", "eof", "reset", "signal", "resize", "credit"),
      on: channel,
      load: bytes(2000),
    }),
    { minLength: 5, maxLength: 60 },
  )
  .map((acts) => {
    const opened = new Map<number, { closed: boolean }>();
    const wire: Buffer[] = [];
    for (const { of, act, on, load } of acts) {
      const id = of + 1;
      const known = opened.get(id);
      if (act === "exec" || act === "tty" || act === "flood") {
        if (known !== undefined) continue;
        opened.set(id, { closed: false });
        const command = act === "flood" ? ["sh", "-c", "yes & yes >&2"] : ["cat"];
        wire.push(encodeFrame(FRAME.exec, 0, id, encodeExec(execRequest(command, act === "tty" ? { tty: { rows: 3, cols: 3 } } : {}))));
      } else if (act === "data" && known?.closed !== true && load.length > 0) wire.push(encodeFrame(FRAME.data, 0, id, load));
      else if (act === "eof" && known?.closed === false) {
        known.closed = true;
        wire.push(encodeFrame(FRAME.eof, 0, id));
      } else if (act === "reset") wire.push(encodeFrame(FRAME.reset, on, id));
      else if (act === "signal") wire.push(encodeFrame(FRAME.signal, 0, id, Buffer.from([1 + (load.length % 30)])));
      else if (act === "resize") wire.push(encodeFrame(FRAME.resize, 0, id, Buffer.from([0, 9, 0, 9])));
    }
    return wire;
  });

describe("init itself", () => {
  test("lives through any legal sequence, read or unread, and still answers", async () => {
    await fuzz(
      fc.asyncProperty(legal, sizes, fc.boolean(), async (said, at, isRead) => {
        await using init = startInitProcess();
        const socket = init.pipe(3);
        let complaint = "";
        init.stderr.on("data", (chunk: Buffer) => {
          complaint += String(chunk);
        });
        const last = 77;
        const seen: Frame[] = [];
        const decoder = new FrameDecoder({ maxPayload: 65_536 });
        const answered = Promise.withResolvers<string>();
        socket.on("error", () => undefined);
        socket.once("close", () => answered.resolve(`closed: ${complaint}`));
        const read = (): void => {
          socket.on("data", (chunk: Buffer) => {
            decoder.push(chunk, (one) => {
              if (one.stream === last) seen.push(one);
              if (one.stream === last && one.type === FRAME.exit) answered.resolve("answered");
            });
          });
        };
        if (isRead) read();
        const ask = encodeFrame(FRAME.exec, 0, last, encodeExec(execRequest(["echo", "here"])));
        const wire = Buffer.concat([encodeFrame(FRAME.hello, 0, 0, encodeHello("fuzz")), ...said, ask]);
        for (const chunk of cut(wire, at)) socket.write(chunk);
        if (!isRead) {
          expect(await sleepsAt(init.pid ?? 0)).toBe("idle");
          read();
        }
        expect(await answered.promise).toBe("answered");
        expect(Buffer.concat(seen.filter((one) => one.type === FRAME.data).map((one) => one.payload)).toString()).toBe("here\n");
        socket.destroy();
        expect(await init.ended).toEqual({ kind: "exited", code: 0 });
      }),
      { runs: 40, startsProcesses: true },
    );
  });

  test("ends or waits after any input, and never spins", async () => {
    await fuzz(
      fc.asyncProperty(fc.array(almost, { minLength: 1, maxLength: 25 }), sizes, fc.boolean(), async (said, at, greets) => {
        const init = startInitProcess();
        const socket = init.pipe(3);
        socket.on("error", () => undefined);
        let complaint = "";
        init.stderr.on("data", (chunk: Buffer) => {
          complaint += String(chunk);
        });
        const wire = Buffer.concat([greets ? encodeFrame(FRAME.hello, 0, 0, encodeHello("fuzz")) : Buffer.alloc(0), ...said]);
        for (const chunk of cut(wire, at)) if (!socket.destroyed) socket.write(chunk);
        // nothing is read from it: it must stop at its bounds and sleep, or have ended
        const settled = await Promise.race([init.ended, sleepsAt(init.pid ?? 0)]);
        socket.destroy();
        const end = await init.ended;
        expect(settled, `not idle: ${complaint}`).toBeDefined();
        expect(end.kind).toBe("exited");
        expect([0, 70]).toContain(end.kind === "exited" ? end.code : -1);
        if (end.kind === "exited" && end.code === 70) expect(complaint).toMatch(/^agentkernel-init: .+\n$/);
      }),
      { runs: 60, startsProcesses: true },
    );
  });

  test("a flood of commands that do not exist is answered one by one within its buffers", async () => {
    await using init = startInitProcess();
    const socket = init.pipe(3);
    socket.on("error", () => undefined);
    socket.write(encodeFrame(FRAME.hello, 0, 0, encodeHello("fuzz")));
    const count = 3_000;
    for (let i = 1; i <= count; i += 1) socket.write(encodeFrame(FRAME.exec, 0, i, encodeExec(execRequest(["/no/such/command"]))));
    const answers = new Set<number>();
    const decoder = new FrameDecoder({ maxPayload: 65_536 });
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      decoder.push(chunk, (one) => {
        if (one.type === FRAME.failed) answers.add(one.stream);
      });
      if (answers.size === count) break;
    }
    expect(answers.size).toBe(count);
  });
});

/** Resolves to "idle" once the process sleeps and used no processor time between two looks; undefined after 10 s of neither. */
async function sleepsAt(pid: number): Promise<"idle" | undefined> {
  const deadline = performance.now() + 10_000;
  let before = -1;
  while (performance.now() < deadline) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined) return "idle";
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    if (fields[0] === "S" && ticks === before) return "idle";
    before = ticks;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return undefined;
}
