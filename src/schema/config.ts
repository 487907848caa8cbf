import { z } from "zod";
import { profileName } from "./api.ts";
import { auditStream, httpHeaders, httpUrl, secretText } from "./audit-stream.ts";
import { budgetSection } from "./budget.ts";
import { llmKeyTarget, vaultKeyName } from "./llm-key.ts";
import { duration, path, size } from "./config-values.ts";
import { proxySection } from "./hook.ts";
import { modelHost, operatorProvider } from "./operator-provider.ts";
import { secretFileSection } from "./secret-file.ts";
import { secretReference } from "./secret-reference.ts";
import { SECRET_SCHEMES } from "./secret-scheme.ts";

/**
 * `agentkernel.toml`, as written. Everything is optional and absence is the safest value. `docs/reference/config.md` is made from the
 * descriptions here; what a later version knows is in `later-config.ts`.
 */

const host = z
  .string()
  .regex(/^[^\s/@%\\?#]{1,253}$/, "is not a host: write api.example.com or *.example.com, without https:// and without a path")
  .meta({ title: "host" });
const port = z
  .int("must be a whole number: from 1 to 65535")
  .min(1, "must be a port: from 1 to 65535")
  .max(65_535, "must be a port: from 1 to 65535");

const limits = {
  memory: size.optional().meta({ description: "memory of all processes and scratch files together", examples: ["2GiB"] }),
  cpus: z
    .number()
    .positive()
    .optional()
    .meta({ description: "cores, may be a fraction", examples: [0.5] }),
  pids: z
    .int()
    .positive()
    .optional()
    .meta({ description: "processes and threads", examples: [512] }),
  open_files: z
    .int()
    .min(64)
    .optional()
    .meta({ description: "open files of each process", examples: [65_536] }),
  scratch: size.optional().meta({ description: "size of each scratch file system (/tmp, /dev/shm)", examples: ["1GiB"] }),
};

const server = z.strictObject({
  host: z
    .string()
    .min(1)
    .prefault("127.0.0.1")
    .meta({ description: "address that `serve` listens on; anything but loopback needs `api_key`" }),
  port: z.int().min(0).max(65_535).prefault(18_888).meta({ description: "TCP port of `serve`; 0 picks a free one" }),
  api_key: secretReference
    .optional()
    .meta({ description: "key that callers send as `Authorization: Bearer`; default the variable AGENTKERNEL_API_KEY, when it is set" }),
  allowed_origins: z
    .array(z.string().refine(isOrigin, "is not an origin: write https://dash.example.com, without a path"))
    .prefault([])
    .meta({ description: "browser origins that may call the API" }),
});

const sandbox = z.strictObject({
  backend: z.enum(["bubblewrap"]).prefault("bubblewrap").meta({ description: "how sandboxes run when a request does not say" }),
  profile: profileName.prefault("moderate").meta({ description: "profile of sandboxes whose request names none" }),
  ttl: duration.optional().meta({ description: "sandboxes end by themselves after so long; absent: never", examples: ["2h"] }),
  limits: z.strictObject(limits).prefault({}).meta({ description: "limits that replace the profile's" }),
  max: z
    .strictObject(limits)
    .prefault({})
    .meta({ description: "how far a request may widen its profile's limits; the limits themselves stay inside as well" }),
});

const rule = z.strictObject({
  host: host.meta({ description: "`api.example.com`, `*.example.com` (every name below, not `example.com` itself) or an address" }),
  ports: z.array(port).optional().meta({ description: "absent: 80 and 443, and every port for `deny`; an empty list: none" }),
  methods: z
    .array(z.string())
    .optional()
    .meta({ description: "absent: every method; an empty list: none", examples: [["GET", "POST"]] }),
  paths: z
    .array(z.string())
    .optional()
    .meta({
      description: "absent: every path; `*` stands for a part of a segment, `**` for any number of segments",
      examples: [["/v1/chat/**"]],
    }),
  effect: z
    .enum(["allow", "deny", "tunnel"])
    .prefault("allow")
    .meta({ description: "deny beats allow; `tunnel` passes TLS unopened and without secrets" }),
});

const upstream = z.strictObject({
  host: host.meta({ description: "host whose requests are sent elsewhere" }),
  url: z
    .string()
    .refine(isOrigin, "is not an origin: write https://gateway.example.com:8443, without a path")
    .meta({ title: "URL", description: "origin that they are sent to; the Host header stays; secrets go over http:// only on loopback" }),
  ca_file: path.optional().meta({ description: "PEM file with more roots for this origin" }),
});

const proxyUrl = z
  .string()
  .refine(isOrigin, "is not an origin: write http://proxy.example.com:3128, without a path; credentials go into `auth`")
  .meta({ title: "URL" });

const upstreamProxy = z
  .union(
    [proxyUrl, z.strictObject({ url: proxyUrl, auth: secretReference.optional().meta({ description: "`user:password`, sent as Basic" }) })],
    {
      error: 'must be an origin or a table: write "http://proxy.example.com:3128" or { url = "…", auth = { env = "NAME" } }',
    },
  )
  .meta({ title: "URL, or { url, auth }" });

const egress = z.strictObject({
  default: z
    .enum(["deny", "allow"])
    .prefault("deny")
    .meta({ description: "what happens to hosts no rule names; `allow` means public addresses" }),
  mode: z
    .enum(["enforce", "observe"])
    .prefault("enforce")
    .meta({ description: "`observe` allows what rules deny and records that it would have been denied" }),
  locked: z.boolean().prefault(false).meta({ description: "`rules` are the outer bound: nobody else may add hosts" }),
  upstream_proxy: upstreamProxy.optional().meta({
    description:
      "proxy of this network: connections are made through it by CONNECT to the vetted address; `upstreams` are reached directly",
  }),
  ca_file: path.optional().meta({ description: "PEM file with more roots for every upstream" }),
  unsafe_allow_private: z
    .boolean()
    .prefault(false)
    .meta({ description: "allowed names may resolve to private addresses; loopback, link-local and metadata addresses stay closed" }),
  rules: z.array(rule).prefault([]),
  upstreams: z.array(upstream).prefault([]),
});

const modelGlob = z
  .string()
  .regex(/^\S{1,256}$/, "is not a model: write its name, `*` for any characters")
  .meta({ title: "model" });

const llm = z.strictObject({
  enabled: z.boolean().prefault(true).meta({ description: "recognise and meter model calls; policy holds either way" }),
  custom_domains: z.array(modelHost).prefault([]).meta({ description: "hosts that speak the OpenAI shape and are reported as `custom`" }),
  include_usage: z.enum(["inject_strip", "inject", "off"]).prefault("inject_strip").meta({
    description: "whether `stream_options.include_usage` is put into streaming requests that lack it, and its answer taken out again",
  }),
  drain_on_abort: z.boolean().prefault(false).meta({
    description:
      "read a model's answer to its end, for the exact figures, when its client has left: for at most a minute, and at most eight at once; false: the provider is told at once, and what it did not say is estimated",
  }),
  unknown_price: z.enum(["deny", "assume_max", "allow"]).prefault("deny").meta({
    description:
      "what a budget in dollars does with a model whose price is not known: refuse it, count the provider's dearest model (and refuse where none is known), or let it pass uncounted",
  }),
  price_file: path.optional().meta({
    description: "TOML file with prices of one's own, which come before the built-in ones: models, service tiers, units",
    examples: ["/etc/agentkernel/prices.toml"],
  }),
  keep_calls: duration.prefault("90d").meta({
    description: "single calls are kept so long; their sums by model, provider, sandbox, day and label stay",
  }),
  models: z
    .strictObject({
      allow: z
        .array(modelGlob)
        .prefault([])
        .meta({ description: "only these may be called; empty: all", examples: [["claude-*", "gpt-5-mini"]] }),
      deny: z
        .array(modelGlob)
        .prefault([])
        .meta({ description: "these may not, whatever `allow` says", examples: [["*-pro"]] }),
    })
    .prefault({})
    .meta({
      description:
        "models that sandboxes may call, by name: `*` stands for any characters, case does not matter, and a name fits without its date (`-20251001`) and without what stands before a slash",
    }),
  providers: z.array(operatorProvider).prefault([]),
  otlp: z
    .strictObject({
      url: httpUrl.meta({ description: "collector that takes OTLP over HTTP in JSON, as http://127.0.0.1:4318; `/v1/metrics` is added" }),
      authorization: secretText.optional().meta({ description: "value of the `authorization` header, `Bearer …` included" }),
      headers: httpHeaders.optional(),
      ca_file: path.optional().meta({ description: "PEM file with more roots" }),
      interval: duration.prefault("60s").meta({ description: "time between two exports" }),
    })
    .optional()
    .meta({ description: "metrics of model calls under OpenTelemetry's `gen_ai.client.inference.*` names, sent to a collector" }),
  budgets: z.array(budgetSection).prefault([]),
});

const llmKeys = z.record(llmKeyTarget, vaultKeyName).meta({
  description:
    "keys of the organisation: provider or host = name of a secret (of the environment, then of the vault). The gateway puts it into the calls of every sandbox, in the place of whatever the client sent; a sandbox's own binding for the host wins",
});

const binding = z
  .union(
    [
      host,
      z.strictObject({
        host: host.meta({ description: "host that the secret is for" }),
        from: secretReference
          .optional()
          .meta({ description: "where the value is; absent: the environment's variable of that name, then the vault" }),
        header: z.string().optional().meta({ description: "header it goes into; default by host, mostly `authorization`" }),
        scheme: z.enum(SECRET_SCHEMES).optional().meta({
          description:
            "`bearer`: it stands in the header alone or behind `Bearer `, as the client writes it; `raw`: alone; `sigv4` signs requests to AWS again; default by name, host and header",
        }),
        query: z.string().optional().meta({ description: "parameter of the URL that it may stand in, too; absent: none" }),
        methods: z
          .array(z.string())
          .optional()
          .meta({ description: "absent: every method; an empty list: none", examples: [["GET", "POST"]] }),
        paths: z
          .array(z.string())
          .optional()
          .meta({
            description: 'absent: calls of models on hosts of model providers, every path elsewhere; `["/**"]` is every path everywhere',
            examples: [["/v1/chat/**"]],
          }),
      }),
    ],
    {
      error:
        'must be a host or a table: write "api.example.com" or { host = "…", header = "…", scheme = "bearer" | "raw" | "sigv4", query, methods, paths }',
    },
  )
  .meta({ title: "binding", description: "a host, or { host, from, header, scheme, query, methods, paths }" });

const secrets = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not the name of a variable: write letters, digits and underscores"), binding)
  .meta({
    description:
      "secrets of every new sandbox: variable inside = host it is for; the value is looked up in the environment, then in the vault",
  });

/** segments of an eighth of it must hold some events */
const MIN_AUDIT_BYTES = 1024 ** 2;

const audit = z.strictObject({
  durability: z.enum(["by_class", "durable"]).prefault("by_class").meta({
    description:
      "`by_class`: allowed exchanges and model calls are on disk half a second later, everything else before it is acknowledged; `durable`: every event before it is acknowledged",
  }),
  on_failure: z
    .enum(["deny", "allow"])
    .prefault("deny")
    .meta({ description: "what happens to new exchanges while the audit log cannot be written" }),
  max_bytes: size
    .refine((bytes) => bytes >= MIN_AUDIT_BYTES, "must be at least 1MiB: write 1GiB")
    .prefault("1GiB")
    .meta({ title: "size", description: "closed segments are removed past this size" }),
  max_age: duration.prefault("90d").meta({ description: "closed segments are removed past this age" }),
  on_full: z.enum(["drop_oldest", "block", "deny"]).prefault("drop_oldest").meta({
    description:
      "what happens past `max_bytes` when the oldest segment holds events that a stream or hook has not had: it is removed, with a gap record; new events wait; new events are refused",
  }),
  checkpoint_key: path
    .optional()
    .meta({ description: "Ed25519 key in PEM that signs checkpoints, made when missing; default audit.key beside the configuration" }),
  streams: z.array(auditStream).prefault([]).meta({ description: "where events are delivered, each on its own" }),
});

export const configFile = z.strictObject({
  server: server.prefault({}).meta({ description: "the HTTP API of `agentkernel serve`" }),
  sandbox: sandbox.prefault({}).meta({ description: "what new sandboxes are like" }),
  egress: egress.prefault({}).meta({ description: "what may leave sandboxes" }),
  llm: llm.prefault({}).meta({ description: "metering of model calls" }),
  llm_keys: llmKeys.prefault({}),
  secrets: secrets.prefault({}),
  secret_files: z
    .array(secretFileSection)
    .prefault([])
    .refine((files) => new Set(files.map(({ name }) => name)).size === files.length, "has two files of one name")
    .meta({ description: "files with logins that sandboxes can be given, with placeholders in the place of the tokens" }),
  proxy: proxySection.prefault({}).meta({ description: "hooks: who is told of what leaves, or asked" }),
  audit: audit.prefault({}).meta({ description: "the record of everything that happened" }),
});

/** With every default filled in, durations in ms and sizes in bytes. */
export type ConfigFile = z.output<typeof configFile>;

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    /^https?:\/\/[^/?#\s\\]+\/?$/i.test(text)
  );
}
