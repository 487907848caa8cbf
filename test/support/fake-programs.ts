import { once } from "node:events";
import { PassThrough, type Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { RunningExec } from "../../src/app/facade.ts";
import { AppError } from "../../src/base/error.ts";
import { newId } from "../../src/base/id.ts";

/** What a program of the fake sandboxes is given. */
type ProgramIo = {
  readonly args: readonly string[];
  readonly stdin: AsyncIterable<Buffer>;
  readonly closeStdin: () => void;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** aborted by a signal; the reason is its name */
  readonly killed: AbortSignal;
  readonly sizes: readonly { readonly rows: number; readonly cols: number }[];
  /** counts bytes that somebody took */
  readonly produced: (bytes: number) => void;
};
type Program = (io: ProgramIo) => Promise<number>;

const write = (to: Writable, bytes: Buffer | string): Promise<void> =>
  new Promise((resolve) => {
    if (to.destroyed) resolve();
    else to.write(bytes, () => resolve());
  });

/** Programs that a fake sandbox can run. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  echo: async ({ args, stdout }) => {
    await write(stdout, `${args.join(" ")}\n`);
    return 0;
  },
  exit: ({ args }) => Promise.resolve(Number(args[0])),
  both: async ({ stdout, stderr }) => {
    for (const [to, text] of [
      [stdout, "out1\n"],
      [stderr, "err1\n"],
      [stdout, "out2\n"],
    ] as const) {
      await write(to, text);
      await delay(5);
    }
    return 3;
  },
  /** an é cut in two */
  split: async ({ stdout }) => {
    await write(stdout, Buffer.from([0x61, 0xc3]));
    await delay(5);
    await write(stdout, Buffer.from([0xa9, 0x62, 0xff]));
    return 0;
  },
  cat: async ({ stdin, stdout }) => {
    for await (const chunk of stdin) await write(stdout, chunk);
    return 0;
  },
  count: async ({ stdin, stdout }) => {
    let bytes = 0;
    for await (const chunk of stdin) bytes += chunk.length;
    await write(stdout, String(bytes));
    return 0;
  },
  /** `bytes N`: N bytes that differ */
  bytes: async ({ args, stdout, killed, produced }) => {
    const chunk = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    for (let left = Number(args[0]); left > 0 && !killed.aborted; left -= chunk.length) {
      await write(stdout, chunk.subarray(0, Math.min(left, chunk.length)));
      produced(Math.min(left, chunk.length));
    }
    return 0;
  },
  sleep: async ({ killed }) => {
    if (!killed.aborted) await once(killed, "abort");
    return -1;
  },
  /** writes without end, reads nothing */
  yes: async ({ stdout, killed }) => {
    while (!killed.aborted)
      await Promise.race([
        write(stdout, Buffer.alloc(65_536, "y\n")),
        new Promise((resolve) => killed.addEventListener("abort", resolve, { once: true })),
      ]);
    return -1;
  },
  closestdin: async ({ closeStdin, killed, stdout }) => {
    closeStdin();
    await write(stdout, "closed\n");
    return PROGRAMS["sleep"]?.({ killed } as ProgramIo) ?? 0;
  },
  /** prints the terminal's sizes until it is killed */
  sizes: async ({ killed, sizes, stdout }) => {
    let shown = 0;
    while (!killed.aborted) {
      for (const size of sizes.slice(shown)) await write(stdout, `${size.rows}x${size.cols}\n`);
      shown = sizes.length;
      await delay(2);
    }
    return -1;
  },
};

/** Starts one of them; `produced` counts the bytes that `bytes` gets rid of. */
export function launchFake(
  counter: { produced: number },
  argv: readonly string[],
  options: {
    readonly tty?: { rows: number; cols: number } | undefined;
    readonly signal: AbortSignal;
    readonly timeoutMs?: number | undefined;
  },
): RunningExec {
  const program = PROGRAMS[argv[0] ?? ""];
  if (program === undefined) throw new AppError("EXEC_NOT_FOUND", `${argv[0]}: not found`);
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const killed = new AbortController();
  let signal: NodeJS.Signals | null = null;
  let reason: string | undefined;
  const kill = (name: NodeJS.Signals, why?: string): void => {
    signal ??= name;
    reason ??= why;
    killed.abort(name);
  };
  if (options.signal.aborted) kill("SIGKILL", "cancelled");
  options.signal.addEventListener("abort", () => kill("SIGKILL", "cancelled"), { once: true });
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => kill("SIGTERM", "timeout"), options.timeoutMs);
  const sizes = options.tty === undefined ? [] : [options.tty];
  const run = async (): Promise<{ code: number | null; signal: NodeJS.Signals | null; reason?: string }> => {
    const code = await program({
      args: argv.slice(1),
      stdin,
      closeStdin: () => stdin.destroy(),
      stdout,
      stderr,
      killed: killed.signal,
      sizes,
      produced: (bytes) => (counter.produced += bytes),
    });
    clearTimeout(timer);
    stdout.end();
    stderr.end();
    const end = signal === null ? { code, signal } : { code: null, signal };
    return reason === undefined ? end : { ...end, reason };
  };
  const exited = run();
  return {
    id: newId("exe"),
    pid: 7,
    stdin,
    stdout,
    stderr,
    exited,
    kill: (name) => kill(name),
    resize: (size) => sizes.push({ ...size }),
  };
}
