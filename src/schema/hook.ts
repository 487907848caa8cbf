import { z } from "zod";
import { httpHeaders, httpUrl, secretText, webhookSecrets } from "./audit-stream.ts";
import { path, size } from "./config-values.ts";
import { deadLetter, streamStatus } from "./delivery.ts";
import { providerId } from "./provider.ts";
import { bodyLimit, DECIDE_BODY, EVENT_BODY } from "./shown-body.ts";

/** Hooks: `[[proxy.hooks]]` and `/proxy/hooks` are the same objects. */

export const hookEvent = z.enum(["on_request", "on_response", "on_deny", "on_llm", "on_budget"]);
export type HookEvent = z.infer<typeof hookEvent>;

const hookTarget = z
  .discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("webhook"),
      url: httpUrl,
      authorization: secretText.optional().meta({ description: "value of the `authorization` header, `Bearer …` included" }),
      headers: httpHeaders.optional(),
      ca_file: path.optional().meta({ description: "PEM file with more roots; only in the configuration" }),
    }),
    z.strictObject({
      type: z.literal("file"),
      path: z
        .string()
        .min(1)
        .max(4_096)
        .refine((text) => !text.includes("\0"), "is not a path: it holds a NUL")
        .meta({
          title: "path",
          description: "below the state's folder hooks/ when it is relative, else below one of `proxy.hook_file_dirs`",
        }),
      rotate_size: z
        .union([size, z.int().min(1)], { error: "must be a size: 64MiB" })
        .prefault("64MiB")
        .meta({ title: "size", description: "the file is renamed past this size; nothing is removed" }),
    }),
    z.strictObject({ type: z.literal("audit") }),
  ])
  .meta({ title: "table", description: "where to, by `type`" });

const hookFilter = z.strictObject({
  sandbox: z.string().min(1).max(63).optional().meta({ description: "name of the sandbox" }),
  label: z
    .string()
    .regex(/^[^=]{1,128}=.{0,256}$/, "is not a label: write KEY=VALUE")
    .optional()
    .meta({ description: "`KEY=VALUE` of the sandbox" }),
  host: z
    .string()
    .regex(/^(?:\*\.)?[A-Za-z0-9._:-]{1,253}$/, "is not a host: write api.example.com or *.example.com")
    .optional()
    .meta({ description: "`api.example.com` or `*.example.com`" }),
  provider: providerId.optional().meta({ description: "provider of a model call" }),
  model: z.string().min(1).max(256).optional().meta({ description: "requested model, `*` for any characters" }),
  decision: z.enum(["allow", "deny"]).optional().meta({ description: "what was decided" }),
  status: z
    .enum(["1xx", "2xx", "3xx", "4xx", "5xx", "none"])
    .optional()
    .meta({ description: "class of the status; `none`: there was no answer" }),
});
export type HookFilter = z.output<typeof hookFilter>;

export const hookName = z
  .string()
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, "is not a name: write up to 63 letters, digits, dots and hyphens");

const DECISION_MS = 2_000;

/** Keys of a filter that events of this kind never have: the hook would never be told, and a decision never be asked for. */
const UNKNOWN_OF: Readonly<Partial<Record<HookEvent, readonly (keyof HookFilter)[]>>> = {
  on_request: ["model", "status"],
  on_deny: ["model"],
  on_budget: ["host", "provider", "model", "decision", "status"],
};

const MODE_HINT = "write decide only with on_request and a webhook";

