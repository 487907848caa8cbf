import { usageOf } from "./shapes/fields.ts";
import type { Recognition, RequestFacts, ResponseFacts } from "./types.ts";

/**
 * The facts of a response completed by what only the request says: speech is paid by the character of what is to be said, and its
 * answer is sound. We counted them, the provider did not, so they are an estimate.
 */
export function withRequestUnits(recognition: Recognition, request: RequestFacts, response: ResponseFacts): ResponseFacts {
  const characters = request.inputCharacters;
  if (recognition.operation !== "speech" || characters === undefined || response.usage !== null || response.outcome !== "ok")
    return response;
  return { ...response, usage: usageOf({ units: { characters } }), source: "estimated", missing: null };
}
