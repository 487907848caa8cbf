import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AppError, errnoOf } from "../base/error.ts";
import { runProcess } from "../base/process.ts";
import { Secret } from "../base/secret.ts";
import type { SecretReference } from "../schema/secret-reference.ts";
import { describeReference } from "./describe-reference.ts";
import { checkSecretValue, MAX_SECRET_BYTES } from "./value.ts";
import type { Vault } from "./vault.ts";

/** The host's environment, injected: this folder reads none. */
export interface EnvironmentReader {
  get(name: string): string | undefined;
  names(): readonly string[];
}

export type ResolverOptions = {
  readonly env: EnvironmentReader;
  /** absent: `{ vault = … }` cannot be resolved here */
  readonly vault?: Vault;
  /** variables of ours that a command is not given */
  readonly hiddenFromCommands: readonly string[];
};

/** Finds values late: when they are needed, and never before. */
export interface SecretResolver {
  /** @throws NOT_FOUND when there is nothing, VALIDATION for a value that no header could carry */
  resolve(reference: SecretReference, signal: AbortSignal): Promise<Secret>;
  /** the value of a secret by its name: the host's variable of that name, else the vault's entry. @throws NOT_FOUND */
  byName(name: string): Secret;
}

/** ms that a command gets to print a value; it may have to ask a person to touch a key */
const COMMAND_TIMEOUT_MS = 30_000;
/** ms between the polite end and the other one, when nobody waits for the value any more */
const COMMAND_GRACE_MS = 500;

export function createResolver(options: ResolverOptions): SecretResolver {
  return {
    resolve: async (reference, signal) => {
      const what = describeReference(reference);
      const value = await find(reference, options, signal);
      checkSecretValue(value, what);
      return new Secret(value);
    },
    byName: (name) => {
      const value = options.env.get(name);
      // an empty variable is how people unset one
      if (value !== undefined && value !== "") {
        checkSecretValue(value, `environment variable ${name}`);
        return new Secret(value);
      }
      const kept = options.vault?.get(name);
      if (kept !== undefined) return kept;
      throw new AppError("NOT_FOUND", `there is no value for the secret ${name}`, {
        hint: `agentkernel secret set ${name}, or set the environment variable ${name}`,
      });
    },
  };
}

async function find(reference: SecretReference, options: ResolverOptions, signal: AbortSignal): Promise<string> {
  if ("env" in reference) {
    const value = options.env.get(reference.env);
    if (value === undefined || value === "") throw missing(reference, "is not set", `export ${reference.env}=…`);
    return value;
  }
  if ("file" in reference) return await readValue(reference);
  if ("command" in reference) return await runForValue(reference, options, signal);
  const kept = options.vault?.get(reference.vault);
  if (kept === undefined) throw missing(reference, "does not exist", `agentkernel secret set ${reference.vault}`);
  return kept.reveal();
}

async function readValue(reference: Extract<SecretReference, { file: string }>): Promise<string> {
  try {
    // O_NONBLOCK: a FIFO would wait for a writer for ever
    await using handle = await open(reference.file, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw missing(reference, "is not a regular file", "name a file that holds the value");
    if ((found.mode & 0o002) !== 0) throw missing(reference, "can be written by everybody", `chmod o-w ${reference.file}`);
    if (found.size > MAX_SECRET_BYTES) throw missing(reference, "is larger than 64 KiB", "name a file that holds the value only");
    return withoutNewline(await handle.readFile("utf8"));
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw missing(reference, `cannot be read (${errnoOf(error) ?? "failed"})`, "make it readable for this user", error);
  }
}

async function runForValue(
  reference: Extract<SecretReference, { command: string[] }>,
  options: ResolverOptions,
  signal: AbortSignal,
): Promise<string> {
  const [program, ...args] = reference.command;
  if (program === undefined || program === "") throw missing(reference, "is empty", 'write command = ["prog", "arg"]');
  const names = options.env.names().filter((name) => !options.hiddenFromCommands.includes(name));
  const env = Object.fromEntries(names.flatMap((name) => [[name, options.env.get(name) ?? ""]]));
  const result = await runProcess({
    argv: [program, ...args],
    env,
    cwd: "/",
    signal,
    timeoutMs: COMMAND_TIMEOUT_MS,
    graceMs: COMMAND_GRACE_MS,
    maxBytes: MAX_SECRET_BYTES,
  });
  // what it printed may hold the value, so neither stream is repeated
  if (result.code !== 0) throw missing(reference, `exited with ${result.code}`, `run it yourself to see why: ${program}`);
  if (result.truncated) throw missing(reference, "printed more than 64 KiB", "it has to print the value only");
  return withoutNewline(result.stdout.toString("utf8"));
}

/** One newline at the end belongs to the editor or to `echo`. */
function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}

function missing(reference: SecretReference, message: string, hint: string, cause?: unknown): AppError {
  return new AppError("NOT_FOUND", `${describeReference(reference)} ${message}`, { hint, ...(cause === undefined ? {} : { cause }) });
}
