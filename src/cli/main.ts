import { runCli } from "./program.ts";

// no top-level await: it would keep the bundled program from being the kind of module that starts fastest
void runCli(process.argv.slice(2)).then((code) => process.exit(code));
