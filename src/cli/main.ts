import { runCli } from "./program.ts";

// what ends because nothing is left to wait for has not done what it was asked for
process.exitCode = 125;
// no top-level await: it would keep the bundled program from being the kind of module that starts fastest
void runCli(process.argv.slice(2)).then((code) => process.exit(code));
