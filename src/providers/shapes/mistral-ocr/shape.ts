import { asCount, usageOf } from "../fields.ts";
import { shapeOf } from "../table-reader.ts";

/** Mistral OCR is paid by the page. */
export const mistralOcr = shapeOf({
  id: "mistral-ocr",
  request: { model: "model" },
  response: { usage: ["usage_info"], model: ["model"], id: ["id"], error: ["error"] },
  fields: ["pages_processed", "doc_size_bytes"],
  toUsage: (fields) => {
    const pages = asCount(fields["pages_processed"]);
    return pages === null ? null : usageOf({ units: { pages } });
  },
});
