import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../src/base/error.ts";
import { ROUTES } from "../../src/server/routes/all.ts";
import { LATER_PATHS } from "../../src/server/routes/later.ts";
import { startServer, type TestServer } from "../support/api-server.ts";
import { waitFor } from "../support/wait-for.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const api: TestServer["api"] = (...args) => server.api(...args);

describe("the envelope", () => {
  it("wraps data, and names the request in a header", async () => {
    const answer = await api("GET", "/health");
    expect(answer.body).toEqual({ success: true, data: "ok" });
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });

  it("gives an error with code, sentence and request", async () => {
    const { status, body } = await api("GET", "/sandboxes/nobody");
    expect(status).toBe(404);
    expect(body).toEqual({
      success: false,
      error: "there is no sandbox nobody",
      code: "NOT_FOUND",
      request_id: expect.stringMatching(/^req_/),
    });
  });

  it("passes code, status and hint of an AppError on", async () => {
    server.app.failNext = new AppError("POLICY_DENIED", "the operator's list is locked", { hint: "ask the operator" });
    const { status, body } = await api("POST", "/run", { body: { command: ["echo"] } });
    expect(status).toBe(403);
    expect(body).toMatchObject({ code: "POLICY_DENIED", error: "the operator's list is locked", hint: "ask the operator" });
  });

  it("keeps the inside of a fault inside", async () => {
    server.app.failNext = new Error("password=hunter2 in /root/x");
    const { status, body } = await api("POST", "/run", { body: { command: ["echo"] } });
    expect(status).toBe(500);
    expect(body.code).toBe("INTERNAL");
    expect(JSON.stringify(body)).not.toContain("hunter2");
  });

  it("answers an unknown route with 404", async () => {
    expect(await api("GET", "/nothing")).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
    expect(await api("PUT", "/run")).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
  });
});

describe("validation", () => {
  it.each([
    ["POST", "/run", { command: [] }, "body.command"],
    ["GET", "/audit/export?ocsf_version=1.6.0", undefined, "ocsf_version is for format=ocsf"],
    ["POST", "/run", { command: ["a", 1] }, "body.command.1"],
    ["POST", "/run", { command: ["a"], colour: "red" }, "colour"],
    ["POST", "/run", {}, "body.command"],
    ["POST", "/run", "[]", "body"],
    ["POST", "/run", '{"command":', "not JSON"],
    ["POST", "/sandboxes", { name: "-x" }, "body.name"],
    ["POST", "/sandboxes", { name: "x", memory_mb: -1 }, "body.memory_mb is too small: "],
    ["POST", "/sandboxes", { name: "x", labels: { "a\nb": "c" } }, "has a name that must be 1 to 128 characters"],
    ["POST", "/sandboxes", { name: "x", labels: { a: "x".repeat(257) } }, "body.labels.a must be at most 256 characters"],
    [
      "POST",
      "/sandboxes",
      { name: "x", labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ""])) },
      "must be at most 64",
    ],
    ["POST", "/sandboxes/x/exec", { command: ["a"], env: ["NOEQUALS"] }, "body.env.0"],
    ["POST", "/sandboxes/x/extend", { by: "soon" }, "duration"],
    ["GET", "/audit?last=0", undefined, "query.last"],
    ["GET", "/audit?last=5&last=6", undefined, "query: last: given more than once"],
    ["GET", "/audit?first=5", undefined, "first"],
    ["GET", "/policy/log?denied=maybe", undefined, "query.denied is none of true, false"],
    ["GET", "/audit?since=yesterday", undefined, "duration"],
    ["GET", "/sandboxes?cursor=%21", undefined, "query.cursor"],
    ["GET", `/sandboxes/${"x".repeat(64)}`, undefined, "path.name"],
    ["POST", "/sandboxes/x/stop", { now: true }, "now"],
  ])("%s %s %j is refused with the place", async (method, path, body, place) => {
    const answer = await api(method, path, body === undefined ? {} : { body });
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe("VALIDATION");
    expect(answer.body.error).toContain(place);
  });

  it.each([
    `{"name":"K","value":"sk-very-secret`,
    `{"name":"K","value":sk-very-secret}`,
    "sk-very-secret",
    `{"name":"K","value":["sk-very-secret"]}`,
  ])("never repeats the value of a secret: %s", async (text) => {
    const { status, body } = await api("POST", "/secrets", { body: text });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).not.toContain("sk-very");
  });

  it("wants JSON to be called JSON", async () => {
    const answer = await api("POST", "/run", { body: { command: ["echo"] }, headers: { "content-type": "text/plain" } });
    expect(answer).toMatchObject({ status: 400, body: { hint: "send Content-Type: application/json" } });
  });

  it("refuses a body past 16 MiB, announced or not", async () => {
    const big = "x".repeat(16 * 1024 * 1024);
    expect(await api("POST", "/run", { body: { command: [big] } })).toMatchObject({ status: 413, body: { code: "TOO_LARGE" } });
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const outgoing = request(`${server.url}/run`, { method: "POST", headers: { "content-type": "application/json" } }, (response) =>
        resolve(response.resume().statusCode),
      );
      outgoing.on("error", reject);
      outgoing.write(big);
      outgoing.end(big);
    });
    expect(status).toBe(413);
  });

  it("takes a body just under the limit", async () => {
    const text = "x".repeat(16 * 1024 * 1024 - 100);
    expect((await api("POST", "/run", { body: { command: ["exit", "0"], stdin: text } })).status).toBe(200);
  });

  it("answers keys of later versions by name", async () => {
    expect(await api("POST", "/sandboxes", { body: { name: "x", source_url: "https://example.com/r.git" } })).toMatchObject({
      status: 501,
      body: { code: "NOT_IMPLEMENTED", error: expect.stringContaining("source_url") },
    });
  });
});

