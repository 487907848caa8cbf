import { writeFileSync } from "node:fs";
import { renderAuditEventReference } from "../src/events/reference.ts";

/** Writes docs/reference/audit-events.md. `node scripts/generate-reference-audit.ts` */
writeFileSync(new URL("../docs/reference/audit-events.md", import.meta.url), renderAuditEventReference());
