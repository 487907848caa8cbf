import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

/** A program of the bench that runs as a process of its own and answers questions. */
export type Child<Ready> = AsyncDisposable & {
  readonly pid: number;
  readonly ready: Ready;
  ask<Reply>(question: string, argument?: unknown): Promise<Reply>;
};

export type ChildOptions = {
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeArguments?: readonly string[];
  readonly timeoutMs?: number;
};

type Message = { readonly ready: unknown } | { readonly id: number; readonly reply?: unknown; readonly error?: string };

const READY_MS = 30_000;
const STOP_MS = 10_000;
/** no question takes longer, on however busy a machine */
const ANSWER_MS = 150_000;

/** Starts `program` (a file beside this one, or its whole path) and waits until it is ready. It ends with the scope, and when this process does. */
export async function startChild<Ready>(program: string, parameters: unknown, options: ChildOptions = {}): Promise<Child<Ready>> {
  const file = resolve(import.meta.dirname, program);
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), file, JSON.stringify(parameters)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", ...options.env },
    ...options.owner,
  });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  const ready = Promise.withResolvers<unknown>();
  let ended = false;
  const fail = (error: Error): void => {
    ended = true;
    ready.reject(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  child.once("error", fail);
  child.once("exit", (code, signal) => fail(new Error(`${program} ended with ${code ?? signal}`)));
  child.on("message", (message: Message) => {
    if ("ready" in message) return ready.resolve(message.ready);
    const asked = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) asked?.resolve(message.reply);
    else asked?.reject(new Error(`${program}: ${message.error}`));
  });
  const late = setTimeout(() => fail(new Error(`${program} was not ready within ${READY_MS} ms`)), options.timeoutMs ?? READY_MS);
  const value = await ready.promise.catch(async (error: unknown) => {
    await stop(child);
    throw error;
  });
  clearTimeout(late);
  let lastId = 0;
  return {
    pid: child.pid ?? 0,
    ready: value as Ready,
    ask: async <Reply>(question: string, argument: unknown = null): Promise<Reply> => {
      if (ended) throw new Error(`${program} has ended`);
      lastId += 1;
      const answer = Promise.withResolvers<unknown>();
      waiting.set(lastId, answer);
      const timer = setTimeout(() => answer.reject(new Error(`${program} did not answer ${question} within ${ANSWER_MS} ms`)), ANSWER_MS);
      child.send({ id: lastId, question, argument });
      try {
        return (await answer.promise) as Reply;
      } finally {
        clearTimeout(timer);
      }
    },
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** The channel closes, which tells the program to end; what does not end is killed. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, "exit");
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exit;
  clearTimeout(timer);
}
