import { z } from "zod";
import { policyCheck, profileName, sandboxName } from "../../schema/api.ts";
import { type Route, route } from "../route.ts";

export const policyRoutes: readonly Route[] = [
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
