import type { ConfigFile } from "./config.ts";

/**
 * What an empty configuration means. The bundled program (scripts/bundle.mjs) holds the value itself, since most starts have no
 * configuration and would load the schema, which takes longer than all else of theirs, for nothing but this.
 */
export async function emptyConfig(): Promise<ConfigFile> {
  const { configFile } = await import("./config.ts");
  return configFile.parse({});
}
