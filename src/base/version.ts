import { readFileSync } from "node:fs";

/** Version of this package, from the package.json that stands two folders above both `src/base` and `dist/base`. */
export const VERSION: string = (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
