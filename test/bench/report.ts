import { type Figure, isMet, type Target } from "./figures.ts";
import type { Machine } from "./machine.ts";

export type Failure = { readonly section: string; readonly error: string };

export type Results = {
  /** of these fields */
  readonly schema_version: 1;
  readonly date: string;
  readonly is_quick: boolean;
  readonly seconds: number;
  readonly machine: Machine;
  readonly figures: readonly Figure[];
  readonly failures: readonly Failure[];
};

export function toMarkdown(results: Results): string {
  const { machine, figures, failures } = results;
  const sections = [...new Set(figures.map((figure) => figure.section))];
  const hows = [...new Set(figures.map((figure) => figure.how))];
  const note = (figure: Figure): string => `[${hows.indexOf(figure.how) + 1}](#how)`;
  return `# Benchmarks

\`npm run bench\` writes this page and \`bench/results/\`; nothing here is written by hand. Peers ran in the same run, in turn with ours, with
the same client; those that are not installed are named as absent. Absolute figures belong to the machine, ratios travel.

Run of ${results.date} in ${Math.round(results.seconds)} s${results.is_quick ? ", **a quick run: too few samples for a figure**" : ""}: ${machine.cpu}, ${machine.cores} cores shared by every process of a figure, ${machine.memoryGib} GiB,
${machine.system}, kernel ${machine.kernel}, Node ${machine.node}, bubblewrap ${machine.bwrap}; load average at the beginning ${machine.load}.

${sections
  .map(
    (section) =>
      `## ${capital(section)}\n\n${table(
        figures.filter((figure) => figure.section === section),
        note,
      )}`,
  )
  .join("\n\n")}
${failures.length === 0 ? "" : `\n## Not measured\n\n${failures.map(({ section, error }) => `- ${section}: ${error.split("\n")[0]}`).join("\n")}\n`}
## How

${hows.map((how, i) => `${i + 1}. ${how}.`).join("\n")}
`;
}

function table(figures: readonly Figure[], note: (figure: Figure) => string): string {
  const rows = figures.map((figure) => {
    const peers = (figure.peers ?? []).map((peer) => `${peer.name}: ${"absent" in peer ? peer.absent : statistics(peer.values)}`);
    const cells = [
      figure.name,
      figure.unit,
      statistics(figure.ours),
      bound(figure),
      verdict(figure),
      peers.join("<br>") || "–",
      figure.samples,
      note(figure),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return `| figure | unit | ours | target | met | same run | n | how |\n|---|---|---|---|---|---|---|---|\n${rows.join("\n")}`;
}

function statistics(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => (name === "value" ? rounded(value) : `${name} ${rounded(value)}`))
    .join(", ");
}

function bound({ target }: Figure): string {
  if (target === undefined) return "–";
  const of = target.of === "value" ? "" : `${target.of} `;
  return `${of}${limit(target)}`;
}

function limit({ atMost, atLeast, times }: Target): string {
  if (times !== undefined) return `≥ ${times.factor} × ${times.peer}`;
  return atMost === undefined ? `≥ ${rounded(atLeast ?? 0)}` : `≤ ${rounded(atMost)}`;
}

function verdict(figure: Figure): string {
  const met = isMet(figure);
  return met === undefined ? "–" : met ? "yes" : "**no**";
}

function rounded(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
