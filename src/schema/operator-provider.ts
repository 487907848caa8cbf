import { z } from "zod";
import { OPERATOR_SHAPES } from "./operator-shapes.ts";

/** A host in a spelling that a request's host can have: a name, `*.` and a name, or an IPv6 address. */
export const modelHost = z
  .string()
  .max(253)
  .regex(
    /^(?:(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)$/,
    "is not a host of a model provider: write llm.corp.example or *.corp.example, without scheme, port or path",
  )
  .meta({ title: "host" });

/** One of `[[llm.providers]]`. */
export const operatorProvider = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, "is not a name: write small letters, digits, dots, underscores and hyphens")
    .meta({
      title: "name",
      description:
        "a provider that agentkernel knows (`groq`, `mistral` …) is reported, priced and budgeted under that name, every other one as `custom`",
      examples: ["vllm"],
    }),
  hosts: z
    .array(modelHost)
    .min(1, "has no host: name at least one")
    .meta({ description: "where it is served; they come before built-in hosts of the same name", examples: [["llm.corp.example"]] }),
  shape: z.enum(OPERATOR_SHAPES).meta({
    description: "wire format that it is mostly asked with; paths may stand below any base path",
  }),
  include_usage: z.boolean().optional().meta({
    description: "takes `stream_options.include_usage`; default: yes for the OpenAI shapes and Ollama, no for the others",
  }),
});
