import { asBuffer } from "./decode/body-decoder.ts";
import { compilePaths } from "./json/paths.ts";
import { JsonScanner, type JsonSink } from "./json/scanner.ts";
import { asFields } from "./shapes/fields.ts";
import type { Recognition, RequestFacts } from "./types.ts";

const PATHS = compilePaths([{ path: "stream_options", slot: "options", action: "value" }]);
const OPTION_PATHS = compilePaths([{ path: "include_usage", slot: "include_usage", action: "value" }]);

type Found = { readonly value: unknown; readonly start: number; readonly end: number };

/**
 * The request body with `stream_options.include_usage` set to true, every other byte unchanged (order, duplicates of other keys,
 * number formats); null when it must stay as it is: not a streaming chat call, asked for already, or not read with certainty.
 * `body` is the decoded body (`decodeBody`): a request that was compressed is sent decoded after an injection.
 */
export function planUsageInjection(recognition: Recognition, facts: RequestFacts, body: Uint8Array): { readonly body: Buffer } | null {
  if (!recognition.injectUsage || !facts.streaming || facts.includeUsage === true || facts.ambiguous || facts.unparsable) return null;
  const bytes = asBuffer(body);
  const options = findOne(bytes, 0, bytes.length, "document");
  if (options === "unreadable") return null;
  if (options === null) {
    // a streaming request has at least `"stream":true` behind the brace
    const brace = bytes.indexOf(0x7b);
    return brace < 0 || bytes.indexOf(0x5b) === skipBom(bytes)
      ? null
      : { body: splice(bytes, brace + 1, brace + 1, '"stream_options":{"include_usage":true},') };
  }
  if (options.value === null) return { body: splice(bytes, options.start, options.end, '{"include_usage":true}') };
  const fields = asFields(options.value);
  // anything else is for the provider to refuse
  if (fields === null) return null;
  const flag = findOne(bytes, options.start, options.end, "options");
  if (flag === "unreadable") return null;
  if (flag !== null) return { body: splice(bytes, options.start + flag.start, options.start + flag.end, "true") };
  const rest = Object.keys(fields).length === 0 ? "" : ",";
  return { body: splice(bytes, options.start + 1, options.start + 1, `"include_usage":true${rest}`) };
}

/** The one value at the path with its place in the range; null when there is none. */
function findOne(bytes: Buffer, from: number, to: number, tree: "document" | "options"): Found | null | "unreadable" {
  let found: Found | null = null;
  let count = 0;
  let doubtful = false;
  const doubt = (): void => {
    doubtful = true;
  };
  const sink: JsonSink = {
    wants: () => true,
    value: (_slot, value, start, end) => {
      found = { value, start, end };
      count += 1;
    },
    dropped: doubt,
    variant: doubt,
    text: () => undefined,
    enter: () => undefined,
    other: () => undefined,
  };
  const scanner = new JsonScanner(tree === "document" ? PATHS : OPTION_PATHS, sink, to - from);
  const start = tree === "document" ? skipBom(bytes) : from;
  const stopped = scanner.write(bytes, start, to);
  if (scanner.finish() !== "complete" || doubtful || count > 1) return "unreadable";
  scanner.write(bytes, stopped, to);
  if (scanner.failed) return "unreadable";
  const one: Found | null = found;
  return one === null ? null : shift(one, start - from);
}

function shift(found: Found, by: number): Found {
  return { value: found.value, start: found.start + by, end: found.end + by };
}

function skipBom(bytes: Buffer): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

function splice(bytes: Buffer, from: number, to: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, from), Buffer.from(text), bytes.subarray(to)]);
}
