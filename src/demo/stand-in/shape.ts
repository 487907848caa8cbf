import type { ProviderId } from "../../schema/provider.ts";

/** A tool as an agent declares it in its request. */
export type Tool = {
  readonly name: string;
  readonly properties: readonly string[];
  /** takes a text instead of JSON arguments (OpenAI's custom tools) */
  readonly takesText?: boolean;
  /** OpenAI's tool namespaces */
  readonly namespace?: string;
};

/** What a request asks for, whatever its wire format. */
export type Turn = {
  readonly model: string;
  readonly streaming: boolean;
  /** everything a person or program said in the user's role, joined */
  readonly prompt: string;
  /** characters that count as input */
  readonly weight: number;
  readonly tools: readonly Tool[];
  /** the conversation already holds the result of a tool */
  readonly hasToolResult: boolean;
  /** the answer must be a JSON text, of this schema where one is given */
  readonly json?: { readonly schema: unknown };
  /** OpenAI chat streams carry usage only when asked */
  readonly usageAsked: boolean;
  /** Google's streams are one JSON array unless events are asked for */
  readonly framing: "events" | "array";
};

export type ToolCall = {
  readonly id: string;
  readonly name: string;
  readonly arguments: Json;
  /** instead of arguments, for a tool that takes a text */
  readonly input?: string;
  readonly namespace?: string;
};

/** Tokens in the product's own terms: input includes cache, output includes reasoning. */
export type Figures = {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly reasoning: number;
};

export type Reply = {
  readonly id: string;
  readonly text: string;
  readonly toolCall?: ToolCall;
  readonly figures: Figures;
  readonly createdAt: number;
};

/** What a format reports of {@link Figures}; null where its wire has no field for it. */
export type Reported = {
  readonly input: number | null;
  readonly output: number | null;
  readonly total: number | null;
  readonly cacheRead: number | null;
  readonly cacheWrite: number | null;
  readonly reasoning: number | null;
  readonly billedInput: number | null;
  readonly billedOutput: number | null;
};

/** One piece of a streamed answer; `reports` marks the piece that carries the usage. */
export type Piece = { readonly bytes: string; readonly reports?: true };

/** One wire format, both directions. */
export interface Shape {
  readonly provider: ProviderId;
  readonly contentType: { readonly json: string; readonly stream: string };
  /** which figures the format can report at all */
  readonly caches: boolean;
  readonly reasons: boolean;
  read(body: Json, target: URL): Turn;
  json(turn: Turn, reply: Reply): object;
  stream(turn: Turn, reply: Reply): readonly Piece[];
  reported(figures: Figures): Reported;
  error(status: number, message: string): object;
}

/** A parsed JSON object of which nothing is known. */
export type Json = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function objects(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Size of the parts of a request that a model would read. */
export function weigh(...parts: readonly unknown[]): number {
  return parts.reduce<number>((sum, part) => sum + (part === undefined ? 0 : JSON.stringify(part).length), 0);
}

/** The text of a message's content: a string, or a list of parts with `text`. */
export function contentText(content: unknown): string {
  if (typeof content === "string") return content;
  return objects(content)
    .map((part) => text(part["text"]))
    .join("\n");
}

/** The names of a JSON schema's properties. */
export function propertyNames(schema: unknown): readonly string[] {
  return isObject(schema) && isObject(schema["properties"]) ? Object.keys(schema["properties"]) : [];
}

/** The least value that a JSON schema accepts, as far as agents' schemas go. */
export function sample(schema: unknown): unknown {
  if (!isObject(schema)) return {};
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  const type = text(Array.isArray(schema["type"]) ? schema["type"][0] : schema["type"]).toLowerCase();
  if (type === "string") return "stand-in";
  if (type === "number" || type === "integer") return typeof schema["minimum"] === "number" ? schema["minimum"] : 1;
  if (type === "boolean") return false;
  if (type === "array") return [];
  if (!isObject(schema["properties"])) return {};
  return Object.fromEntries(Object.entries(schema["properties"]).map(([name, property]) => [name, sample(property)]));
}

/** Cuts a text into pieces of about `size` characters, at least one. */
export function cut(whole: string, size = 12): readonly string[] {
  const pieces: string[] = [];
  const characters = Array.from(whole);
  for (let at = 0; at < characters.length; at += size) pieces.push(characters.slice(at, at + size).join(""));
  return pieces.length === 0 ? [""] : pieces;
}

export function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
