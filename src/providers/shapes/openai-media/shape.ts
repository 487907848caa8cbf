import type { Usage } from "../../../schema/usage.ts";
import { asAmount, asFields, asName, type Fields } from "../fields.ts";
import { OPENAI_USAGE_FIELDS, openaiUsage } from "../openai-chat/usage.ts";
import type { ReaderOptions } from "../shape.ts";
import { shapeOf } from "../table-reader.ts";

/**
 * OpenAI images, sound and video: JSON or a multipart form, answered with JSON, SSE whose last event has the usage
 * (`image_generation.completed`, `image_edit.completed`, `transcript.text.done`, `speech.audio.done`), subtitles or bytes.
 */
export const openaiMedia = shapeOf({
  id: "openai-media",
  request: { model: "model", stream: "stream", stream_format: "streamFormat", n: "choices", input: "inputText" },
  response: {
    usage: ["usage"],
    fields: { svg_usage: ["svg_usage"], video_seconds: ["seconds"], audio_seconds: ["usage_info.audio_seconds"] },
    counts: { images: ["data.*"] },
    model: ["model"],
    id: ["id"],
    error: ["error"],
    text: ["delta"],
  },
  usageEnds: true,
  fields: OPENAI_USAGE_FIELDS,
  toUsage: mediaUsage,
});

function mediaUsage(fields: Fields, { provider, operation }: ReaderOptions): Usage | null {
  const usage = openaiUsage(fields, { provider, reasoningMayBeOutside: false });
  const isImage = operation.startsWith("image");
  const svg = asFields(fields["svg_usage"]);
  if (usage.input !== null || usage.output !== null) {
    // what an image call writes is an image, where no details say otherwise
    const whole = isImage && usage.outputImage === undefined && usage.output !== null ? { outputImage: usage.output } : {};
    return { ...usage, ...whole, ...(svg === null ? {} : { extra: [svgPart(svg, provider)] }) };
  }
  const units: Record<string, number> = { ...usage.units };
  if (isImage) {
    const images = asAmount(fields["images"]);
    if (images !== null) units["images"] = images;
  } else if (operation === "video_generation") {
    // Sora writes the number as a string
    const seconds = asAmount(Number(fields["video_seconds"] ?? Number.NaN));
    if (seconds !== null) units["video_seconds"] = seconds;
  }
  return Object.keys(units).length === 0 && usage.costReportedUsd === null ? null : { ...usage, units };
}

/** Vector drawings are written by a language model that is billed beside the image model. */
function svgPart(fields: Fields, provider: ReaderOptions["provider"]) {
  const { input, output, cacheRead, cacheWrite } = openaiUsage(fields, { provider, reasoningMayBeOutside: false });
  return { model: asName(fields["model"]) ?? "unknown", input, output, cacheRead, cacheWrite };
}
