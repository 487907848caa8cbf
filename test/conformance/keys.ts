import type { Command } from "commander";
import { z } from "zod";
import { createOutput } from "../../src/cli/output.ts";
import { createProgram } from "../../src/cli/program.ts";
import { mountRequest, policyChange, secretBinding } from "../../src/schema/api.ts";
import { configFile } from "../../src/schema/config.ts";
import { ROUTES } from "../../src/server/routes/all.ts";

type Json = { readonly [key: string]: unknown };
const table = (value: unknown): Json => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {});
const listOf = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(table) : []);
const schemaOf = (schema: z.ZodType): Json => table(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));

/** Every key of `agentkernel.toml`: `egress.rules.host`, `secrets.*.header`, `audit.streams.destination(splunk).index`. */
export function configKeys(): readonly string[] {
  return keysBelow("", schemaOf(configFile));
}

function keysBelow(at: string, schema: Json): readonly string[] {
  const items = table(schema["items"]);
  if (schema["type"] === "array") return isPlain(items) ? [at] : keysBelow(at, items);
  const tables = [...listOf(schema["oneOf"]), ...listOf(schema["anyOf"])].filter((one) => one["properties"] !== undefined);
  if (schema["properties"] !== undefined) {
    return Object.entries(table(schema["properties"])).flatMap(([key, value]) => keysBelow(at === "" ? key : `${at}.${key}`, table(value)));
  }
  if (tables.length > 0) return tables.flatMap((one) => keysOfKind(at, one));
  const values = table(schema["additionalProperties"]);
  if (listOf(values["anyOf"]).some((one) => one["properties"] !== undefined)) return [at, ...keysBelow(`${at}.*`, values)];
  return [at];
}

/** Tables that are told apart by their `type`, and those that stand beside a short form, which is a key of its own. */
function keysOfKind(at: string, { properties }: Json): readonly string[] {
  const { type, ...rest } = table(properties);
  const kind = table(type)["const"];
  const names = Object.keys(rest);
  if (typeof kind !== "string") return [...(at.endsWith(".*") ? [] : [at]), ...names.map((name) => `${at}.${name}`)];
  return names.length === 0 ? [`${at}(${kind})`] : names.map((name) => `${at}(${kind}).${name}`);
}

function isPlain(schema: Json): boolean {
  return schema["properties"] === undefined && schema["oneOf"] === undefined && schema["anyOf"] === undefined;
}

/** Every option that `--help` shows: `run --timeout`. */
export function commandOptions(): readonly string[] {
  const program = createProgram({ output: createOutput({ color: false }), configFile: undefined }, () => undefined);
  const below = (command: Command, name: string): readonly string[] => [
    ...command.options.flatMap(({ long, hidden }) => (long == null || hidden || name === "" ? [] : [`${name} ${long}`])),
    ...command.commands.flatMap((one) => below(one, `${name} ${one.name()}`.trim())),
  ];
  return below(program, "");
}

const PARTS = { SecretBinding: secretBinding, Mount: mountRequest, Rule: policyChange.shape.rules.element };

/** Every field of a request's body: `POST /run: env`; routes with the same body stand under the first of them. */
export function bodyFields(): readonly string[] {
  const seen = new Set<z.ZodType>();
  const fieldsOf = (schema: z.ZodType): readonly string[] => Object.keys(table(schemaOf(schema)["properties"]));
  const bodies = ROUTES.flatMap(({ method, path, inputs: { body } }) => {
    if (body === undefined || seen.has(body)) return [];
    seen.add(body);
    return fieldsOf(body).map((field) => `${method.toUpperCase()} ${path}: ${field}`);
  });
  return [...bodies, ...Object.entries(PARTS).flatMap(([name, schema]) => fieldsOf(schema).map((field) => `${name}: ${field}`))];
}
