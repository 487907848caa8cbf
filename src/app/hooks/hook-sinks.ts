import { lookup } from "node:dns/promises";
import { mkdir, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { VERSION } from "../../base/version.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import { SYSTEM } from "../../events/audit-log-event.ts";
import type { SinkSpec } from "../../events/delivery/sink-spec.ts";
import { type AddressVet, createHttpClient } from "../../events/sinks/http-client.ts";
import { createHttpWebhook } from "../../events/sinks/http-webhook.ts";
import { LinesFile } from "../../events/sinks/lines-file.ts";
import { DELIVERED, type Sink } from "../../events/sinks/sink.ts";
import { webhookKey } from "../../events/sinks/standard-webhooks.ts";
import { decideAddress } from "../../policy/decide-address.ts";
import { parseHost } from "../../policy/host.ts";
import type { SecretText } from "../../schema/audit-stream.ts";
import type { Event, NewEvent } from "../../schema/event.ts";
import type { Hook, HookTarget } from "../../schema/hook.ts";
import { bodyLimit, withBodies } from "../../schema/shown-body.ts";
import type { FindSecret } from "../secrets/find-secret.ts";
import { isFor } from "./hook-filter.ts";
import type { RegisteredHook } from "./hook-registry.ts";

export type HookSinkOptions = {
  readonly secret: FindSecret;
  readonly report: (event: NewEvent) => Promise<unknown>;
  /** folder of file targets with relative paths */
  readonly filesDir: string;
  readonly fileDirs: readonly string[];
  /** `[proxy].unsafe_allow_private` */
  readonly allowPrivate: boolean;
  readonly ownAddresses: () => readonly string[];
  readonly clock: Clock;
};

const USER_AGENT = `agentkernel-hooks/${VERSION}`;
/** ms that an event of a batch waits for others */
const BATCH_WAIT_MS = 1_000;
const MAX_RETRIES = 3;
const POLICY = { id: "hooks", version: 0 } as const;

/** Name of a hook among the sinks; no stream can have it. */
export function sinkNameOf(hook: string): string {
  return `hook@${hook}`;
}

export function hookSpec({ hook, file, createdMs }: RegisteredHook, options: HookSinkOptions): SinkSpec {
  return {
    name: sinkNameOf(hook.name),
    kind: "hook",
    type: hook.target.type,
    batchSize: hook.batch ?? 1,
    flushMs: hook.batch === undefined ? 0 : BATCH_WAIT_MS,
    maxRetries: MAX_RETRIES,
    sinceMs: createdMs,
    fingerprint: JSON.stringify([hook, file, options.allowPrivate]),
    ...(file === null ? {} : { owner: { config: file, place: hookPlace(hook.target) } }),
    wanted: (event) => isFor(hook, event),
    encode: (event, { chain, seq }) => [hookBody(hook, event, chain, seq)],
    open: (signal) => openHook(hook, file !== null, options, signal),
  };
}

function hookPlace(target: HookTarget): string {
  return target.type === "webhook" ? target.url : target.type === "file" ? target.path : target.type;
}

/** The event itself, with its place: the ids are the keys to drop repetitions by. */
export function hookBody(hook: Hook, event: Event, chain: string, seq: number): object {
  return { ...withBodies(event, bodyLimit(hook)), chain, sequence: seq };
}

export async function openHook(hook: Hook, isOperators: boolean, options: HookSinkOptions, signal: AbortSignal): Promise<Sink> {
  const { target } = hook;
  switch (target.type) {
    case "webhook":
      return openWebhook(hook, target, isOperators, options, signal);
    case "file":
      return new LinesFile({
        path: await hookFile(target.path, options),
        rotateBytes: target.rotate_size,
        keepsHeads: false,
        clock: options.clock,
      });
    case "audit":
      return auditSink(hook.name, options.report);
    default:
      return target satisfies never;
  }
}

async function openWebhook(
  hook: Hook,
  target: Extract<HookTarget, { type: "webhook" }>,
  isOperators: boolean,
  options: HookSinkOptions,
  signal: AbortSignal,
): Promise<Sink> {
  const { clock } = options;
  const secretOf = (text: SecretText): Promise<string> => options.secret(text, signal);
  const texts = [...(hook.secret === undefined ? [] : [hook.secret]), ...(hook.secrets ?? [])];
  const keys = await Promise.all(texts.map(async (text) => webhookKey(await secretOf(text))));
  const headers: Record<string, string> = {};
  for (const [name, text] of Object.entries(target.headers ?? {})) headers[name.toLowerCase()] = await secretOf(text);
  if (target.authorization !== undefined) headers["authorization"] = await secretOf(target.authorization);
  const vet = isOperators ? undefined : addressVet(new URL(target.url), options);
  const ca = target.ca_file === undefined ? {} : { ca: await loadCaFile("proxy.hooks.target.ca_file", target.ca_file) };
  const body = hook.batch === undefined ? "single" : "array";
  return createHttpWebhook(
    { url: target.url, headers, keys, body, userAgent: USER_AGENT, clock },
    createHttpClient({ ...ca, ...(vet === undefined ? {} : { vet }) }),
  );
}

/** Judges addresses as the gateway does for sandboxes; undefined: the operator opened private ones. */
export function addressVet(
  url: URL,
  { allowPrivate, ownAddresses }: Pick<HookSinkOptions, "allowPrivate" | "ownAddresses">,
): AddressVet | undefined {
  if (allowPrivate) return undefined;
  const host = parseHost(url.hostname);
  if (host.kind === "invalid") return () => `the host ${host.reason}`;
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const policy = { ref: POLICY, ownAddresses: ownAddresses(), ownPorts: [], unsafeAllowPrivate: false };
  return (address) => {
    const { verdict, address: found } = decideAddress(policy, host, address, { port });
    return verdict === "allow"
      ? undefined
      : `target.url leads to ${address}, which is no public address (${found ?? "none"}); the operator may set [proxy] unsafe_allow_private`;
  };
}

/** Refuses at registration what delivery would refuse. @throws VALIDATION naming the key */
export async function checkTarget(hook: Hook, options: HookSinkOptions): Promise<void> {
  const { target } = hook;
  if (target.type === "file") await hookFile(target.path, options);
  if (target.type !== "webhook") return;
  if (target.ca_file !== undefined)
    throw new AppError("VALIDATION", "target.ca_file: names a file of this machine, and is only taken from the configuration");
  const url = new URL(target.url);
  const vet = addressVet(url, options);
  if (vet === undefined) return;
  const refusal = (await addressesOf(url.hostname)).map(vet).find((reason) => reason !== undefined);
  if (refusal !== undefined)
    throw new AppError("VALIDATION", refusal, { hint: "name a public address, or put the hook into the configuration" });
}

async function addressesOf(hostname: string): Promise<readonly string[]> {
  try {
    return (await lookup(hostname.replace(/^\[|\]$/g, ""), { all: true })).map(({ address }) => address);
  } catch (error) {
    // judged again when it is delivered, with the answer of then
    if (errnoOf(error) !== undefined) return [];
    throw error;
  }
}

/** Absolute path of a file target inside of a folder that may hold one, links on the way resolved. @throws VALIDATION */
export async function hookFile(path: string, { filesDir, fileDirs }: Pick<HookSinkOptions, "filesDir" | "fileDirs">): Promise<string> {
  const wanted = normalize(isAbsolute(path) ? path : join(filesDir, path));
  const allowed = [filesDir, ...fileDirs].find((dir) => wanted.startsWith(`${normalize(dir).replace(/\/+$/, "")}/`));
  const refuse = (cause?: unknown): AppError =>
    new AppError("VALIDATION", `target.path: ${path} is outside of the folders that hooks may write to`, {
      hint: `write a relative path, or add its folder to [proxy].hook_file_dirs`,
      ...(cause === undefined ? {} : { cause }),
    });
  if (allowed === undefined || wanted.endsWith("/")) throw refuse();
  try {
    await mkdir(dirname(wanted), { recursive: true, mode: 0o700 });
    const [folder, root] = [await realpath(dirname(wanted)), await realpath(allowed)];
    if (folder !== root && !folder.startsWith(`${root}/`)) throw refuse();
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("VALIDATION", `target.path: ${dirname(wanted)} cannot be made: ${messageOf(error)}`, { cause: error });
  }
  return wanted;
}

/** Writes into the audit log that the hook saw something; success is that it is on disk. */
function auditSink(name: string, report: (event: NewEvent) => Promise<unknown>): Sink {
  return {
    send: async ({ items }) => {
      try {
        for (const { event } of items) await report(seen(name, event));
        return DELIVERED;
      } catch (error) {
        return { kind: "retry", reason: messageOf(error) };
      }
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function seen(name: string, event: Event): NewEvent {
  const about = event as {
    readonly sandbox?: string;
    readonly sandbox_uuid?: string;
    readonly host?: string;
    readonly request_id?: string;
  };
  return {
    type: "security.finding",
    actor: SYSTEM,
    outcome: "info",
    finding: "hook_matched",
    severity: "low",
    rule: `hook:${name}`,
    reason: `hook ${name} saw ${event.type} ${event.id}`,
    ...(about.sandbox === undefined ? {} : { sandbox: about.sandbox }),
    ...(about.sandbox_uuid === undefined ? {} : { sandbox_uuid: about.sandbox_uuid }),
    ...(about.request_id === undefined ? {} : { request_id: about.request_id }),
    ...(about.host === undefined ? {} : { host: about.host }),
  };
}
