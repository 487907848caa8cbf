/**
 * A request path in the one spelling that routes are written in: percent-escapes undone, repeated slashes merged, dot segments
 * resolved, no slash at the end. Servers do some of this before they route, so a call must not escape recognition by its spelling.
 * Null when it is no path or its escapes are broken.
 */
export function canonicalPath(path: string): string | null {
  if (!path.startsWith("/")) return null;
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return null;
  }
  const segments: string[] = [];
  for (const segment of decoded.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment === "..") segments.pop();
    else segments.push(segment);
  }
  return `/${segments.join("/")}`;
}
