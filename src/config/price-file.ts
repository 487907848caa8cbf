import { readFile } from "node:fs/promises";
import { AppError, errnoOf } from "../base/error.ts";
import { priceFile, type PriceFile } from "../schema/price-file.ts";
import { explainIssues } from "./explain-issue.ts";
import { parseToml } from "./parse-toml.ts";

const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Reads the operator's own prices, `[llm].price_file`. Every row of it is checked: a price that is half read would be a wrong bill.
 *
 * @throws CONFIG_INVALID with one line that names file and place
 */
export async function loadPriceFile(file: string): Promise<PriceFile> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new AppError("CONFIG_INVALID", `llm.price_file: ${file} cannot be read (${errnoOf(error) ?? "failed"})`, {
      hint: "check the path and its permissions",
      cause: error,
    });
  });
  if (bytes.length > MAX_BYTES)
    throw new AppError("CONFIG_INVALID", `llm.price_file: ${file} is larger than 4 MiB`, { hint: "name a TOML file of prices" });
  const parsed = priceFile.safeParse(parseToml(bytes.toString("utf8"), file), { reportInput: true });
  if (parsed.success) return parsed.data;
  const { key, message, hint } = explainIssues(parsed.error.issues, priceFile);
  throw new AppError("CONFIG_INVALID", `${file}: ${key} ${message}`.replace("  ", " "), { hint });
}
