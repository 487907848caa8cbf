import { createHmac } from "node:crypto";
import { AppError } from "../../base/error.ts";

const PREFIX = "whsec_";

/** The bytes of a `whsec_…` secret. @throws AppError VALIDATION; the secret is never part of the message */
export function webhookKey(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : "";
  const bytes = Buffer.from(text, "base64");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || bytes.length < 24 || bytes.length > 64) {
    throw new AppError("VALIDATION", "the webhook secret is not of the form whsec_ and 24 to 64 bytes in base64", {
      hint: 'make one with: echo "whsec_$(openssl rand -base64 32)"',
    });
  }
  return bytes;
}

/** Headers of Standard Webhooks 1.0: one signature for each key, so that a secret can be changed without a gap. */
export function webhookHeaders(id: string, atMs: number, body: string, keys: readonly Buffer[]): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(atMs / 1000));
  const signatures = keys.map((key) => `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`);
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    ...(signatures.length === 0 ? {} : { "webhook-signature": signatures.join(" ") }),
  };
}