describe("commands", () => {
  it("gives both streams, interleaved as they came, and the exit code as data", async () => {
    const { status, body } = await api("POST", "/run", { body: { command: ["both"] } });
    expect(status).toBe(200);
    expect(body.data).toMatchObject({
      output: "out1\nerr1\nout2\n",
      stdout: "out1\nout2\n",
      stderr: "err1\n",
      exit_code: 3,
      duration_ms: expect.any(Number),
    });
  });

  it("joins characters that were cut, and marks broken ones", async () => {
    const { body } = await api("POST", "/run", { body: { command: ["split"] } });
    expect(body.data).toMatchObject({ stdout: "aéb\ufffd" });
  });

  it("feeds stdin and closes it", async () => {
    expect((await api("POST", "/run", { body: { command: ["cat"], stdin: "héllo" } })).body.data).toMatchObject({ stdout: "héllo" });
    expect((await api("POST", "/run", { body: { command: ["count"] } })).body.data).toMatchObject({ stdout: "0" });
  });

  it("cuts output at 16 MiB, says so, and lets the command end", async () => {
    const { body } = await api("POST", "/run", { body: { command: ["bytes", String(20 * 1024 * 1024)] } });
    const data = body.data as { stdout: string; truncated: boolean; exit_code: number };
    expect(data).toMatchObject({ truncated: true, exit_code: 0 });
    expect(data.stdout.length).toBeLessThanOrEqual(16 * 1024 * 1024);
  });

  it("reports a timeout as 124 with its reason", async () => {
    const { body } = await api("POST", "/run", { body: { command: ["sleep"], timeout_ms: 20 } });
    expect(body.data).toMatchObject({ exit_code: 124, reason: "timeout" });
  });

  it("removes the sandbox when the client goes", async () => {
    const leaving = new AbortController();
    const answer = api("POST", "/run", { body: { command: ["sleep"] }, signal: leaving.signal });
    await waitFor(() => server.app.running.size === 1);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await waitFor(() => server.app.running.size === 0);
  });

  it("runs a batch in order, and keeps refusals beside results", async () => {
    const commands = [["echo", "a"], ["nope"], ["exit", "4"], ["echo", "b"]].map((command) => ({ command }));
    const { body } = await api("POST", "/batch/run", { body: { commands } });
    expect(body.data).toEqual({
      results: [
        { output: "a\n", error: null, exit_code: 0 },
        { output: null, error: "nope: not found", exit_code: null },
        { output: "", error: "the command exited with 4", exit_code: 4 },
        { output: "b\n", error: null, exit_code: 0 },
      ],
    });
  });

  it("streams as it comes", async () => {
    const events = [];
    for await (const event of server.client.runStream({ command: ["both"] })) events.push(event);
    expect(events.map(({ type }) => type)).toEqual(["started", "progress", "output", "output", "output", "done"]);
    expect(events.flatMap((event) => (event.type === "output" ? [`${event.data.stream}:${event.data.data}`] : []))).toEqual([
      "stdout:out1\n",
      "stderr:err1\n",
      "stdout:out2\n",
    ]);
    expect(events.at(-1)).toMatchObject({ type: "done", data: { exit_code: 3, success: false } });
  });

  it("shows the first output while the command still runs, and kills it when the reader leaves", async () => {
    for await (const event of server.client.runStream({ command: ["yes"] })) {
      if (event.type === "output") break;
    }
    await waitFor(() => server.app.running.size === 0);
  });

  it("sends a failure within the stream", async () => {
    const read = async (): Promise<void> => {
      for await (const event of server.client.runStream({ command: ["nope"] })) expect(event.type).toBe("started");
    };
    await expect(read()).rejects.toMatchObject({ code: "EXEC_NOT_FOUND", message: "nope: not found" });
  });

  it("stops reading a command whose reader stopped", async () => {
    server.app.produced = 0;
    const response = await fetch(`${server.url}/run/stream`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ command: ["bytes", String(1024 * 1024 * 1024)] }),
    });
    const reader = response.body!.getReader();
    await reader.read();
    await settled(() => server.app.produced);
    expect(server.app.produced).toBeLessThan(64 * 1024 * 1024);
    await reader.cancel();
    await waitFor(() => server.app.running.size === 0);
  });
});

