import { z } from "zod";
import { AppError } from "../../base/error.ts";
import { detachedExec, detachedLogs, detachRequest, execRequestBody, runOutput, sandboxName } from "../../schema/api.ts";
import { completeCommand, streamCommand } from "../command.ts";
import { type Route, route } from "../route.ts";

const tag = "Exec";
const byName = z.strictObject({ name: sandboxName });
const byId = z.strictObject({ name: sandboxName, id: z.string().max(128) });
const EXEC_ERRORS = ["NOT_FOUND", "SANDBOX_ENDED", "EXEC_NOT_FOUND", "EXEC_NOT_EXECUTABLE", "UNSUPPORTED"] as const;

export const EXEC_SOCKET_PATH = "/sandboxes/{name}/exec/ws";

export const execRoutes: readonly Route[] = [
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/exec",
      tag,
      summary: "Run a command in a sandbox and wait for it",
      description: "A non-zero exit code is data, not an error. The command is killed when the client goes.",
      answer: { kind: "json", schema: runOutput },
      errors: EXEC_ERRORS,
    },
    { params: byName, body: execRequestBody },
    (call) => {
      const { stdin, ...request } = call.body;
      return completeCommand(call, () => call.app.sandboxes.exec(call.caller, call.params.name, request, { signal: call.signal }), {
        stdin,
      });
    },
  ),
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/exec/stream",
      tag,
      summary: "Run a command in a sandbox and stream its output",
      answer: {
        kind: "stream",
        events:
          "`started {request_id}`, `progress {message, exec_id, pid}`, `output {data, stream}`, then `done {exit_code, success, duration_ms}` or `error {message, code, hint?, request_id}`",
      },
      errors: ["NOT_FOUND"],
    },
    { params: byName, body: execRequestBody },
    async (call) => {
      const { stdin, ...request } = call.body;
      // an unknown name is 404, not an event
      await call.app.sandboxes.get(call.params.name);
      return streamCommand(call, (signal) => call.app.sandboxes.exec(call.caller, call.params.name, request, { signal }), { stdin });
    },
  ),
  route(
    {
      method: "get",
      path: EXEC_SOCKET_PATH,
      tag,
      summary: "Run a command in a sandbox over a WebSocket: stdin, terminal, signals, exact bytes and exit code",
      description: "Frames: docs/reference/exec-websocket.md.",
      answer: { kind: "websocket" },
    },
    { params: byName },
    () =>
      Promise.reject(new AppError("VALIDATION", "this route speaks WebSocket", { hint: "send Connection: Upgrade, or use POST …/exec" })),
  ),
  route(
    {
      method: "post",
      path: "/sandboxes/{name}/exec/detach",
      tag,
      summary: "Start a command in the background",
      answer: { kind: "json", schema: detachedExec },
      errors: EXEC_ERRORS,
    },
    { params: byName, body: detachRequest },
    ({ app, caller, params, body }) => app.sandboxes.execDetached(caller, params.name, body),
  ),
  route(
    {
      method: "get",
      path: "/sandboxes/{name}/exec/detached",
      tag,
      summary: "List background commands",
      answer: { kind: "json", schema: z.array(detachedExec) },
      errors: ["NOT_FOUND"],
    },
    { params: byName },
    ({ app, params }) => app.sandboxes.detachedList(params.name),
  ),
  route(
    {
      method: "get",
      path: "/sandboxes/{name}/exec/detached/{id}",
      tag,
      summary: "Get a background command",
      answer: { kind: "json", schema: detachedExec },
      errors: ["NOT_FOUND"],
    },
    { params: byId },
    ({ app, params }) => app.sandboxes.detachedGet(params.name, params.id),
  ),
  route(
    {
      method: "get",
      path: "/sandboxes/{name}/exec/detached/{id}/logs",
      tag,
      summary: "Output of a background command",
      answer: { kind: "json", schema: detachedLogs },
      errors: ["NOT_FOUND"],
    },
    { params: byId, query: z.strictObject({ stream: z.enum(["stdout", "stderr"]).optional() }) },
    ({ app, params, query }) => app.sandboxes.detachedLogs(params.name, params.id, query.stream),
  ),
  route(
    {
      method: "delete",
      path: "/sandboxes/{name}/exec/detached/{id}",
      tag,
      summary: "Kill a background command",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND"],
    },
    { params: byId },
    async ({ app, caller, params }) => {
      await app.sandboxes.detachedKill(caller, params.name, params.id);
      return `command ${params.id} killed`;
    },
  ),
];
