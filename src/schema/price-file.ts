import { z } from "zod";
import { providerId } from "./provider.ts";

const usd = z.number().nonnegative().max(1_000_000);
const perMillion = usd.meta({ description: "US dollars for a million tokens" });
const glob = z.string().min(1).max(256).meta({ description: "name of a model, `*` stands for any characters; case does not matter" });

/** An operator's own prices, `[llm].price_file`: first that fits, before the built-in table. */
export const priceFile = z.strictObject({
  prices: z
    .array(
      z.strictObject({
        provider: providerId.optional().meta({ description: "only at this provider" }),
        model: glob,
        input: perMillion.optional(),
        output: perMillion.optional(),
        cache_read: perMillion.optional().meta({ description: "default: `input`" }),
        cache_write: perMillion.optional().meta({ description: "default: `input`" }),
        cache_write_1h: perMillion.optional().meta({ description: "default: `cache_write`" }),
        request: usd.optional().meta({ description: "US dollars for a call" }),
        units: z
          .record(z.string(), usd)
          .prefault({})
          .meta({ description: "US dollars for one unit: images, pages, audio_seconds, web_searches …" }),
      }),
    )
    .prefault([]),
  multipliers: z
    .array(
      z.strictObject({
        provider: providerId.optional(),
        model: glob.prefault("*"),
        tier: z.string().optional().meta({ description: "service tier that the answer names; `batch` for batches" }),
        speed: z.string().optional().meta({ description: "Anthropic's `speed`" }),
        geo: z.string().optional().meta({ description: "Anthropic's `inference_geo`" }),
        factor: z.number().positive().max(1000),
      }),
    )
    .prefault([]),
});

export type PriceFile = z.infer<typeof priceFile>;
