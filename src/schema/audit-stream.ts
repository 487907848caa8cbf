import { z } from "zod";
import { path, size } from "./config-values.ts";
import { ocsfVersion, NATIVE_OCSF_VERSION } from "./ocsf-version.ts";
import { secretReference } from "./secret-reference.ts";

/** `[[audit.streams]]`: where events are delivered. Shared with whoever shows or makes a stream. */

/** A secret in plain text (`config check` warns about it) or a reference to where it is. */
export const secretText = z
  .union([z.string().min(1).max(8_192), secretReference], {
    error: 'must be a text or a reference: write { env = "NAME" }, { file = "/path" } or { vault = "NAME" }',
  })
  .meta({ title: "text or secret reference" });
export type SecretText = z.infer<typeof secretText>;

const RESERVED =
  /^(?:host|content-length|content-type|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|webhook-.*|agentkernel-.*)$/i;

export const httpUrl = z
  .string()
  .refine(isHttpUrl, "is not an address: write https://collector.example.com/path, without user name and password")
  .meta({ title: "URL" });

export const httpHeaders = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, "is not the name of a header: write letters, digits and hyphens")
      .refine((name) => !RESERVED.test(name), "is set by agentkernel itself: remove it"),
    secretText,
  )
  .meta({ title: "table", description: "further headers" });

const authorization = secretText.optional().meta({ description: "value of the `authorization` header, `Bearer …` included" });
const ca_file = path.optional().meta({ description: "PEM file with more roots" });
const headers = httpHeaders.optional();

export const webhookSecrets = {
  secret: secretText.optional().meta({ description: "`whsec_…`: batches are signed as Standard Webhooks are" }),
  secrets: z.array(secretText).max(8).optional().meta({ description: "older secrets that sign as well, while receivers change" }),
};

const destination = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("http_webhook"), url: httpUrl, authorization, headers, ...webhookSecrets, ca_file }),
    z.strictObject({
      type: z.literal("file"),
      path,
      rotate_size: size.prefault("64MiB").meta({ description: "the file is renamed past this size; nothing is removed" }),
    }),
    z.strictObject({ type: z.literal("stdout") }),
    z.strictObject({
      type: z.literal("splunk"),
      url: httpUrl.meta({ description: "HTTP Event Collector, as https://splunk.example.com:8088" }),
      token: secretText.meta({ description: "of the collector" }),
      index: z.string().min(1).optional().meta({ description: "absent: the token's" }),
      source: z.string().min(1).prefault("agentkernel").meta({ description: "`source` of every event" }),
      sourcetype: z.string().min(1).prefault("agentkernel:audit").meta({ description: "`sourcetype` of every event" }),
      headers,
      ca_file,
    }),
    z.strictObject({
      type: z.literal("elastic"),
      url: httpUrl.meta({ description: "cluster, as https://elastic.example.com:9200" }),
      index: z
        .string()
        .regex(/^[a-z0-9][a-z0-9._-]{0,254}$/, "is not the name of an index: write lower-case letters, digits, dots and hyphens")
        .meta({ description: "index or data stream" }),
      authorization,
      headers,
      ca_file,
    }),
    z.strictObject({
      type: z.literal("datadog"),
      url: httpUrl.prefault("https://http-intake.logs.datadoghq.com").meta({ description: "intake of your site" }),
      api_key: secretText.meta({ description: "key of the account" }),
      service: z.string().min(1).prefault("agentkernel").meta({ description: "`service` of every entry" }),
      headers,
      ca_file,
    }),
    z.strictObject({
      type: z.literal("otlp"),
      url: httpUrl.meta({ description: "OTLP over HTTP, as http://127.0.0.1:4318" }),
      authorization,
      headers,
      ca_file,
    }),
    z.strictObject({
      type: z.literal("syslog"),
      host: z
        .string()
        .regex(/^[A-Za-z0-9.:_-]{1,253}$/, "is not a host: write syslog.example.com")
        .meta({ description: "name in the receiver's certificate" }),
      port: z.int().min(1).max(65_535).prefault(6_514).meta({ description: "TLS port" }),
      max_bytes: z.int().min(480).max(1_048_576).prefault(8_192).meta({ description: "bytes of a message that the receiver takes" }),
      facility: z.int().min(0).max(23).prefault(13).meta({ description: "RFC 5424 facility" }),
      ca_file,
    }),
  ])
  .meta({ title: "table", description: "where to, by `type`" });

export const auditStream = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, "is not a name: write up to 63 letters, digits, dots and hyphens")
    .optional()
    .meta({
      description: "names its position and dead letters; default made from the destination, so that another destination begins anew",
    }),
  destination,
  batch_size: z.int().min(1).max(1_000).prefault(10).meta({ description: "events that are sent at once, at most" }),
  flush_interval_secs: z.number().min(0).max(3_600).prefault(30).meta({ description: "seconds that an event waits for its batch to fill" }),
  max_retries: z
    .int()
    .min(1)
    .max(1_000)
    .prefault(3)
    .meta({ description: "tries that fail in a row before the stream is reported as failing; delivery goes on all the same" }),
  ocsf_enabled: z.boolean().prefault(true).meta({ description: "OCSF events; false: native records" }),
  ocsf_version: ocsfVersion.prefault(NATIVE_OCSF_VERSION).meta({ description: "OCSF release that the destination reads" }),
});
export type AuditStream = z.output<typeof auditStream>;
export type StreamDestination = AuditStream["destination"];

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    url.hash === "" &&
    /^https?:\/\//i.test(text)
  );
}
