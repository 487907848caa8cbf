import { z } from "zod";
import { path } from "./config-values.ts";

/** `[[secret_files]]`: files with logins that sandboxes may be given with placeholders in them. */

const pointer = z.string().regex(/^(?:\/(?:[^~/]|~[01])*)+$/, "is not a JSON pointer: write /tokens/access_token");
const insidePath = z
  .string()
  .max(256)
  .regex(
    /^~\/(?!.*(?:^|\/)\.{1,2}(?:\/|$))(?:[A-Za-z0-9._-]+\/)*[A-Za-z0-9._-]+$/,
    "is not a file below the home directory inside: write ~/.codex/auth.json",
  );

const token = z.strictObject({
  at: pointer.meta({ description: "JSON pointer of the token" }),
  hosts: z
    .array(z.string().regex(/^(?:\*\.)?[A-Za-z0-9._-]{1,253}$/, "is not a host"))
    .max(16)
    .optional()
    .meta({ description: "hosts that it may be sent to as `Authorization: Bearer`; absent: none" }),
  methods: z.array(z.string().max(32)).max(32).optional().meta({ description: "absent: every method" }),
  paths: z
    .array(z.string().max(1024))
    .max(256)
    .optional()
    .meta({ description: "absent: calls of models on hosts of model providers, every path elsewhere", examples: [["/v1/**"]] }),
});

const refresh = z.strictObject({
  url: z
    .string()
    .regex(/^https:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?\/[^?#\s]*$/, "is not an https:// URL with a path and without a query")
    .meta({ description: "token endpoint, in whose requests tokens may stand in the body" }),
  tokens: z.record(z.string(), pointer).meta({ description: "member of the answer = pointer of the token that it replaces" }),
  expires_at: pointer.optional().meta({ description: "pointer of the ms since 1970 at which the access token ends" }),
  refreshed_at: pointer.optional().meta({ description: "pointer of the time of the last refresh" }),
  scopes: pointer
    .optional()
    .meta({ description: "pointer of what the access token is good for: a refresh that asks for another scope is sent with this" }),
  client_ids: z
    .array(z.string().min(1).max(512))
    .max(16)
    .optional()
    .meta({ description: "clients that may renew it; absent: those that its own JWTs name, else any" }),
  client_id: pointer.optional().meta({ description: "pointer of the client that it was made with, which may renew it as well" }),
  parameters: z
    .array(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, "is not the name of a member"))
    .max(16)
    .optional()
    .meta({
      description: "members that a refresh may carry beside client_id, client_secret and scope; others are left out",
      examples: [["audience"]],
    }),
});

export const secretFileName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "is not a name: write lower-case letters, digits and hyphens");

export const secretFileSection = z.strictObject({
  name: secretFileName.meta({
    description: "what `--secret-file` asks for; `codex`, `claude-code` and `gemini` are known, and need nothing else",
  }),
  path: path.optional().meta({ description: "the file on this machine, in JSON" }),
  inside: insidePath.optional().meta({ description: "where it stands inside, below the home directory" }),
  tokens: z.array(token).min(1).max(32).optional().meta({
    description:
      "what is replaced by placeholders: { at, hosts, methods, paths }; a token may stand here several times, for other hosts with other paths",
  }),
  keep: z.array(pointer).max(64).optional().meta({ description: "texts that look like tokens, and are shown" }),
  refresh: refresh
    .optional()
    .meta({ description: "how tokens are renewed: { url, tokens, expires_at, refreshed_at, scopes, client_ids, client_id, parameters }" }),
});
export type SecretFileSection = z.output<typeof secretFileSection>;

/** In a request: `NAME`, or `NAME:PATH` for another file of that kind. */
export const secretFileRequest = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}(?::\/.{1,4095})?$/s, "is not NAME or NAME:/PATH");
