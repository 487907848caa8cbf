import { writeFileSync } from "node:fs";
import "./generate-reference-api.ts";
import "./generate-reference-audit.ts";
import { renderErrorReference } from "../src/base/error-reference.ts";
import { renderCliReference } from "../src/cli/reference.ts";
import { renderConfigReference } from "../src/config/reference.ts";

/** Writes the generated pages of docs/reference. `npm run generate` */
writeFileSync(new URL("../docs/reference/config.md", import.meta.url), renderConfigReference());
writeFileSync(new URL("../docs/reference/errors.md", import.meta.url), renderErrorReference());
writeFileSync(new URL("../docs/reference/cli.md", import.meta.url), renderCliReference());
