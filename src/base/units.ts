import { AppError } from "./error.ts";

export { formatDuration, parseDuration } from "./duration.ts";

const UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const;

/**
 * `512MiB`, `2GiB`, `1.5GiB` in bytes. Binary units only: what `MB` or a bare number means differs between programs.
 * @throws AppError VALIDATION
 */
export function parseSize(text: string): number {
  const match = /^(\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB|TiB)$/.exec(text);
  if (match === null) {
    throw new AppError("VALIDATION", `${JSON.stringify(text.slice(0, 40))} is not a size`, { hint: "write it as 512MiB or 2GiB" });
  }
  const bytes = Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]);
  if (bytes > Number.MAX_SAFE_INTEGER) throw new AppError("VALIDATION", `${text} is larger than a file system can be`);
  return bytes;
}

/** In the largest unit that divides it, so that `parseSize` reads the same number back: 1536 is `1536B`, 2048 is `2KiB`. */
export function formatSize(bytes: number): string {
  const [name, unit] = Object.entries(UNITS).findLast(([, size]) => bytes >= size && bytes % size === 0) ?? ["B", 1];
  return `${bytes / unit}${name}`;
}
