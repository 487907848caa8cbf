import { expect, test } from "vitest";
import { matchesPath, normalisePath, parsePathPattern } from "../src/policy/path.ts";
import { BUILT_IN_PROVIDERS } from "../src/providers/hosts.ts";
import { defaultScope } from "../src/secrets/default-scope.ts";

/**
 * Recognised, and still no part of what a key may be used for by itself: they answer with a key, begin what nobody here sees the end of,
 * or act for assistants that belong to everybody who has the key.
 */
const LEFT_OUT = new Set(["realtime_session", "realtime_call", "thread_run", "agent_run"]);
/** What agents did that the provider runs, with a network and keys of their own: theirs who have the key, too. */
const SHAPES_LEFT_OUT = new Set(["anthropic-sessions"]);
/** Recognised wherever OpenAI's routes are, since others may offer them one day; only OpenAI is known to. */
const OF_OPENAI = new Set([
  ...["decision", "agent_turn", "live_session", "video_generation", "fetch_response"],
  ...["create_batch", "fetch_batch", "transcription", "translation", "speech"],
]);
/** APIs of which one host serves many more: a key is bound to paths there, or may go everywhere. */
const WITHOUT_SCOPE = new Set(["vertex"]);

test("a key without paths may be used for every call that is recognised on its host", () => {
  const missing: string[] = [];
  let checked = 0;
  for (const { provider, hosts, hostNames = [], anyBase, routes } of BUILT_IN_PROVIDERS) {
    if (WITHOUT_SCOPE.has(provider) || anyBase === true) continue;
    for (const host of [...hosts, ...hostNames.map((name) => name.replaceAll(/\{\w+\}/g, "some-part"))]) {
      const scope = defaultScope(host);
      if (scope === undefined) {
        missing.push(host);
        continue;
      }
      // an operation is often served at more paths than a provider has; one of them is enough
      const offered = Map.groupBy(
        routes.filter(
          ({ operation, shape, webSocket }) =>
            webSocket === undefined &&
            !LEFT_OUT.has(operation) &&
            !SHAPES_LEFT_OUT.has(shape) &&
            (host === "api.openai.com" || !shape.startsWith("openai") || !OF_OPENAI.has(operation)),
        ),
        ({ operation, method }) => `${method} ${operation}`,
      );
      for (const [operation, found] of offered) {
        checked += 1;
        const isPermitted = found.some(({ method, path }) => {
          const normal = normalisePath(path.replaceAll(/\{\w+\}|\*/g, "x"));
          return (
            normal.kind === "path" &&
            scope.some(
              ({ methods, paths }) =>
                methods.includes(method) &&
                paths.some((text) => {
                  const pattern = parsePathPattern(text);
                  return !("kind" in pattern) && matchesPath(pattern, normal.path);
                }),
            )
          );
        });
        if (!isPermitted) missing.push(`${host}: ${operation}`);
      }
    }
  }
  expect(checked).toBeGreaterThan(100);
  expect(missing).toEqual([]);
});
