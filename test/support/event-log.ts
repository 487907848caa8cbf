import { generateKeyPairSync } from "node:crypto";
import { readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { loadOrCreateKey, trustedKeys } from "../../src/events/checkpoint-key.ts";
import type { Signer, TrustedKeys } from "../../src/events/checkpoint.ts";
import { keyIdOf } from "../../src/events/checkpoint.ts";
import { listChains, listSegments } from "../../src/events/layout.ts";
import type { ChainedEventLog } from "../../src/events/log.ts";
import { type EventLogOptions, openEventLog } from "../../src/events/open-log.ts";
import { type LogReport, verifyEventLog } from "../../src/events/verify-log.ts";
import type { NewEvent } from "../../src/schema/event.ts";
import { type TempDir, tempDir } from "./temp.ts";

/** A log's directory with its key beside it. */
export type LogPlace = TempDir & { readonly dir: string; readonly keyFile: string };

export async function logPlace(): Promise<LogPlace> {
  const temp = await tempDir();
  return { ...temp, dir: join(temp.path, "audit"), keyFile: join(temp.path, "config", "audit.key") };
}

export function openAt(place: Pick<LogPlace, "dir" | "keyFile">, options: Partial<EventLogOptions> = {}): Promise<ChainedEventLog> {
  return openEventLog({ dir: place.dir, keyFile: place.keyFile, clock: systemClock, log: silentLog, hostname: "test", ...options });
}

export async function keysOf(place: Pick<LogPlace, "keyFile">): Promise<TrustedKeys> {
  return trustedKeys([(await loadOrCreateKey(place.keyFile)).privateKey]);
}

export async function verifyAt(
  place: Pick<LogPlace, "dir" | "keyFile">,
  options: Partial<Parameters<typeof verifyEventLog>[0]> = {},
): Promise<LogReport> {
  return verifyEventLog({ dir: place.dir, keys: await keysOf(place), ...options });
}

/** Class `durable`. */
export function change(id: string, fields: { readonly id?: string; readonly reason?: string } = {}): NewEvent {
  return {
    type: "admin.change",
    actor: { kind: "user", user_id: "tester" },
    outcome: "permit",
    resource_type: "config",
    resource_id: id,
    operation: "update",
    ...fields,
  };
}

/** Class `fast`. */
export function tunnel(host: string, fields: { readonly id?: string; readonly sandbox?: string } = {}): NewEvent {
  return {
    type: "egress.decision",
    actor: { kind: "sandbox", user_id: "sandbox" },
    outcome: "permit",
    decision: "allow",
    protocol: "tunnel",
    host,
    rule: "r",
    reason: "allowed",
    policy: { id: "p", version: 1 },
    ...fields,
  };
}

export function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ed25519");
  return { privateKey, keyId: keyIdOf(privateKey) };
}

/** Marks every unfinished chain as that of a process of an earlier boot, as after a power cut. */
export async function pretendReboot(dir: string): Promise<void> {
  for (const name of await readdir(join(dir, "owners"))) {
    const [chain, , namespace, pid, start] = name.split(".");
    await rename(join(dir, "owners", name), join(dir, "owners", [chain, "0".repeat(32), namespace, pid, start].join(".")));
  }
}

/** Ids of all events in the log, by reading the segments as plain text. */
export async function idsIn(dir: string): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for (const chain of await listChains(dir)) {
    for (const { name } of await listSegments(dir, chain)) {
      for (const match of (await readFile(join(dir, chain, name), "utf8")).matchAll(/"id":"(evt_[^"]+)"/g)) ids.add(match[1] ?? "");
    }
  }
  return ids;
}

/** A file that exists once below the log's directory, by the end of its name. */
export async function onlyFile(dir: string, end: string): Promise<string> {
  const found = (await readdir(dir, { recursive: true })).filter((name) => name.endsWith(end));
  if (found.length !== 1) throw new Error(`expected one ${end}, found ${found.join(", ")}`);
  return join(dir, found[0] ?? "");
}
