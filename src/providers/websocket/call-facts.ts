import type { CallOutcome } from "../../schema/provider.ts";
import type { Usage } from "../../schema/usage.ts";
import { usageOf } from "../shapes/fields.ts";
import type { ReaderResult } from "../shapes/shape.ts";
import type { RequestFacts, ResponseFacts } from "../types.ts";
import type { SocketEnd } from "./session.ts";

/** bytes of text that one token stands for; only for estimates that are marked as such */
const BYTES_PER_TOKEN = 4;

/** Facts of a call whose request was a message. */
export function requestFactsOf(known: Partial<RequestFacts>): RequestFacts {
  return {
    model: null,
    streaming: true,
    includeUsage: null,
    maxOutputTokens: null,
    choices: null,
    serviceTier: null,
    ambiguous: false,
    unparsable: false,
    ...known,
  };
}

/** Facts of a call whose usage is known, or known to be missing. */
export function responseFactsOf(usage: Usage | null, known: Partial<ResponseFacts> = {}): ResponseFacts {
  return {
    usage,
    source: usage === null ? "none" : "reported",
    missing: usage === null ? "not_sent" : null,
    responseModel: null,
    responseId: null,
    serviceTier: null,
    outcome: "ok",
    ...known,
  };
}

/** Facts of a call that a reader followed; `how` tells how the socket ended when the call had not. */
export function readerFacts(result: ReaderResult, how: SocketEnd | "over", textBytes: number): ResponseFacts {
  const known = { responseModel: result.responseModel, responseId: result.responseId, serviceTier: result.serviceTier };
  if (how === "over")
    return responseFactsOf(result.usage, { ...known, outcome: result.failed ? "stream_error" : "ok", ...missing(result) });
  const estimated = Math.ceil(textBytes / BYTES_PER_TOKEN);
  const outcome = cutOutcome(how);
  if (result.usage !== null) {
    const output = result.outputIsPlaceholder ? Math.max(result.usage.output ?? 0, estimated) : result.usage.output;
    return responseFactsOf(usageOf({ ...result.usage, output, total: null }), { ...known, source: "partial", outcome });
  }
  if (textBytes === 0) return responseFactsOf(null, { ...known, missing: "aborted", outcome });
  return responseFactsOf(usageOf({ output: estimated }), { ...known, source: "estimated", missing: "aborted", outcome });
}

/** A socket that closed while a call was open: the client's close is its own, everything else broke off. */
export function cutOutcome(how: SocketEnd): CallOutcome {
  return how === "error" ? "stream_error" : "aborted";
}

/** A failure has no usage that anybody would miss. */
function missing(result: ReaderResult): Pick<ResponseFacts, "missing"> | Record<never, never> {
  return result.usage === null && result.failed ? { missing: null } : {};
}

/** Tokens that a context holds after a call: all that was read, and what was written but for the thoughts, which are not kept. */
export function contextAfter(usage: Usage | null): number | null {
  if (usage === null || usage.input === null) return null;
  return usage.input + Math.max(0, (usage.output ?? 0) - (usage.reasoning ?? 0));
}