describe("sandboxes", () => {
  it("lives from create to remove", async () => {
    const made = await api("POST", "/sandboxes", { body: { name: "web", labels: { team: "a" } } });
    expect(made.status).toBe(201);
    const { uuid } = made.body.data as { uuid: string };
    expect((await api("POST", "/sandboxes", { body: { name: "web" } })).status).toBe(409);
    expect((await api("GET", `/sandboxes/by-uuid/${uuid}`)).body.data).toMatchObject({ name: "web" });
    expect((await api("GET", "/sandboxes?label=team:a")).body.data).toHaveLength(1);
    expect((await api("GET", "/sandboxes?label=team:b")).body.data).toHaveLength(0);
    expect((await api("POST", "/sandboxes/web/stop")).body.data).toBe("sandbox web stopped");
    expect((await api("GET", "/sandboxes/web")).body.data).toMatchObject({ status: "stopped" });
    expect((await api("POST", "/sandboxes/web/exec", { body: { command: ["echo"] } })).body.code).toBe("SANDBOX_ENDED");
    expect((await api("POST", "/sandboxes/web/start")).body.data).toBe("sandbox web started");
    expect((await api("POST", "/sandboxes/web/extend", { body: { by: "2h" } })).body.data).toEqual({
      expires_at: "2030-01-01T02:00:00.000Z",
    });
    expect((await api("POST", "/sandboxes/web/exec", { body: { command: ["echo", "hi"], env: ["A=b"] } })).body.data).toMatchObject({
      output: "hi\n",
    });
    expect((await api("DELETE", "/sandboxes/web")).body.data).toBe("sandbox web removed");
    expect((await api("DELETE", "/sandboxes/web")).status).toBe(404);
  });

  it("pages a list by cursor, also when the page's last is removed", async () => {
    for (const name of ["p1", "p2", "p3", "p4"]) await api("POST", "/sandboxes", { body: { name } });
    const first = await server.client.listSandboxes({ limit: 2 });
    expect(first.items.map(({ name }) => name)).toEqual(["p1", "p2"]);
    await api("DELETE", "/sandboxes/p2");
    const second = await server.client.listSandboxes({ limit: 2, cursor: first.nextCursor! });
    expect(second.items.map(({ name }) => name)).toEqual(["p3", "p4"]);
    expect(second.nextCursor).toBeUndefined();
  });

  it("starts, lists and kills background commands", async () => {
    await api("POST", "/sandboxes", { body: { name: "background" } });
    const { body } = await api("POST", "/sandboxes/background/exec/detach", { body: { command: ["sleep"] } });
    const { id } = body.data as { id: string };
    expect((await api("GET", "/sandboxes/background/exec/detached")).body.data).toHaveLength(1);
    expect((await api("GET", `/sandboxes/background/exec/detached/${id}/logs?stream=stderr`)).body.data).toEqual({ stderr: "e" });
    expect((await api("DELETE", `/sandboxes/background/exec/detached/${id}`)).body.data).toBe(`command ${id} killed`);
    expect((await api("GET", `/sandboxes/background/exec/detached/${id}`)).body.data).toMatchObject({ status: "failed" });
  });
});

