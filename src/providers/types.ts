import type { CallOutcome, ProviderId, UsageSource } from "../schema/provider.ts";
import type { Usage } from "../schema/usage.ts";

/** What the wire looks like, whoever serves it. One folder per shape. */
export const SHAPE_IDS = [
  "openai-chat",
  "openai-responses",
  "openai-media",
  "openai-batch",
  "openai-runs",
  "openai-realtime",
  "openai-live",
  "anthropic-messages",
  "anthropic-batch-results",
  "anthropic-sessions",
  "google-generate-content",
  "google-code-assist",
  "google-interactions",
  "google-predict",
  "google-batch",
  "google-live",
  "mistral-conversations",
  "mistral-ocr",
  "cohere",
  "bedrock-converse",
  "bedrock-invoke",
  "ollama",
  "llama-cpp",
  "lm-studio",
] as const;
export type ShapeId = (typeof SHAPE_IDS)[number];

/** A request that was recognised as a call to a model API. */
export type Recognition = {
  readonly provider: ProviderId;
  readonly shape: ShapeId;
  /** `chat`, `text_completion`, `responses`, `messages`, `generate_content`, `embeddings`, `count_tokens`, `rerank` … */
  readonly operation: string;
  /** model, where the path carries it */
  readonly model?: string;
  /** stream flag, where the path decides it */
  readonly streaming?: boolean;
  /** false: tokens in the answer are information, not consumption (count_tokens, a poll) */
  readonly billable: boolean;
  /** may `stream_options.include_usage` be put into a streaming request that lacks it? */
  readonly injectUsage: boolean;
  /** id of what is fetched, where the path carries it: the same usage comes with every fetch (`schema/operation.ts`) */
  readonly responseId?: string;
  /** the path is a WebSocket's: its calls are in the frames (`createFrameTap`) */
  readonly webSocket?: true;
};

export type RecognizeRequest = {
  /** canonical host text */
  readonly host: string;
  readonly method: string;
  /** path without query, as sent */
  readonly path: string;
  readonly query: string;
  /** the handshake of a WebSocket, over HTTP/1.1 or as an extended CONNECT */
  readonly upgrade?: boolean;
};

/** What a request's body says, found wherever it stands in a body of any size. */
export type RequestFacts = {
  readonly model: string | null;
  readonly streaming: boolean;
  /** OpenAI `stream_options.include_usage` as sent */
  readonly includeUsage: boolean | null;
  readonly maxOutputTokens: number | null;
  readonly choices: number | null;
  readonly serviceTier: string | null;
  /** characters of the text to be spoken, which is what speech is paid by */
  readonly inputCharacters?: number;
  /** id of the answer that this call goes on from: the provider puts its whole context before what is sent */
  readonly previousResponseId?: string;
  /** id of a conversation that the provider keeps */
  readonly conversationId?: string;
  /** tokens of the context that the connection is known to hold beside what is sent */
  readonly contextTokens?: number;
  /** two different top-level `model` keys: parsers disagree on which counts */
  readonly ambiguous: boolean;
  /** body could not be read as this shape */
  readonly unparsable: boolean;
};

/** What a finished (or cut off) response said. */
export type ResponseFacts = {
  readonly usage: Usage | null;
  readonly source: UsageSource;
  /** why there is no usage: not_sent, aborted, unparsable, encoding, tap_overflow, ws_compressed */
  readonly missing: string | null;
  readonly responseModel: string | null;
  readonly responseId: string | null;
  readonly serviceTier: string | null;
  readonly outcome: CallOutcome;
};

/** Reads a request body as it passes; bounded memory, never throws. */
export interface RequestReader {
  write(chunk: Uint8Array): void;
  /** for a compressed body this waits for the decoder */
  end(): Promise<RequestFacts>;
}

/** Reads a response body as it passes, on the same chunks; bounded memory, never throws, never delays. */
export interface ResponseTap {
  write(chunk: Uint8Array): void;
  /** model calls that the answer told of since this was last asked, which the provider made by itself; most answers tell of none */
  take(): readonly ResponseFacts[];
  /** `complete`: the body ended by itself; `aborted`: the client left; `error`: upstream broke off */
  end(how: "complete" | "aborted" | "error"): Promise<ResponseFacts>;
}
