import { homedir } from "node:os";
import { AppError } from "../base/error.ts";
import { Secret } from "../base/secret.ts";

/** The host's environment, injected so that nothing else reads it and tests own it. */
export interface HostEnvironment {
  /** value of a variable; undefined when it is not set */
  get(name: string): string | undefined;
  /** names that are set, for passing variables on */
  names(): readonly string[];
}

/** The only reader of `process.env`. */
export const hostEnvironment: HostEnvironment = {
  get: (name) => process.env[name],
  names: () => Object.keys(process.env),
};

/** For tests and libraries. */
export function environmentFrom(values: Readonly<Record<string, string | undefined>>): HostEnvironment {
  return {
    get: (name) => (Object.hasOwn(values, name) ? values[name] : undefined),
    names: () => Object.keys(values).filter((name) => values[name] !== undefined),
  };
}

/** Variables that say how this program itself runs; a command in a sandbox or a child of ours is never given them. */
export const OWN_VARIABLES = ["AGENTKERNEL_HOME", "AGENTKERNEL_API_KEY", "AGENTKERNEL_VAULT_KEY"] as const;

/** Key of the API from the environment, when one is set. */
export function apiKeyVariable(env: HostEnvironment): string | undefined {
  return isSet(env, "AGENTKERNEL_API_KEY") ? "AGENTKERNEL_API_KEY" : undefined;
}

/** Key of the vault from the environment: 32 bytes as 64 hex digits or in base64. @throws CONFIG_INVALID */
export function vaultKeyFrom(env: HostEnvironment): Secret | undefined {
  const text = env.get("AGENTKERNEL_VAULT_KEY")?.trim();
  if (text === undefined || text === "") return undefined;
  if (/^[0-9a-fA-F]{64}$/.test(text) || /^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return new Secret(text);
  throw new AppError("CONFIG_INVALID", "AGENTKERNEL_VAULT_KEY is not a key of 32 bytes", { hint: "make one with: openssl rand -hex 32" });
}

/** https://no-color.org: any value but an empty one. */
export function isColorWanted(env: HostEnvironment): boolean {
  return !isSet(env, "NO_COLOR") && env.get("TERM") !== "dumb";
}

/** Absolute home directory of the caller. @throws CONFIG_INVALID */
export function homeOf(env: HostEnvironment): string {
  return absoluteVariable(env, "HOME") ?? homedir();
}

/**
 * A variable that names a folder; unset and empty are the same. @throws CONFIG_INVALID for a relative path: it would mean the
 * folder we happen to be started in, which belongs to the code that is being fenced in
 */
export function absoluteVariable(env: HostEnvironment, name: string): string | undefined {
  const value = env.get(name);
  if (value === undefined || value === "") return undefined;
  if (!value.startsWith("/") || value.includes("\0")) {
    throw new AppError("CONFIG_INVALID", `${name} is not an absolute path: ${JSON.stringify(value.slice(0, 200))}`, {
      hint: `set ${name} to an absolute path, or unset it`,
    });
  }
  return value;
}

function isSet(env: HostEnvironment, name: string): boolean {
  return (env.get(name) ?? "") !== "";
}
