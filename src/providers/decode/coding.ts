export type Coding = "gzip" | "deflate" | "br" | "zstd";

/** stacked codings that are still undone; more is nobody's client and only costs memory */
const MAX_STACKED = 2;

/** Codings of a Content-Encoding header in the order they were applied; null when one is unknown or there are too many (RFC 9110 §8.4). */
export function parseContentEncoding(header: string | undefined): readonly Coding[] | null {
  const codings: Coding[] = [];
  for (const part of (header ?? "").split(",")) {
    const name = part.trim().toLowerCase();
    if (name === "" || name === "identity") continue;
    const coding = toCoding(name);
    if (coding === null || codings.length === MAX_STACKED) return null;
    codings.push(coding);
  }
  return codings;
}

function toCoding(name: string): Coding | null {
  switch (name) {
    case "gzip":
    case "x-gzip":
      return "gzip";
    case "deflate":
    case "br":
    case "zstd":
      return name;
    default:
      return null;
  }
}
