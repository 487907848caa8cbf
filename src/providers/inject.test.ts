import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planUsageInjection } from "./inject.ts";
import { createRequestReader } from "./request-reader.ts";
import type { Recognition } from "./types.ts";

const chat: Recognition = { provider: "openai", shape: "openai-chat", operation: "chat", billable: true, injectUsage: true };

async function inject(body: string | Buffer, recognition = chat): Promise<string | null> {
  const bytes = Buffer.from(body);
  const reader = createRequestReader(recognition, {});
  reader.write(bytes);
  return planUsageInjection(recognition, await reader.end(), bytes)?.body.toString() ?? null;
}

describe("asking for usage", () => {
  it.each([
    ['{"stream":true}', '{"stream_options":{"include_usage":true},"stream":true}'],
    ['{"stream":true,"stream_options":{}}', '{"stream":true,"stream_options":{"include_usage":true}}'],
    ['{"stream":true,"stream_options": { } }', '{"stream":true,"stream_options": {"include_usage":true } }'],
    ['{"stream":true,"stream_options":null,"a":[1,2]}', '{"stream":true,"stream_options":{"include_usage":true},"a":[1,2]}'],
    [
      '{"stream_options":{"x":"}{\\"","include_usage" :null},"stream":true}',
      '{"stream_options":{"x":"}{\\"","include_usage" :true},"stream":true}',
    ],
    ['{"stream":true,"stream_options":{"include_\\u0075sage":false}}', '{"stream":true,"stream_options":{"include_\\u0075sage":true}}'],
    ['\n\t {"stream":true,"n":1.50}\n', '\n\t {"stream_options":{"include_usage":true},"stream":true,"n":1.50}\n'],
    ['\ufeff{"stream":true,"stream_options":{"include_usage":false}}', '\ufeff{"stream":true,"stream_options":{"include_usage":true}}'],
    [
      '{"m":{"stream_options":{"include_usage":false}},"stream":true}',
      '{"stream_options":{"include_usage":true},"m":{"stream_options":{"include_usage":false}},"stream":true}',
    ],
  ])("%s", async (body, expected) => {
    expect(await inject(body)).toBe(expected);
  });

  it.each([
    ["not streaming", '{"stream":false}'],
    ["no stream flag", "{}"],
    ["asked for already", '{"stream":true,"stream_options":{"include_usage":true}}'],
    ["options of another type", '{"stream":true,"stream_options":"x"}'],
    ["options twice", '{"stream":true,"stream_options":{},"stream_options":{}}'],
    ["flag twice", '{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}'],
    ["options in another case", '{"stream":true,"Stream_Options":{}}'],
    ["flag in another case", '{"stream":true,"stream_options":{"Include_Usage":false}}'],
    ["two models", '{"stream":true,"model":"a","model":"b"}'],
    ["cut off", '{"stream":true,"messages":['],
    ["followed by more", '{"stream":true}{"stream":true}'],
    ["an array", '[{"stream":true}]'],
    ["not JSON", "stream=true"],
  ])("leaves alone what is %s", async (_why, body) => {
    expect(await inject(body)).toBeNull();
  });

  it("asks only providers that take the option", async () => {
    expect(await inject('{"stream":true}', { ...chat, injectUsage: false })).toBeNull();
  });

  it("changes nothing but the option, whatever the body holds", async () => {
    const options = fc.option(
      fc.dictionary(fc.constantFrom("a", "include_usage", "b"), fc.oneof(fc.boolean(), fc.constant(null), fc.string())),
      { nil: undefined },
    );
    const body = fc.record({
      model: fc.string(),
      messages: fc.json(),
      stream_options: options,
      stream: fc.constant(true),
      top_p: fc.double({ noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(body, async (value) => {
        const before = JSON.stringify(value);
        const after = await inject(before);
        if (value.stream_options?.["include_usage"] === true) expect(after).toBeNull();
        else
          expect(JSON.parse(after ?? "")).toEqual({
            ...JSON.parse(before),
            stream_options: { ...value.stream_options, include_usage: true },
          });
      }),
      { seed: 3, numRuns: 300 },
    );
  });
});
