import { z } from "zod";
import { policyChange, policyCheck, policyReport, profileName, sandboxName } from "../../schema/api.ts";
import { type Route, route } from "../route.ts";

export const policyRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/policy",
      tag: "Policy",
      summary: "Rules of the file and of the API, the generation in force, and the one each running sandbox is under",
      answer: { kind: "json", schema: policyReport },
    },
    {},
    ({ app }) => app.policy.get(),
  ),
  route(
    {
      method: "put",
      path: "/policy",
      tag: "Policy",
      summary: "Replace the rules made over the API",
      description:
        "Takes what `GET /policy` answers, changed. Rules of the file may be left out and must not differ, nor must `file`, `default`, `mode` " +
        "and `locked`; `generation` must be the one in force, and `sandboxes`, which only shows, is not read. " +
        "Connections whose verdict changed are closed; what is wrong changes nothing.",
      answer: { kind: "json", schema: policyReport },
      errors: ["CONFLICT", "NOT_FOUND", "POLICY_DENIED", "CONFIG_INVALID"],
    },
    { body: policyChange },
    ({ app, caller, body }) => app.policy.put(caller, body),
  ),
  route(
    {
      method: "get",
      path: "/policy/check",
      tag: "Policy",
      summary: "What would happen to a request for a URL, and by which rule",
      answer: { kind: "json", schema: policyCheck },
      errors: ["NOT_FOUND"],
    },
    { query: z.strictObject({ url: z.string().min(1).max(8_192), sandbox: sandboxName.optional(), profile: profileName.optional() }) },
    ({ app, query }) =>
      app.policy.check({
        url: query.url,
        ...(query.sandbox === undefined ? {} : { sandbox: query.sandbox }),
        ...(query.profile === undefined ? {} : { profile: query.profile }),
      }),
  ),
];
