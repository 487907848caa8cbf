/** The client of the gateway's figures, in a process of its own. */
import { setTimeout as delay } from "node:timers/promises";
import { Connection, type Outcome, requestHead, type Target } from "./connection.ts";
import { percentiles } from "./figures.ts";
import { parameters, serve } from "./program.ts";
import { CHAT_PATH, CHAT_QUESTION, DOWNLOAD_PATH, LLM_HOST, PLACEHOLDER, STREAM_HEADER, STREAM_QUESTION, UPLOAD_PATH } from "./traffic.ts";

export type Latency = { readonly count: number; readonly rps: number; readonly p50: number; readonly p95: number; readonly p99: number };
export type ClosedLoad = { readonly target: Target; readonly connections: number; readonly durationMs: number };
export type OpenLoad = ClosedLoad & { readonly rps: number };
export type OpenStreams = { readonly targets: readonly Target[]; readonly connections: number };
export type StreamLoad = {
  readonly rampMs: number;
  readonly pieces: number;
  readonly intervalMs: number;
};
export type StreamResult = { readonly p50: number; readonly p99: number; readonly streams: number; readonly seconds: number };
export type BodyLoad = {
  readonly target: Target;
  readonly bytes: number;
  readonly times: number;
  readonly kind: "upload" | "model upload" | "download";
};

const key = { authorization: `Bearer ${PLACEHOLDER}` };
const question = Buffer.from(CHAT_QUESTION);
const chat = Buffer.concat([
  requestHead({ method: "POST", path: CHAT_PATH, host: LLM_HOST, length: question.length, headers: key }),
  question,
]);