describe("Idempotency-Key", () => {
  const send = (key: string, body: unknown, path = "/sandboxes"): ReturnType<TestServer["api"]> =>
    api("POST", path, { body, headers: { "idempotency-key": key } });

  it("answers a repeated request without doing it again", async () => {
    const first = await send("k1", { name: "once" });
    const second = await send("k1", { name: "once" });
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(server.app.calls.filter(({ method, args }) => method === "create" && (args as { name: string }).name === "once")).toHaveLength(
      1,
    );
  });

  it("does two at the same time once", async () => {
    const [a, b] = await Promise.all([send("k2", { command: ["both"] }, "/run"), send("k2", { command: ["both"] }, "/run")]);
    expect(a.body).toEqual(b.body);
  });

  it("refuses another body under the same key", async () => {
    await send("k3", { name: "one-body" });
    expect(await send("k3", { name: "another" })).toMatchObject({ status: 409, body: { code: "CONFLICT" } });
  });

  it("keeps a refusal, but tries again after a passing fault", async () => {
    server.app.failNext = new AppError("AUDIT_UNAVAILABLE", "the disk is away");
    expect((await send("k4", { name: "later" })).status).toBe(503);
    expect((await send("k4", { name: "later" })).status).toBe(201);
    server.app.failNext = new AppError("POLICY_DENIED", "no");
    expect((await send("k5", { name: "never" })).status).toBe(403);
    expect((await send("k5", { name: "never" })).status).toBe(403);
  });

  it("does not run a streamed command twice", async () => {
    const headers = { "content-type": "application/json", "idempotency-key": "k6" };
    const body = JSON.stringify({ command: ["echo"] });
    await (await fetch(`${server.url}/run/stream`, { method: "POST", headers, body })).text();
    const again = await fetch(`${server.url}/run/stream`, { method: "POST", headers, body });
    expect(again.status).toBe(409);
  });
});

describe("later versions", () => {
  it.each(LATER_PATHS.map(({ path }) => path.replace(":name", "x").replace("*", "some/thing")))("%s answers 501", async (path) => {
    for (const method of ["GET", "POST"]) expect(await api(method, path)).toMatchObject({ status: 501, body: { code: "NOT_IMPLEMENTED" } });
  });

  it("takes unencoded paths of files, as the SDK sends them", async () => {
    expect((await api("GET", "/sandboxes/x/files//etc/passwd")).status).toBe(501);
  });
});

describe("metrics", () => {
  it("counts every request under its route, not its path", async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain("GET /sandboxes/{name} 404");
    expect(text).toContain("GET unknown 404");
    expect(text).not.toContain("nobody");
  });
});

it("routes are unique", () => {
  expect(new Set(ROUTES.map(({ method, path }) => `${method} ${path}`)).size).toBe(ROUTES.length);
});

/** Resolves when a figure that is above 0 has stopped growing. */
async function settled(figure: () => number): Promise<void> {
  let last = 0;
  await waitFor(
    () => {
      const same = figure() > 0 && figure() === last;
      last = figure();
      return same;
    },
    { intervalMs: 100 },
  );
}
