import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { hostname as systemName } from "node:os";
import { dirname } from "node:path";
import { AppError, errnoOf, messageOf } from "../../base/error.ts";
import { VERSION } from "../../base/version.ts";
import { loadCaFile } from "../../config/ca-file.ts";
import type { HostEnvironment } from "../../config/env.ts";
import type { StatePaths } from "../../config/paths.ts";
import { checkMapping } from "../../events/ocsf/self-check.ts";
import { webhookKey } from "../../events/sinks/standard-webhooks.ts";
import type { SecretText } from "../../schema/audit-stream.ts";
import type { Config } from "../../schema/settings.ts";
import { hookFile } from "../hooks/hook-sinks.ts";
import type { ConfigProblem } from "../config-problem.ts";
import type { SandboxSecrets } from "../secrets/sandbox-secrets.ts";

type Place = { readonly config: Config; readonly paths: StatePaths; readonly env: HostEnvironment };
type Resolve = (text: SecretText) => Promise<string>;
type Found = ConfigProblem[];

/** What every way to a destination may have. */
type Way = {
  readonly type: string;
  readonly url?: string;
  readonly authorization?: SecretText | undefined;
  readonly headers?: Readonly<Record<string, SecretText>> | undefined;
  readonly ca_file?: string | undefined;
  readonly token?: SecretText;
  readonly api_key?: SecretText;
};

/**
 * What would go wrong with streams and hooks although every value has the right form: secrets that are not there, roots that cannot
 * be read, files that cannot be written, events that their format cannot hold. Nothing is sent.
 */
export async function checkDestinations(place: Place, secrets: SandboxSecrets): Promise<readonly ConfigProblem[]> {
  const { config, paths, env } = place;
  const { streams } = config.audit;
  const { hooks, hookFileDirs } = config.proxy;
  const found: Found = [];
  const resolve: Resolve = async (text) => (typeof text === "string" ? text : ((await secrets.resolve(text))?.reveal() ?? ""));
  for (const [at, stream] of streams.entries()) {
    const key = `audit.streams[${at}]`;
    const { destination, ocsfVersion } = stream;
    await checkWay(found, `${key}.destination`, destination, resolve);
    if (destination.type === "http_webhook") await checkKeys(found, `${key}.destination`, destination, resolve);
    if (destination.type === "file") await checkFile(found, `${key}.destination.path`, destination.path);
    if (ocsfVersion !== null) checkFormat(found, `${key}.ocsf_version`, ocsfVersion, env.get("HOSTNAME") ?? systemName());
  }
  for (const [at, hook] of hooks.entries()) {
    const key = `proxy.hooks[${at}]`;
    const { target } = hook;
    await checkKeys(found, key, hook, resolve);
    if (target.type === "webhook") await checkWay(found, `${key}.target`, target, resolve);
    if (target.type === "file") {
      const path = await attempt(found, `${key}.target.path`, () =>
        hookFile(target.path, { filesDir: `${paths.state}/hooks`, fileDirs: hookFileDirs }),
      );
      if (path !== undefined) await checkFile(found, `${key}.target.path`, path);
    }
  }
  return found;
}

async function checkWay(found: Found, key: string, way: Way, resolve: Resolve): Promise<void> {
  const { url, authorization, headers = {}, ca_file, token, api_key } = way;
  const given: readonly (readonly [string, SecretText | undefined])[] = [
    ["authorization", authorization],
    ["token", token],
    ["api_key", api_key],
    ...Object.entries(headers).map(([name, text]) => [`headers.${name}`, text] as const),
  ];
  for (const [name, text] of given) {
    if (text === undefined) continue;
    const value = await attempt(found, `${key}.${name}`, () => resolve(text));
    if (value === "") found.push({ level: "error", key: `${key}.${name}`, message: "is empty" });
    // RFC 9110 §5.5: what a field may hold
    else if (value !== undefined && /[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      found.push({
        level: "error",
        key: `${key}.${name}`,
        message: "holds a character that no HTTP header may hold, such as a line break",
      });
  }
  if (ca_file !== undefined) await attempt(found, `${key}.ca_file`, () => loadCaFile(`${key}.ca_file`, ca_file));
  if (url === undefined || given.every(([, text]) => text === undefined)) return;
  const { protocol, hostname } = new URL(url);
  if (protocol === "http:" && !/^(localhost|127\..*|\[::1\])$/.test(hostname))
    found.push({ level: "warning", key: `${key}.url`, message: "sends credentials without encryption", hint: "write https://" });
}

async function checkKeys(
  found: Found,
  key: string,
  { secret, secrets = [] }: { readonly secret?: SecretText | undefined; readonly secrets?: readonly SecretText[] | undefined },
  resolve: Resolve,
): Promise<void> {
  const all = [
    ...(secret === undefined ? [] : [["secret", secret] as const]),
    ...secrets.map((text, at) => [`secrets[${at}]`, text] as const),
  ];
  for (const [name, text] of all) await attempt(found, `${key}.${name}`, async () => webhookKey(await resolve(text)));
}

/** Whether the file can be appended to, or made; it is not made. */
async function checkFile(found: Found, key: string, path: string): Promise<void> {
  const refuse = (message: string, hint: string): number => found.push({ level: "error", key, message: `${path} ${message}`, hint });
  try {
    if (!(await stat(path)).isFile()) refuse("is not a regular file", "name a file");
    else await access(path, constants.W_OK);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return checkFolder(refuse, dirname(path));
    refuse(`cannot be written (${errno ?? messageOf(error)})`, "check the path and its permissions");
  }
}

async function checkFolder(refuse: (message: string, hint: string) => number, folder: string): Promise<void> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      if (!(await stat(at)).isDirectory()) refuse(`cannot be made: ${at} is not a folder`, "name a file in a folder");
      else await access(at, constants.W_OK | constants.X_OK);
      return;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOENT" && at !== dirname(at)) continue;
      refuse(`cannot be made: ${at} (${errno ?? messageOf(error)})`, "check the path and its permissions");
      return;
    }
  }
}

function checkFormat(found: Found, key: string, version: Parameters<typeof checkMapping>[0]["version"], hostname: string): void {
  const product = { name: "agentkernel", vendor: "agentkernel", version: VERSION };
  const [first, ...more] = checkMapping({ version, product, hostname }).filter(({ level }) => level === "error");
  if (first === undefined) return;
  const others = more.length === 0 ? "" : `, and ${more.length} more`;
  found.push({
    level: "error",
    key,
    message: `${first.event} would not be a valid event of ${version}: ${first.path} ${first.message}${others}`,
  });
}

async function attempt<T>(found: Found, key: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const hint = error instanceof AppError ? error.hint : undefined;
    found.push({ level: "error", key, message: messageOf(error), ...(hint === undefined ? {} : { hint }) });
    return undefined;
  }
}