async function openAll(targets: readonly Target[], count: number): Promise<readonly Connection[]> {
  const open: Connection[] = [];
  // handshakes in small groups: a burst of them is another figure
  while (open.length < count) {
    const group = Array.from({ length: Math.min(16, count - open.length) }, (_, i) => targets[(open.length + i) % targets.length]);
    const opened = await Promise.allSettled(group.map((target) => Connection.open(target as Target)));
    open.push(...opened.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
    const failed = opened.find((one) => one.status === "rejected");
    if (failed === undefined) continue;
    for (const connection of open) connection.close();
    throw failed.reason;
  }
  return open;
}

async function withConnections<T>(targets: readonly Target[], count: number, use: (open: readonly Connection[]) => Promise<T>): Promise<T> {
  const open = await openAll(targets, count);
  try {
    return await use(open);
  } finally {
    for (const connection of open) connection.close();
  }
}

function summary(latencies: readonly number[], ms: number): Latency {
  return { count: latencies.length, rps: (latencies.length / ms) * 1000, ...percentiles(latencies, 50, 95, 99) };
}

/** Each connection sends its next request when the answer to the last one is there. */
function closed({ target, connections, durationMs }: ClosedLoad): Promise<Latency> {
  return withConnections([target], connections, async (open) => {
    const latencies: number[] = [];
    const until = performance.now() + durationMs;
    const startedAt = performance.now();
    await Promise.all(
      open.map(async (connection) => {
        while (performance.now() < until) latencies.push((await connection.send(chat)).totalMs);
      }),
    );
    return summary(latencies, performance.now() - startedAt);
  });
}

/** Requests begin at their times whatever the answers do; latency counts from the time at which one should have begun. */
function paced({ target, connections, durationMs, rps }: OpenLoad): Promise<Latency> {
  return withConnections([target], connections, async (open) => {
    const latencies: number[] = [];
    const free = [...open];
    const waiting: number[] = [];
    const running = new Set<Promise<void>>();
    const startedAt = performance.now();
    const begin = (connection: Connection, due: number): void => {
      const work = connection.send(chat).then(() => {
        latencies.push(performance.now() - due);
        const next = waiting.shift();
        if (next === undefined) free.push(connection);
        else begin(connection, next);
      });
      running.add(work);
      void work.finally(() => running.delete(work));
    };
    for (let sent = 0; ; ) {
      const now = performance.now();
      if (now - startedAt > durationMs) break;
      for (; startedAt + (sent * 1000) / rps <= now; sent += 1) {
        const due = startedAt + (sent * 1000) / rps;
        const connection = free.pop();
        if (connection === undefined) waiting.push(due);
        else begin(connection, due);
      }
      await delay(1);
    }
    while (running.size > 0) await Promise.all(running);
    return summary(latencies, performance.now() - startedAt);
  });
}

let open: { readonly targets: readonly Target[]; readonly connections: (Connection | undefined)[] } = { targets: [], connections: [] };

/** Where {@link streams} goes, and with how many connections; those of before are closed. */
function connect({ targets, connections }: OpenStreams): void {
  for (const connection of open.connections) connection?.close();
  open = { targets, connections: Array.from({ length: connections }, () => undefined) };
}

/** The i-th connection: the one that stands from the pass before, or a new one. */
async function connectionAt(i: number): Promise<Connection> {
  const { targets, connections } = open;
  const standing = connections[i];
  if (standing !== undefined && !standing.isClosed) return standing;
  const target = targets[i % targets.length];
  if (target === undefined) throw new Error("there is nothing to connect to");
  const connection = await Connection.open(target);
  connections[i] = connection;
  return connection;
}

/** One stream on every connection, begun evenly over the ramp so that first bytes do not queue behind each other. */
async function streams({ rampMs, pieces, intervalMs }: StreamLoad): Promise<StreamResult> {
  const body = Buffer.from(STREAM_QUESTION);
  const headers = { ...key, [STREAM_HEADER]: `${pieces},${intervalMs}` };
  const request = Buffer.concat([requestHead({ method: "POST", path: CHAT_PATH, host: LLM_HOST, length: body.length, headers }), body]);
  const startedAt = performance.now();
  const outcomes = await Promise.all(
    open.connections.map(async (_, i) => {
      await delay((i * rampMs) / open.connections.length);
      return (await connectionAt(i)).send(request);
    }),
  );
  const first = outcomes.map((outcome) => outcome.firstByteMs);
  return { ...percentiles(first, 50, 99), streams: outcomes.length, seconds: (performance.now() - startedAt) / 1000 };
}

/** MB/s of large bodies, one after another on one connection. */
function bodies({ target, bytes, times, kind }: BodyLoad): Promise<{ readonly mbPerSecond: readonly number[] }> {
  return withConnections([target], 1, async ([connection]) => {
    if (connection === undefined) throw new Error("no connection");
    const { head, parts } = bodyRequest(kind, bytes, target.servername);
    const speeds: number[] = [];
    for (let i = 0; i < times; i += 1) {
      const { totalMs }: Outcome = await connection.send(head, parts);
      speeds.push(bytes / 1e6 / (totalMs / 1000));
    }
    return { mbPerSecond: speeds };
  });
}

function bodyRequest(kind: BodyLoad["kind"], bytes: number, host: string): { readonly head: Buffer; readonly parts: readonly Buffer[] } {
  if (kind === "download") return { head: requestHead({ method: "GET", path: `${DOWNLOAD_PATH}${bytes}`, host, length: 0 }), parts: [] };
  const [begin, end] =
    kind === "upload" ? ["", ""] : ['{"model":"gpt-4o-mini","messages":[{"role":"user","content":"', '"}],"max_tokens":256}'];
  const text = Buffer.alloc(1 << 20, "the quick brown fox ");
  const parts = [Buffer.from(begin ?? "")];
  for (let left = bytes - (begin ?? "").length - (end ?? "").length; left > 0; left -= text.length)
    parts.push(text.subarray(0, Math.min(left, text.length)));
  parts.push(Buffer.from(end ?? ""));
  // the placeholder is for the provider alone: the gateway refuses it elsewhere
  const request = kind === "upload" ? { path: UPLOAD_PATH } : { path: CHAT_PATH, headers: key };
  return { head: requestHead({ method: "POST", host, length: bytes, ...request }), parts };
}

parameters<null>();
serve({}, { closed, paced, connect, streams, bodies });