export const hook = z
  .strictObject({
    name: hookName.meta({ description: "names its position and dead letters" }),
    event: hookEvent.meta({
      description:
        "`on_request`: decided and not yet sent; `on_response`: an exchange or a model call ended; `on_deny`: something was denied; `on_llm`: a model call ended; `on_budget`: 50, 80, 90 or 100 % of a budget are used, or a call exceeded one that only warns",
    }),
    target: hookTarget,
    filter: hookFilter.optional().meta({ description: "only events that fit all of it" }),
    ...webhookSecrets,
    mode: z
      .enum(["notify", "decide"])
      .prefault("notify")
      .meta({ description: "`decide`: the webhook of an `on_request` hook answers whether a request may leave" }),
    timeout_ms: z
      .int()
      .min(50)
      .max(30_000)
      .prefault(DECISION_MS)
      .meta({ description: "how long a decision may take; then it is a denial" }),
    cache_ttl: z
      .number()
      .min(0)
      .max(3_600)
      .prefault(0)
      .meta({ description: "seconds that a decision holds for the same sandbox, method and URL" }),
    include_body: z
      .union([z.boolean(), size, z.int().min(1)], { error: "must be true, false or a size: 16KiB" })
      .optional()
      .meta({
        title: "boolean or size",
        description:
          "how much of a body `on_request` hooks get of the request, `on_response` hooks of both, secrets masked; `true` is 16KiB, the most that an event has room for; decisions may have up to 256KiB. Such bodies lie in the audit log, and are shown to these hooks alone",
      }),
    batch: z
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .meta({ description: "events that are sent at once, to a webhook as an array; absent: one, by itself" }),
  })
  .superRefine((value, context) => {
    if (value.mode === "decide" && (value.event !== "on_request" || value.target.type !== "webhook"))
      context.addIssue({ code: "custom", path: ["mode"], message: `is decide for something else: ${MODE_HINT}` });
    if (value.target.type !== "webhook" && (value.secret !== undefined || value.secrets !== undefined))
      context.addIssue({ code: "custom", path: ["secret"], message: "is for webhooks: remove it" });
    for (const { path, message } of deadFilters(value)) context.addIssue({ code: "custom", path: ["filter", ...path], message });
    if (value.mode !== "decide" && value.timeout_ms !== DECISION_MS)
      context.addIssue({ code: "custom", path: ["timeout_ms"], message: 'is for decisions: remove it, or write mode = "decide"' });
    if (value.mode !== "decide" && value.cache_ttl > 0)
      context.addIssue({ code: "custom", path: ["cache_ttl"], message: 'is for decisions: remove it, or write mode = "decide"' });
    const body = bodyLimit(value);
    const most = value.mode === "decide" ? DECIDE_BODY : EVENT_BODY;
    const refuseBody = (message: string): void => context.addIssue({ code: "custom", path: ["include_body"], message });
    if (body > 0 && value.event !== "on_request" && value.event !== "on_response")
      refuseBody("is for on_request and on_response: remove it");
    else if (body > 0 && value.target.type === "audit") refuseBody("is for webhooks and files: remove it");
    else if (body > 0 && value.filter?.model !== undefined)
      refuseBody("is not for a filter by model, since events with a model carry no bodies: remove it");
    else if (body > most) refuseBody(`is too much: write ${most / 1024}KiB or less`);
    if (value.mode === "decide" && body > 0 && value.cache_ttl > 0)
      context.addIssue({
        code: "custom",
        path: ["cache_ttl"],
        message: "is not for decisions about bodies, since the next one is another: remove it",
      });
    if (value.mode === "decide" && value.batch !== undefined)
      context.addIssue({ code: "custom", path: ["batch"], message: "is not for decisions: remove it" });
  });
export type Hook = z.output<typeof hook>;

type Dead = { readonly path: readonly (keyof HookFilter)[]; readonly message: string };

function deadFilters({ event, mode, filter = {} }: Pick<Hook, "event" | "mode" | "filter">): readonly Dead[] {
  const unknown = (UNKNOWN_OF[event] ?? []).filter((key) => filter[key] !== undefined);
  const message =
    event === "on_budget"
      ? "is not for on_budget: write sandbox or label, which fit the budget's scope"
      : `is not for ${event}, whose events have none: remove it`;
  const isContrary = (event === "on_deny" && filter.decision === "allow") || (mode === "decide" && filter.decision === "deny");
  return [
    ...unknown.map((key): Dead => ({ path: [key], message })),
    ...(isContrary ? [{ path: ["decision"], message: "is one that no event of this hook has: remove it" } satisfies Dead] : []),
  ];
}
export type HookTarget = Hook["target"];

/** As the API takes and shows it: secrets as `{ vault = "NAME" }` once they are kept, never their values. */
export const hookInfo = z.looseObject({
  name: z.string(),
  event: hookEvent,
  target: z.looseObject({ type: z.enum(["webhook", "file", "audit"]) }),
  mode: z.enum(["notify", "decide"]),
  /** the file it stands in, read-only over the API; null: made over the API */
  file: z.string().nullable(),
  created_at: z.string(),
  status: streamStatus,
});
export type HookInfo = z.infer<typeof hookInfo>;

export const hookTestResult = z.strictObject({
  delivered: z.boolean(),
  /** `delivered`, or what the target answered */
  answer: z.string(),
  duration_ms: z.number(),
});
export type HookTestResult = z.infer<typeof hookTestResult>;

export const hookReplayRequest = z.strictObject({
  since: z.string().max(64).optional(),
  dead: z.boolean().optional(),
  purge: z.boolean().optional(),
});

export const hookDeliveries = z.strictObject({ status: streamStatus, dead_letters: z.array(deadLetter) });
export type HookDeliveries = z.infer<typeof hookDeliveries>;

/** `[proxy]` */
export const proxySection = z.strictObject({
  hook_file_dirs: z.array(path).prefault([]).meta({ description: "more folders that file targets of hooks may lie in" }),
  unsafe_allow_private: z
    .boolean()
    .prefault(false)
    .meta({ description: "hooks registered over the API may lead to private and loopback addresses" }),
  hooks: z.array(hook).prefault([]).meta({ description: "who is told of what leaves, or asked" }),
});
