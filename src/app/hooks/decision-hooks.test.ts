import { expect, it } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { JudgedRequest } from "../../egress/gateway.ts";
import { hook as hookSchema } from "../../schema/hook.ts";
import { DecisionHooks } from "./decision-hooks.ts";
import { HookRegistry } from "./hook-registry.ts";

const hook = hookSchema.parse({
  name: "strict",
  event: "on_request",
  mode: "decide",
  include_body: 8,
  target: { type: "webhook", url: "http://127.0.0.1:9/" },
});

const request: JudgedRequest = {
  id: "exc_1",
  sandbox: "box",
  sandboxUuid: "u",
  labels: {},
  method: "POST",
  url: "https://example.com/",
  host: "example.com",
  port: 443,
  headers: [],
  provider: undefined,
  isBodyLate: true,
};

it("a hook that judges bodies denies what did not come in time, and is asked about what it wanted to see", async () => {
  const asked: string[] = [];
  const store = { get: () => undefined, set: () => undefined, revision: 0 };
  await using hooks = new DecisionHooks({
    registry: new HookRegistry({ store, config: { file: "f", proxy: { hooks: [hook] } } as never, now: () => 0 }),
    wayOf: ({ name }) => {
      asked.push(name);
      return Promise.reject(new Error("nobody there"));
    },
    clock: systemClock,
    log: silentLog,
  });
  const body = (content: string) => ({ content, encoding: "utf8", size: null, truncated: true }) as const;
  const signal = new AbortController().signal;
  for (const late of [request, { ...request, body: body("1234567") }])
    expect(await hooks.judge(late, signal)).toEqual({
      verdict: "deny",
      rule: "hook:strict",
      reason: "The hook strict judges the body, which did not come in time.",
    });
  expect(asked).toEqual([]);
  await hooks.judge({ ...request, body: body("12345678") }, signal);
  expect(asked).toEqual(["strict"]);
});
