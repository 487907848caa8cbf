import { z } from "zod";
import { llmKeyInfo, llmKeyRequest, llmKeyTarget } from "../../schema/llm-key.ts";
import { type Route, route } from "../route.ts";

const tag = "Model calls";
const byTarget = z.strictObject({ target: llmKeyTarget });

export const llmKeyRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/llm/keys",
      tag,
      summary: "Keys of the organisation: for whom, and under which name; never a value",
      answer: { kind: "json", schema: z.array(llmKeyInfo) },
    },
    {},
    ({ app }) => app.llmKeys.list(),
  ),
  route(
    {
      method: "put",
      path: "/llm/keys/{target}",
      tag,
      summary: "Put a key into the requests of every sandbox to a provider or host, from now on",
      description: "With `value` it is kept under the name first. A sandbox's own binding for the host wins.",
      answer: { kind: "json", schema: llmKeyInfo },
      errors: ["NOT_FOUND", "CONFLICT"],
    },
    { params: byTarget, body: llmKeyRequest },
    ({ app, caller, params, body }) => app.llmKeys.put(caller, params.target, body),
  ),
  route(
    {
      method: "delete",
      path: "/llm/keys/{target}",
      tag,
      summary: "Take a key of the organisation out of requests; the secret stays",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND", "CONFLICT"],
    },
    { params: byTarget },
    async ({ app, caller, params }) => {
      await app.llmKeys.remove(caller, params.target);
      return `key for ${params.target} removed`;
    },
  ),
];
