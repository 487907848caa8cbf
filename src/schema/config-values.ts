import { z } from "zod";
import { parseDuration, parseSize } from "../base/units.ts";

/** Kinds of values that several sections of the configuration have. */

export const path = z
  .string()
  .regex(/^(?:\/|~\/)/, "must be absolute: write a path that begins with / or ~/")
  .meta({ title: "path" });

export const duration = z
  .string("must be a duration: 90s, 15m, 2h, 7d")
  .superRefine(readable(parseDuration, "must be a duration: 90s, 15m, 2h, 7d"))
  .transform(parseDuration)
  .meta({ title: "duration" });
export const size = z
  .string("must be a size: 512MiB, 2GiB")
  .superRefine(readable(parseSize, "must be a size: 512MiB, 2GiB"))
  .transform(parseSize)
  .meta({ title: "size" });

function readable(parse: (text: string) => number, message: string) {
  return (text: string, context: z.RefinementCtx): void => {
    try {
      parse(text);
    } catch {
      // the parser's only fault is that the text is none; a transform must not run on it
      context.addIssue({ code: "custom", message, continue: false });
    }
  };
}
