import type { ProviderId } from "../../schema/provider.ts";
import type { Usage } from "../../schema/usage.ts";
import type { PathNode } from "../json/paths.ts";
import type { ResponseFacts, ShapeId } from "../types.ts";

/** Facts that a request body can state; the table of a shape says at which path. */
export type RequestFact =
  | "model"
  | "agent"
  | "stream"
  | "streamOptions"
  | "maxOutputTokens"
  | "choices"
  | "serviceTier"
  | "streamFormat"
  | "inputText"
  | "previous"
  | "conversation";

/** What a response said, as its shape reads it. */
export type ReaderResult = {
  /** null when the response had none */
  readonly usage: Usage | null;
  /** `usage.output` is only a first guess that the stream was going to replace */
  readonly outputIsPlaceholder: boolean;
  /** the response said that it was over: what is known is all there is to know */
  readonly final: boolean;
  readonly responseModel: string | null;
  readonly responseId: string | null;
  readonly serviceTier: string | null;
  /** the provider reported a failure inside the body */
  readonly failed: boolean;
  /** accepted, but not finished: usage comes with a later poll */
  readonly pending: boolean;
};

/** Of a response that said nothing. */
export const NOTHING_READ: ReaderResult = {
  usage: null,
  outputIsPlaceholder: false,
  final: false,
  responseModel: null,
  responseId: null,
  serviceTier: null,
  failed: false,
  pending: false,
};

/** Reads one response; is given the values at `Shape.response` in the order in which they stand. */
export interface ResponseReader {
  wants(slot: string): boolean;
  value(slot: string, value: unknown): void;
  /** a value too large to keep; its slot was present and not null */
  dropped(slot: string): void;
  /** a value begins at a path that is only counted */
  enter?(slot: string): void;
  /** a document of the body ended: an event, a line, the whole */
  document?(): void;
  /** calls that the response told of since this was last asked */
  take?(): readonly ResponseFacts[];
  result(): ReaderResult;
}

export type ReaderOptions = {
  readonly provider: ProviderId;
  readonly operation: string;
  /** a header of the response by its lower-case name */
  readonly header?: ((name: string) => string | undefined) | undefined;
};

/** One wire format: where its requests and responses say what, and how its numbers are meant. */
export interface Shape {
  readonly id: ShapeId;
  readonly request: Readonly<Record<string, RequestFact>>;
  readonly response: PathNode;
  /** what a request means that says nothing about streaming; default false */
  readonly streamsByDefault?: true;
  read(options: ReaderOptions): ResponseReader;
}

/** Shorthand for the paths of a shape: slot → paths whose values it takes. */
export type SlotPaths = Readonly<Record<string, readonly string[]>>;
