import { openLocalApp } from "../local-app.ts";
import { printable } from "../output.ts";
import type { Cli } from "../cli.ts";

/** `agentkernel doctor`: tries everything that a sandbox needs; exit 0 when it can run here, else 125. */
export async function doctor(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  await using local = await openLocalApp(cli);
  const report = await local.app.doctor(AbortSignal.timeout(60_000));
  if (flags.json === true) cli.output.json(report);
  else {
    for (const check of report.checks) {
      cli.output.out(`${check.ok ? "ok     " : check.required ? "MISSING" : "note   "}  ${check.name}: ${printable(check.detail)}`);
      if (!check.ok && check.remedy !== undefined) cli.output.out(`         → ${check.remedy}`);
    }
    cli.output.out(report.ok ? "agentkernel can run here" : "agentkernel cannot run here yet");
  }
  return report.ok ? 0 : 125;
}
