import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/**
 * Bugs that meters of model calls are known to have had, and what holds each here: wire vectors by their id, or a test by its file and
 * a part of its text. Whoever takes one of these away has to say what holds the bug instead.
 */
const HELD: Readonly<Record<string, readonly (string | readonly [file: string, text: string])[]>> = {
  "no usage, since none was asked for": ["V03-chat-stream-injected", ["test/integration/gateway-include-usage.test.ts", "INJECTED"]],
  "asked of a provider that refuses the option": [
    "V30-responses-never-injected",
    "V64-mistral-stream",
    "V74-azure-old-version",
    "V74-azure-responses",
  ],
  "asked only where there are no stream options": ["V04-chat-stream-merged", "V05-chat-stream-overridden"],
  "usage beside choices dropped": ["V07-usage-on-finish-chunk"],
  "reading stopped at the finish reason": ["V02-chat-stream-asked"],
  "usage in the second to last chunk lost": ["V70-xai-second-to-last"],
  "cumulative figures added up": ["V09-continuous-usage", "V52-generate-sse-crlf"],
  "figures forgotten at a chunk without any": ["V08-usage-then-null", "V42-delta-nulls"],
  "the start and the end of a stream added": ["V39-messages-stream"],
  "a later input or cache ignored": ["V41-delta-larger-cache"],
  "cache charged twice or as input": ["V38-messages"],
  "invocation metrics added, or cache taken for a part": ["V75-converse", "V76-invoke-stream"],
  "cached tokens subtracted": ["V01-chat", "V22-responses"],
  "reasoning outside of the output": ["V68-xai-chat", "V69-xai-responses"],
  "thoughts and prompts of tools not counted": ["V51-generate", "V55-generate-blocked"],
  "a stream as an array, or as one object": ["V53-generate-array", "V54-generate-stream-plain"],
  "usage of incomplete and failed responses lost": ["V24-responses-incomplete", "V25-responses-failed"],
  "polls counted again": ["V26-poll", "V26-background-created", ["test/integration/gateway-fetched-responses.test.ts", "is counted once"]],
  "no usage of a responses stream": ["V23-responses-stream", "V27-responses"],
  "no usage of a legacy completions stream": [["test/integration/gateway-include-usage.test.ts", "eu.api.openai.com/v1/completions"]],
  "compressed streams read raw": [
    ["test/integration/gateway-metering.test.ts", "V40: a gzip-coded answer"],
    ["src/providers/vectors.test.ts", "ENCODINGS"],
  ],
  "decompressed from the beginning for every chunk": [["src/providers/response-tap.test.ts", "reads a 100 MB body in constant memory"]],
  "line ends, spaces and marks of event streams": ["V80-crlf", "V80-cr-only", "V80-no-space", "V80-bom", "V80-no-final-blank-line"],
  "characters split across chunks": ["V81-multi-byte"],
  "data of several lines": ["V80-multi-line"],
  "keep-alives taken for JSON": ["V61-deepseek-blank-lines", "V62-deepseek-keep-alive"],
  "an error behind status 200 taken for success": ["V43-overloaded-mid-stream", "V71-openrouter-error", "V77-model-error-in-stream"],
  "nothing recorded of a call that the client left": [
    "V44-client-aborts",
    ["test/integration/gateway-drain.test.ts", "V44: the provider is told at once"],
  ],
  "an abort taken for the provider's failure": ["V44-client-aborts"],
  "the provider goes on after an abort": [["test/integration/gateway-drain.test.ts", "V44: the provider is told at once"]],
  "a first chunk without choices and with an empty model": ["V73-prompt-filter-chunk", "V73-asynchronous-filter"],
  "a count that is absent taken for zero": ["V78-ollama-cached-prompt"],
  "usage in two places added": ["V63-groq-x-groq", "V63-groq-both"],
  "the model of a compressed request unknown": ["V19-request-gzip", "V20-codex-zstd"],
  "the model behind the first kilobytes lost": ["V11-model-after-2mb", "V12-model-after-9kb"],
  "usage of large answers dropped": ["V32-images-3mb", "V82-event-12mb"],
  "compressed and fragmented frames misread": [["src/providers/websocket/frame-tap.test.ts", "V27, V28: reads every call"]],
  "streams gathered by the proxy": [["test/integration/gateway-chunks.test.ts", "which must not wait for the next one"]],
  "idle time-outs end an answer that thinks": [
    ["test/integration/gateway-call-framing.test.ts", "V61: an answer that is silent for 31 s"],
    ["test/security/T62-slow-peers.test.ts", "one that moves lives on"],
  ],
  "failures counted with tokens": ["V49-rate-limited", "V50-html-529"],
  "estimates that miss what is hidden": ["V06-chat-stream-no-usage", "V10-continuous-usage-cut"],
  "prelude of an event stream in pieces": ["V75-converse-stream"],
  "batches unmetered": ["V37-batch-poll", "V48-batch-results", "V51-batch-poll"],
  "a budget that many calls pass at once": [["test/integration/gateway-socket-calls.test.ts", "never take more than the budget has"]],
  "tokens outside of the usage object": ["V29-hosted-tools", "V46-iterations", "V47-iterations-fallback"],
  "a path with two slashes that an official client writes": [
    ["test/integration/gateway-socket-clients.test.ts", "V59: Google's Live client"],
  ],
  "a context that stands with the provider reserved as nothing": [["test/integration/gateway-contexts.test.ts", "a previous response"]],
};

const root = join(import.meta.dirname, "..");

test.each(Object.entries(HELD))("%s", (_bug, holders) => {
  expect(holders.length).toBeGreaterThan(0);
  for (const holder of holders) {
    if (typeof holder === "string") {
      const places = ["test/vectors", "test/vectors/websocket"].map((folder) => join(root, folder, `${holder}.json`));
      expect(
        places.some((path) => existsSync(path)),
        holder,
      ).toBe(true);
    } else expect(readFileSync(join(root, holder[0]), "utf8"), holder[0]).toContain(holder[1]);
  }
});
