import { extractUsage, findProvider } from "@pydantic/genai-prices";
import { expect, test } from "vitest";
import { loadVectors, responseChunks, type Vector } from "../../test/support/vectors.ts";

/** The wire vectors against a second reader: whatever the price package can read itself it must read as we do. */

/** What it reads otherwise, and why we do not follow. */
const OTHERWISE: Readonly<Record<string, string>> = {
  "V42-delta-nulls": "it reads single events, and this figure is put together from two",
  "V46-iterations": "it leaves out what compaction used",
  "V65-mistral-conversation": "it leaves out what connectors used",
  "V72-cohere-v1": "it reads only the input that was billed",
};

/** Every JSON document of a plain answer or an event stream, and the objects in which providers wrap their usage. */
function documentsOf({ response }: Vector): readonly unknown[] {
  const text = response.chunks.length === 0 ? "" : Buffer.concat(responseChunks({ response } as Vector)).toString();
  const events =
    response.framing === "sse"
      ? text
          .replace(/\r\n?/g, "\n")
          .split("\n\n")
          .map((event) =>
            event
              .split("\n")
              .filter((line) => line.startsWith("data:"))
              .map((line) => line.slice(5))
              .join("\n"),
          )
      : [text];
  return events.flatMap((event) => {
    try {
      const value = JSON.parse(event) as Record<string, unknown>;
      return [value, value["response"], value["message"]].filter((one) => one !== undefined && one !== null);
    } catch {
      // comments, `[DONE]`, and what is no JSON by design: not for this reader
      return [];
    }
  });
}

type Figures = { readonly input: number; readonly output: number };

function theirs(vector: Vector): readonly Figures[] {
  const provider = findProvider({ providerApiUrl: `https://${vector.request.host}${vector.request.path}` });
  const read: Figures[] = [];
  for (const { api_flavor: flavor } of provider?.extractors ?? [])
    for (const document of documentsOf(vector)) {
      try {
        const { usage } = extractUsage(provider as NonNullable<typeof provider>, document, flavor);
        const [input, output] = [usage["input_tokens"], usage["output_tokens"]];
        if (typeof input === "number" || typeof output === "number") read.push({ input: Number(input ?? 0), output: Number(output ?? 0) });
      } catch {
        // it throws for what the flavour does not know
      }
    }
  return read;
}

test("the price package's extractor reads what we read, wherever it reads anything", () => {
  const compared = loadVectors().filter(
    ({ expect: { source, input, operation }, request }) =>
      source === "reported" && typeof input === "number" && request.method === "POST" && operation !== "count_tokens",
  );
  const otherwise: string[] = [];
  let agreed = 0;
  for (const vector of compared) {
    const read = theirs(vector);
    if (read.length === 0) continue;
    const { input, output, billed_input: billedInput, billed_output: billedOutput } = vector.expect;
    const ours = [
      { input, output },
      { input: billedInput, output: billedOutput },
    ];
    if (read.some((one) => ours.some((own) => own.input === one.input && own.output === one.output))) agreed += 1;
    else otherwise.push(vector.id);
  }
  expect(otherwise).toEqual(Object.keys(OTHERWISE));
  expect(agreed).toBeGreaterThanOrEqual(60);
});
