import { enableCompileCache } from "node:module";

// the front end names a private directory for it; without one, starting is only slower
enableCompileCache(process.env["AGENTKERNEL_COMPILE_CACHE"] || undefined);

const { runCli } = await import("./program.ts");
process.exit(await runCli(process.argv.slice(2)));
