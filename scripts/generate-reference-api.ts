import { writeFileSync } from "node:fs";
import { openApiDocument } from "../src/server/openapi.ts";
import { renderReference } from "../src/server/reference.ts";
import { ROUTES } from "../src/server/routes/all.ts";

/** Writes docs/reference/api.md. `node scripts/generate-reference-api.ts` */
writeFileSync(new URL("../docs/reference/api.md", import.meta.url), renderReference(openApiDocument(ROUTES, "0")));
