import { AgentKernel, AgentKernelError, AuthError, NetworkError, NotFoundError, ServerError, ValidationError } from "agentkernel";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../src/base/error.ts";
import { Secret } from "../../src/base/secret.ts";
import { startServer, type TestServer } from "../support/api-server.ts";
import { waitFor } from "../support/wait-for.ts";

/** The public npm SDK, unmodified, against a real socket. */
let server: TestServer;
let sdk: AgentKernel;
beforeAll(async () => {
  server = await startServer();
  sdk = new AgentKernel({ baseUrl: server.url });
});
afterAll(() => server[Symbol.asyncDispose]());

describe("agentkernel 0.18.1", () => {
  it("health", async () => expect(await sdk.health()).toBe("ok"));

  it("run", async () => {
    expect(await sdk.run(["echo", "hello"])).toMatchObject({ output: "hello\n" });
    expect(server.app.calls.at(-1)).toMatchObject({ method: "run", args: { command: ["echo", "hello"], fast: true } });
    expect(await sdk.run(["both"], { image: "alpine:3.20", profile: "restrictive", fast: false })).toMatchObject({
      output: "out1\nerr1\nout2\n",
      exit_code: 3,
    });
    expect(server.app.calls.at(-1)).toMatchObject({ args: { image: "alpine:3.20", profile: "restrictive", fast: false } });
  });

  it("runStream", async () => {
    const events = [];
    for await (const event of sdk.runStream(["both"])) events.push(event);
    expect(events.map(({ type }) => type)).toEqual(["started", "progress", "output", "output", "output", "done"]);
    expect(events.flatMap(({ type, data }) => (type === "output" ? [data["data"]] : [])).join("")).toBe("out1\nerr1\nout2\n");
    expect(events.at(-1)?.data).toMatchObject({ exit_code: 3, success: false });
  });

  it("runStream, with a failure", async () => {
    const events = [];
    for await (const event of sdk.runStream(["nope"])) events.push(event);
    expect(events.at(-1)).toMatchObject({ type: "error", data: { message: "nope: not found" } });
  });

  it("runStream, left early, ends the command", async () => {
    for await (const event of sdk.runStream(["yes"])) if (event.type === "output") break;
    await waitFor(() => server.app.running.size === 0);
  });

  it("sandboxes", async () => {
    const made = await sdk.createSandbox("web", {
      image: "alpine:3.20",
      vcpus: 1,
      memory_mb: 256,
      profile: "moderate",
      secrets: ["OPENAI_API_KEY:api.openai.com"],
    });
    expect(made).toMatchObject({
      name: "web",
      status: "running",
      backend: "fake",
      image: "alpine:3.20",
      uuid: expect.any(String),
      created_at: expect.any(String),
    });
    expect(server.app.calls.at(-1)).toMatchObject({ args: { secrets: ["OPENAI_API_KEY:api.openai.com"] } });
    expect(await sdk.listSandboxes()).toHaveLength(1);
    expect(await sdk.getSandbox("web")).toEqual(made);
    expect(await sdk.getSandboxByUuid(made.uuid!)).toEqual(made);
    expect(await sdk.execInSandbox("web", ["echo", "x"], { env: ["A=b"], workdir: "/tmp", sudo: false })).toMatchObject({ output: "x\n" });
    expect(await sdk.extendTtl("web", { by: "1h" })).toEqual({ expires_at: "2030-01-01T01:00:00.000Z" });
    expect(await sdk.getSandboxLogs("web")).toEqual([]);
    await sdk.removeSandbox("web");
    await expect(sdk.getSandbox("web")).rejects.toBeInstanceOf(NotFoundError);
  });

  it("detached commands", async () => {
    await sdk.createSandbox("bg");
    const made = await sdk.execDetached("bg", ["sleep"], { env: ["A=b"] });
    expect(made).toMatchObject({ sandbox: "bg", command: ["sleep"], pid: 9, status: "running", exit_code: null });
    expect(await sdk.detachedStatus("bg", made.id)).toEqual(made);
    expect(await sdk.detachedList("bg")).toEqual([made]);
    expect(await sdk.detachedLogs("bg", made.id)).toEqual({ stdout: "o", stderr: "e" });
    expect(await sdk.detachedLogs("bg", made.id, "stderr")).toEqual({ stderr: "e" });
    expect(await sdk.detachedKill("bg", made.id)).toEqual(expect.any(String));
    await sdk.removeSandbox("bg");
  });

  it("batchRun", async () => {
    expect(await sdk.batchRun([{ command: ["echo", "1"] }, { command: ["nope"] }])).toEqual({
      results: [
        { output: "1\n", error: null, exit_code: 0 },
        { output: null, error: "nope: not found", exit_code: null },
      ],
    });
    expect(await sdk.batchRun([])).toEqual({ results: [] });
  });

  it("sandbox sessions", async () => {
    {
      await using session = await sdk.sandbox("session");
      expect(await session.run(["echo", "in"])).toMatchObject({ output: "in\n" });
      expect(await session.info()).toMatchObject({ name: "session" });
    }
    await expect(sdk.getSandbox("session")).rejects.toBeInstanceOf(NotFoundError);
  });

  it.each<[string, () => Promise<unknown>]>([
    ["readFile", () => sdk.readFile("x", "/etc/passwd")],
    ["readFile of a name with spaces", () => sdk.readFile("x", "a b/ü.txt")],
    ["writeFile", () => sdk.writeFile("x", "tmp/a", "content")],
    ["deleteFile", () => sdk.deleteFile("x", "tmp/a")],
    ["writeFiles", () => sdk.writeFiles("x", { "/a": "b" })],
    ["listSnapshots", () => sdk.listSnapshots()],
    ["takeSnapshot", () => sdk.takeSnapshot({ sandbox: "x" })],
    ["getSnapshot", () => sdk.getSnapshot("x")],
    ["deleteSnapshot", () => sdk.deleteSnapshot("x")],
    ["restoreSnapshot", () => sdk.restoreSnapshot("x")],
    ["listOrchestrations", () => sdk.listOrchestrations()],
    ["createOrchestration", () => sdk.createOrchestration({})],
    ["getOrchestration", () => sdk.getOrchestration("x")],
    ["signalOrchestration", () => sdk.signalOrchestration("x", {})],
    ["terminateOrchestration", () => sdk.terminateOrchestration("x")],
    ["listOrchestrationDefinitions", () => sdk.listOrchestrationDefinitions()],
    ["upsertOrchestrationDefinition", () => sdk.upsertOrchestrationDefinition({})],
    ["getOrchestrationDefinition", () => sdk.getOrchestrationDefinition("x")],
    ["deleteOrchestrationDefinition", () => sdk.deleteOrchestrationDefinition("x")],
    ["listObjects", () => sdk.listObjects()],
    ["createObject", () => sdk.createObject({})],
    ["getObject", () => sdk.getObject("x")],
    ["callObject", () => sdk.callObject("C", "x", "m")],
    ["deleteObject", () => sdk.deleteObject("x")],
    ["patchObject", () => sdk.patchObject("x", {})],
    ["listSchedules", () => sdk.listSchedules()],
    ["createSchedule", () => sdk.createSchedule({})],
    ["getSchedule", () => sdk.getSchedule("x")],
    ["deleteSchedule", () => sdk.deleteSchedule("x")],
    ["listStores", () => sdk.listStores()],
    ["createStore", () => sdk.createStore({})],
    ["getStore", () => sdk.getStore("x")],
    ["deleteStore", () => sdk.deleteStore("x")],
    ["queryStore", () => sdk.queryStore("x", {})],
    ["executeStore", () => sdk.executeStore("x", {})],
    ["commandStore", () => sdk.commandStore("x", {})],
    ["createSandbox with a volume", () => sdk.createSandbox("v", { volumes: ["a:/b"] })],
  ])("%s says that it is not available yet", async (_name, call) => {
    const failed = call();
    await expect(failed).rejects.toBeInstanceOf(ServerError);
    await expect(failed).rejects.toThrow(/not available in this version/);
  });

  it("error classes", async () => {
    await expect(sdk.run([])).rejects.toBeInstanceOf(ValidationError);
    await expect(sdk.getSandbox("nobody")).rejects.toBeInstanceOf(NotFoundError);
    await expect(sdk.getSandboxByUuid("3b241101-e2bb-4255-8caf-4136c566a962")).rejects.toBeInstanceOf(NotFoundError);
    server.app.failNext = new AppError("LIMIT_EXCEEDED", "the budget is spent");
    const failed = sdk.run(["echo"]);
    await expect(failed).rejects.toBeInstanceOf(ServerError);
    await expect(failed).rejects.toThrow("the budget is spent");
    await expect(new AgentKernel({ baseUrl: "http://127.0.0.1:1" }).health()).rejects.toBeInstanceOf(NetworkError);
    expect(new ServerError()).toBeInstanceOf(AgentKernelError);
  });

  it("keys", async () => {
    await using keyed = await startServer({ auth: { keys: [{ name: "ci", key: new Secret("k-1") }] } });
    expect(await new AgentKernel({ baseUrl: keyed.url, apiKey: "k-1" }).listSandboxes()).toEqual([]);
    expect(await new AgentKernel({ baseUrl: keyed.url }).health()).toBe("ok");
    await expect(new AgentKernel({ baseUrl: keyed.url }).listSandboxes()).rejects.toBeInstanceOf(AuthError);
    await expect(new AgentKernel({ baseUrl: keyed.url, apiKey: "k-2" }).listSandboxes()).rejects.toBeInstanceOf(AuthError);
  });
});
