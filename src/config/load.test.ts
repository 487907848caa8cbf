import { describe, expect, it } from "vitest";
import { AppError } from "../base/error.ts";
import { environmentFrom } from "./env.ts";
import { configFrom, type Override } from "./config-from.ts";
import { parseToml } from "./parse-toml.ts";

const env = environmentFrom({ HOME: "/home/ann" });
const load = (text: string, over: { env?: typeof env; overrides?: readonly Override[] } = {}) =>
  configFrom(parseToml(text, "/etc/a.toml"), { env, uid: 1000, file: "/etc/a.toml", ...over });

describe("a configuration", () => {
  it("is the safest one when there is none", () => {
    expect(load("").config).toEqual({
      file: "/etc/a.toml",
      server: { host: "127.0.0.1", port: 18_888, apiKey: null, allowedOrigins: [] },
      sandbox: { backend: "bubblewrap", profile: "moderate", ttlMs: null, limits: {}, max: {} },
      egress: { default: "deny", mode: "enforce", locked: false, unsafeAllowPrivate: false, rules: [], upstreams: [] },
      llm: {
        enabled: true,
        customDomains: [],
        includeUsage: "inject_strip",
        drainOnAbort: false,
        unknownPrice: "deny",
        keepCallsMs: 90 * 86_400_000,
        otlp: null,
        priceFile: null,
        providers: [],
        models: { allow: [], deny: [] },
        budgets: [],
      },
      llmKeys: [],
      secrets: [],
      secretFiles: [],
      audit: {
        durability: "by_class",
        onFailure: "deny",
        maxBytes: 1024 ** 3,
        maxAgeMs: 90 * 86_400_000,
        onFull: "drop_oldest",
        checkpointKey: null,
        streams: [],
      },
      proxy: { hookFileDirs: [], unsafeAllowPrivate: false, hooks: [] },
    });
  });

  it("reads every key there is", () => {
    const { config } = load(`
      [server]
      host = "0.0.0.0"
      port = 0
      api_key = { file = "/etc/key" }
      allowed_origins = ["https://dash.example.com"]
      [sandbox]
      backend = "bubblewrap"
      profile = "restrictive"
      ttl = "2h"
      [sandbox.limits]
      memory = "1GiB"
      cpus = 0.5
      pids = 64
      open_files = 1024
      scratch = "256MiB"
      [sandbox.max]
      memory = "4GiB"
      cpus = 8
      [egress]
      default = "allow"
      mode = "observe"
      locked = true
      ca_file = "~/roots.pem"
      unsafe_allow_private = true
      [[egress.rules]]
      host = "*.example.com"
      ports = []
      methods = ["GET"]
      paths = ["/v1/**"]
      effect = "deny"
      [[egress.rules]]
      host = "b.com"
      [[egress.upstreams]]
      host = "llm.local"
      url = "http://127.0.0.1:11434"
      ca_file = "/etc/ca.pem"
      [llm]
      enabled = false
      custom_domains = ["llm.corp.example"]
      include_usage = "off"
      price_file = "~/prices.toml"
      keep_calls = "7d"
      otlp = { url = "http://127.0.0.1:4318", authorization = { env = "OTLP" }, headers = { x-tenant = "me" }, ca_file = "~/otlp.pem", interval = "10s" }
      [[llm.providers]]
      name = "vllm"
      hosts = ["gpu.corp.example"]
      shape = "openai-chat"
      include_usage = false
      [secrets]
      OPENAI_API_KEY = "api.openai.com"
      OTHER = { host = "a.com", header = "x-key", scheme = "raw" }
      [audit]
      on_failure = "allow"
      max_bytes = "10MiB"
      max_age = "7d"
      durability = "durable"
      on_full = "deny"
      checkpoint_key = "~/audit.pem"
      [[audit.streams]]
      name = "siem"
      destination = { type = "http_webhook", url = "https://siem.example.com/in", authorization = { env = "SIEM" }, ca_file = "~/siem.pem" }
      batch_size = 50
      flush_interval_secs = 1.5
      max_retries = 5
      ocsf_version = "1.3.0"
      [[audit.streams]]
      destination = { type = "file", path = "~/audit.jsonl" }
      ocsf_enabled = false
      [proxy]
      hook_file_dirs = ["~/hooks"]
      unsafe_allow_private = true
      [[proxy.hooks]]
      name = "ask"
      event = "on_request"
      target = { type = "webhook", url = "http://127.0.0.1:8000/ask" }
      mode = "decide"
      timeout_ms = 500
      cache_ttl = 60
      filter = { host = "*.example.com", label = "team=core" }
    `);
    expect(config).toEqual({
      file: "/etc/a.toml",
      server: { host: "0.0.0.0", port: 0, apiKey: { file: "/etc/key" }, allowedOrigins: ["https://dash.example.com"] },
      sandbox: {
        backend: "bubblewrap",
        profile: "restrictive",
        ttlMs: 7_200_000,
        limits: { memoryBytes: 1024 ** 3, cpus: 0.5, pids: 64, openFiles: 1024, scratchBytes: 256 * 1024 ** 2 },
        max: { memoryBytes: 4 * 1024 ** 3, cpus: 8 },
      },
      egress: {
        default: "allow",
        mode: "observe",
        locked: true,
        caFile: "/home/ann/roots.pem",
        unsafeAllowPrivate: true,
        rules: [
          { host: "*.example.com", ports: [], methods: ["GET"], paths: ["/v1/**"], effect: "deny" },
          { host: "b.com", effect: "allow" },
        ],
        upstreams: [{ host: "llm.local", url: "http://127.0.0.1:11434", caFile: "/etc/ca.pem" }],
      },
      llm: {
        enabled: false,
        customDomains: ["llm.corp.example"],
        includeUsage: "off",
        drainOnAbort: false,
        unknownPrice: "deny",
        keepCallsMs: 7 * 86_400_000,
        otlp: {
          url: "http://127.0.0.1:4318",
          headers: { "x-tenant": "me", authorization: { env: "OTLP" } },
          caFile: "/home/ann/otlp.pem",
          intervalMs: 10_000,
        },
        priceFile: "/home/ann/prices.toml",
        providers: [{ name: "vllm", hosts: ["gpu.corp.example"], shape: "openai-chat", includeUsage: false }],
        models: { allow: [], deny: [] },
        budgets: [],
      },
      llmKeys: [],
      secretFiles: [],
      secrets: [
        { name: "OPENAI_API_KEY", host: "api.openai.com" },
        { name: "OTHER", host: "a.com", header: "x-key", scheme: "raw" },
      ],
      audit: {
        onFailure: "allow",
        maxBytes: 10 * 1024 ** 2,
        maxAgeMs: 7 * 86_400_000,
        durability: "durable",
        onFull: "deny",
        checkpointKey: "/home/ann/audit.pem",
        streams: [
          {
            name: "siem",
            destination: {
              type: "http_webhook",
              url: "https://siem.example.com/in",
              authorization: { env: "SIEM" },
              ca_file: "/home/ann/siem.pem",
            },
            batchSize: 50,
            flushMs: 1500,
            maxRetries: 5,
            ocsfVersion: "1.3.0",
          },
          {
            destination: { type: "file", path: "/home/ann/audit.jsonl", rotate_size: 64 * 1024 ** 2 },
            batchSize: 10,
            flushMs: 30_000,
            maxRetries: 3,
            ocsfVersion: null,
          },
        ],
      },
      proxy: {
        hookFileDirs: ["/home/ann/hooks"],
        unsafeAllowPrivate: true,
        hooks: [
          {
            name: "ask",
            event: "on_request",
            target: { type: "webhook", url: "http://127.0.0.1:8000/ask" },
            mode: "decide",
            timeout_ms: 500,
            cache_ttl: 60,
            filter: { host: "*.example.com", label: "team=core" },
          },
        ],
      },
    });
  });

  it("cannot be changed, at any depth", () => {
    const { config } = load('[[egress.rules]]\nhost = "a.com"\nports = [443]');
    for (const part of [config, config.egress, config.egress.rules, config.egress.rules[0], config.egress.rules[0]?.ports])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it("says where each value comes from and what it overrode", () => {
    const { explain, keys } = load(
      '[server]\nport = 80\napi_key = { env = "X" }\n[sandbox]\nttl = "2h"\n[secrets]\nK = { host = "a.com" }',
      {
        env: environmentFrom({ HOME: "/home/ann", AGENTKERNEL_API_KEY: "k" }),
        overrides: [{ key: "server.port", value: 0, flag: "--port" }],
      },
    );
    expect(explain("server.port")[0]).toEqual({
      key: "server.port",
      value: 0,
      origin: "--port",
      overrode: [{ origin: "/etc/a.toml", value: 80 }],
    });
    expect(explain("server.api_key")[0]).toEqual({
      key: "server.api_key",
      value: { env: "AGENTKERNEL_API_KEY" },
      origin: "environment AGENTKERNEL_API_KEY",
      overrode: [{ origin: "/etc/a.toml", value: { env: "X" } }],
    });
    expect(explain("sandbox.ttl")[0]).toEqual({ key: "sandbox.ttl", value: "2h", origin: "/etc/a.toml", overrode: [] });
    expect(explain("server.host")[0]).toEqual({ key: "server.host", value: "127.0.0.1", origin: "default", overrode: [] });
    expect(explain("secrets.K")[0]).toMatchObject({ value: { host: "a.com" } });
    expect(() => explain("server.prot")).toThrow(expect.objectContaining({ code: "NOT_FOUND", hint: "did you mean server.port?" }));
    expect(keys).toContain("egress.locked");
    for (const key of keys) expect(explain(key).map((one) => one.key)).toEqual([key]);
    expect(explain("").map(({ key }) => key)).toEqual(keys);
    expect(explain("server").map(({ key }) => key)).toEqual(keys.filter((key) => key.startsWith("server.")));
    expect(() => explain("serv")).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
  });

  it("takes the key of the API from the environment only when one is set", () => {
    expect(load("", { env: environmentFrom({ HOME: "/h", AGENTKERNEL_API_KEY: "" }) }).config.server.apiKey).toBeNull();
    expect(load("", { env: environmentFrom({ HOME: "/h", AGENTKERNEL_API_KEY: "k" }) }).config.server.apiKey).toEqual({
      env: "AGENTKERNEL_API_KEY",
    });
  });
});

/** What was written, what the one line says, what the hint says. */
const bad: readonly (readonly [string, RegExp, RegExp])[] = [
  ["[server]\nprot = 1", /^\/etc\/a\.toml: server\.prot is no key/, /did you mean port\?/],
  ["[servr]", /servr is no key/, /did you mean server\?/],
  ["[egress]\nallow-private = true", /egress\.allow-private is no key/, /known here: .*unsafe_allow_private|did you mean/],
  ["zzz = 1", /zzz is no key/, /known here: server, sandbox/],
  ['[[egress.rules]]\nhost = "a.com"\nport = 443', /egress\.rules\[0\]\.port is no key/, /did you mean ports\?/],
  ["__proto__ = 1", /__proto__ is no key/, /known here/],
  ["[server]\n[server.__proto__]\na = 1", /server\.__proto__ is no key/, /known here/],
  // keys and values of later versions
  ["[[server.keys]]\nname = 'a'", /server\.keys is not available in this version/, /remove it/],
  ["[server.tls]\ncert = 'x'", /server\.tls is not available/, /remove it/],
  ["[egress]\nupstream_proxy = 'http://me:pass@p'", /egress\.upstream_proxy/, /credentials go into `auth`/],
  ["[llm_keys]\nazure = 'K'", /llm_keys/, /./],
  ["[llm_keys]\nopenai = 'sk-real'", /llm_keys\.openai is not the name of a secret/, /./],
  ["[[proxy.hooks]]\nname = 'h'\nevent = 'on_response'", /proxy\.hooks\[0\]\.target is missing/, /config\.md/],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_budget'\ntarget = { type = 'audit' }\nfilter = { host = 'a.com' }",
    /filter\.host is not for on_budget/,
    /sandbox or label/,
  ],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_llm'\ninclude_body = true\ntarget = { type = 'webhook', url = 'http://x' }",
    /include_body is for on_request and on_response/,
    /remove it/,
  ],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_response'\ninclude_body = '1MiB'\ntarget = { type = 'webhook', url = 'http://x' }",
    /include_body is too much/,
    /16KiB or less/,
  ],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_request'\nmode = 'decide'\ncache_ttl = 9\ninclude_body = '256KiB'\ntarget = { type = 'webhook', url = 'http://x' }",
    /cache_ttl is not for decisions about bodies/,
    /remove it/,
  ],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_response'\nmode = 'decide'\ntarget = { type = 'audit' }",
    /proxy\.hooks\[0\]\.mode is decide for something else/,
    /on_request and a webhook/,
  ],
  ...(
    [
      ["event = 'on_llm'\ntimeout_ms = 500", /timeout_ms is for decisions/],
      ["event = 'on_llm'\ncache_ttl = 5", /cache_ttl is for decisions/],
      ["event = 'on_request'\nfilter = { model = 'gpt-*' }", /filter\.model is not for on_request/],
      ["event = 'on_request'\nmode = 'decide'\nfilter = { model = 'gpt-*' }", /filter\.model is not for on_request/],
      ["event = 'on_request'\nfilter = { status = '5xx' }", /filter\.status is not for on_request/],
      ["event = 'on_request'\nmode = 'decide'\nfilter = { decision = 'deny' }", /filter\.decision is one that no event/],
      ["event = 'on_deny'\nfilter = { model = 'gpt-*' }", /filter\.model is not for on_deny/],
      ["event = 'on_deny'\nfilter = { decision = 'allow' }", /filter\.decision is one that no event/],
      ["event = 'on_response'\ninclude_body = true\nfilter = { model = 'gpt-*' }", /include_body is not for a filter by model/],
    ] as const
  ).map(
    ([keys, message]) =>
      [`[[proxy.hooks]]\nname = 'h'\n${keys}\ntarget = { type = 'webhook', url = 'http://x' }`, message, /remove it/] as const,
  ),
  ["[[proxy.hooks]]\nname = 'h'\nevent = 'on_deny'\ntarget = { type = 'audit' }\nfilter = { status = '2' }", /filter\.status/, /2xx/],
  [
    "[[proxy.hooks]]\nname = 'h'\nevent = 'on_deny'\ntarget = { type = 'webhook', url = 'ftp://x' }",
    /target\.url is not an address/,
    /https/,
  ],
  ["[[audit.streams]]\nbatch_size = 1", /audit\.streams\[0\]\.destination is missing/, /config\.md/],
  ["[[pool]]\ntarget = 1", /pool is not available/, /remove it/],
  ["[[pool]]\ntarget = 1", /pool is not available/, /remove it/],
  ["[nomad]\naddr = 'x'", /nomad is not available/, /remove it/],
  ["[opencode]\ntemplate = 'x'", /opencode is not available/, /remove it/],
  ["[sandbox]\nbackend = 'qemu'", /sandbox\.backend "qemu" is not available/, /docs\/reference\/config\.md/],
  // wrong values
  ["[sandbox]\nbackend = 'bubblewarp'", /sandbox\.backend is none of bubblewrap/, /did you mean bubblewrap\?/],
  ["[sandbox]\nprofile = 'lax'", /sandbox\.profile is none of permissive, moderate, restrictive/, /write one of/],
  ["[egress]\nmode = 'enforced'", /egress\.mode is none of enforce, observe/, /did you mean enforce\?/],
  ["[egress]\nlocked = 'yes'", /egress\.locked is not true or false/, /without quotes/],
  ["[server]\nport = '80'", /server\.port is not a number/, /without quotes/],
  ["[server]\nport = 70000", /server\.port is too large/, /at most 65535/],
  ["[server]\nport = 1.5", /server\.port is not a whole number/, /whole number/],
  ["[server]\nport = -1", /server\.port is too small/, /at least 0/],
  ["[server]\nhost = ''", /server\.host is empty/, /docs/],
  ["server = 1", /server is not a table/, /as \[name\]/],
  ["[server]\nallowed_origins = 'https://a.com'", /server\.allowed_origins is not a list/, /\[ … \]/],
  ["[server]\nallowed_origins = ['https://a.com/x']", /server\.allowed_origins\[0\] is not an origin/, /without a path/],
  ["[server]\napi_key = 'sk-real'", /server\.api_key must be a reference/, /never the value itself/],
  ["[server]\napi_key = { env = 'A', file = '/x' }", /server\.api_key must be a reference/, /write \{ env/],
  ["[server]\napi_key = { file = 'relative' }", /server\.api_key\.file must be absolute/, /write \{ file/],
  ["[server]\napi_key = { command = [] }", /server\.api_key\.command is empty/, /write \{ command/],
  ["[server]\napi_key = { env = 'a b' }", /server\.api_key\.env is not the name of a variable/, /underscores/],
  ["[server]\napi_key = { vault = '' }", /server\.api_key\.vault is not the name of a secret/, /letters/],
  ["[sandbox]\nttl = 5", /sandbox\.ttl must be a duration/, /90s, 15m, 2h, 7d/],
  ["[sandbox]\nttl = '5'", /sandbox\.ttl must be a duration/, /90s/],
  ["[sandbox.limits]\nmemory = '2GB'", /sandbox\.limits\.memory must be a size/, /512MiB, 2GiB/],
  ["[sandbox.limits]\ncpus = 0", /sandbox\.limits\.cpus is too small/, /more than 0/],
  ["[sandbox.limits]\npids = 10\n[sandbox.max]\npids = 5", /sandbox\.limits\.pids is above sandbox\.max\.pids/, /lower it/],
  ["[[egress.rules]]\nhost = 'https://a.com'", /egress\.rules\[0\]\.host is not a host/, /without https/],
  ["[[egress.rules]]\neffect = 'deny'", /egress\.rules\[0\]\.host is missing/, /docs\/reference/],
  ["[[egress.rules]]\nhost = 'a.com'\nports = [0]", /egress\.rules\[0\]\.ports\[0\] must be a port/, /1 to 65535/],
  ["[[egress.rules]]\nhost = 'a.com'\nports = ['443']", /egress\.rules\[0\]\.ports\[0\] must be a whole number/, /1 to 65535/],
  ["[[egress.upstreams]]\nhost = 'a.com'\nurl = 'ftp://b'", /egress\.upstreams\[0\]\.url is not an origin/, /https:/],
  ["[[egress.upstreams]]\nhost = 'a.com'\nurl = 'https://u:p@b.com'", /egress\.upstreams\[0\]\.url is not an origin/, /https:/],
  ["[[egress.upstreams]]\nhost = 'a.com'\nurl = 'https://b.com/v1'", /egress\.upstreams\[0\]\.url is not an origin/, /without a path/],
  [
    "[[egress.upstreams]]\nhost = 'a.com'\nurl = 'https://b'\n[[egress.upstreams]]\nhost = 'A.com.'\nurl = 'https://c'",
    /egress\.upstreams\[1\]\.host is named twice/,
    /keep one/,
  ],
  ["[egress]\nca_file = 'roots.pem'", /egress\.ca_file must be absolute/, /begins with \/ or ~\//],
  ["[secrets]\n'1K' = 'a.com'", /secrets\.1K has a name that is not the name of a variable/, /underscores/],
  ["[secrets]\nK = 1", /secrets\.K must be a host or a table/, /api\.example\.com/],
  // not TOML at all
  ["port = ", /^\/etc\/a\.toml:1:\d+: /, /docs\/reference/],
  ["[server]\nport = 1\nport = 2", /^\/etc\/a\.toml:3:\d+: /, /docs\/reference/],
  ["[server\n", /^\/etc\/a\.toml:1:\d+: /, /docs\/reference/],
  ["[server]\nhost = a.com", /^\/etc\/a\.toml:2:\d+: /, /quoted/],
];

describe("a bad configuration", () => {
  it.each(bad)("%j is one line with a remedy", (text, message, hint) => {
    const failure = (() => {
      try {
        return load(text);
      } catch (error) {
        return error;
      }
    })();
    if (!(failure instanceof AppError)) throw new Error("it was accepted");
    expect(failure).toMatchObject({ code: "CONFIG_INVALID", exit: 125 });
    expect(failure.message).toMatch(message);
    expect(failure.hint).toMatch(hint);
    expect(`${failure.message}${failure.hint}`).not.toMatch(/\n|sk-real/);
    expect(failure.message.startsWith("/etc/a.toml")).toBe(true);
  });

  it("names the flag when the flag is wrong", () => {
    const overrides = [{ key: "server.port", value: 99_999, flag: "--port" }];
    expect(() => load("", { overrides })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: "--port: server.port is too large" }),
    );
  });
});
