import { z } from "zod";

const row = z.tuple([
  z.string(),
  z.enum(["file", "directory", "symlink", "other"]),
  z.string(),
  z.string(),
  z.string(),
  z.number(),
  z.string(),
  z.string().nullable(),
]);
export type StoredRow = z.infer<typeof row>;

/** The file beside a copied workspace. */
export const storedBaseline = z.strictObject({ original: z.string(), originalBefore: z.array(row), copyBefore: z.array(row) });
