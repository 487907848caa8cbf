import type { SandboxRecord } from "./record.ts";

/** Paths that are the same in every sandbox. */
export const INSIDE = {
  home: "/home/agent",
  workspace: "/workspace",
  trustBundle: "/etc/ssl/certs/ca-certificates.crt",
  path: "/usr/local/bin:/usr/bin:/bin",
} as const;

/** Every variable by which some client finds its roots; all name one bundle: ours, the system's and the operator's. */
const CA_VARIABLES = [
  "SSL_CERT_FILE",
  "NODE_EXTRA_CA_CERTS",
  "CURL_CA_BUNDLE",
  "REQUESTS_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "PIP_CERT",
  "DENO_CERT",
  "CARGO_HTTP_CAINFO",
  "AWS_CA_BUNDLE",
  "NIX_SSL_CERT_FILE",
  "CODEX_CA_CERTIFICATE",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
] as const;

/** The environment of every exec of a sandbox, before the exec's own. `passed` is what the profile lets through from the host. */
export function insideEnvironment(
  record: Pick<SandboxRecord, "name" | "env">,
  options: {
    readonly passed: Readonly<Record<string, string>>;
    /** names and placeholders of bound secrets */
    readonly placeholders: Readonly<Record<string, string>>;
    readonly hasNetwork: boolean;
  },
): Readonly<Record<string, string>> {
  const roots: Record<string, string> = {};
  if (options.hasNetwork) for (const name of CA_VARIABLES) roots[name] = INSIDE.trustBundle;
  return {
    PATH: INSIDE.path,
    LANG: "C.UTF-8",
    USER: "agent",
    LOGNAME: "agent",
    SHELL: "/bin/sh",
    ...options.passed,
    // never the host's: inside is its own home
    HOME: INSIDE.home,
    AGENTKERNEL_SANDBOX: record.name,
    ...roots,
    ...record.env,
    ...options.placeholders,
  };
}
