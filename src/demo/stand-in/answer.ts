import { createHash, randomUUID } from "node:crypto";
import { sample, type Figures, type Reply, type Shape, type Tool, type ToolCall, type Turn } from "./shape.ts";

/**
 * What the stand-in says. It is no model: it repeats what it was asked, and does the one task it understands, with whatever tool
 * the agent offers: `write the file PATH with the text "…"`.
 */
const TASK = /write the file (\S+) with the text "([^"]+)"/i;

/** Ids of answers differ from run to run, as every provider's do: who meters counts an id once, for ever. */
const RUN = randomUUID();

/** The same request gets the same answer and the same figures. */
export function answer(shape: Shape, turn: Turn, serial: number, now: number): Reply {
  const toolCall = turn.hasToolResult ? undefined : callFor(turn, serial);
  const said = turn.json !== undefined ? JSON.stringify(sample(turn.json.schema)) : toolCall === undefined ? sentence(turn) : "";
  const outputText = toolCall === undefined ? said : (toolCall.input ?? JSON.stringify(toolCall.arguments));
  const id = createHash("sha256").update(`${RUN} ${serial} ${turn.model} ${turn.prompt}`).digest("hex").slice(0, 24);
  return {
    id,
    text: said,
    ...(toolCall === undefined ? {} : { toolCall }),
    figures: figuresOf(shape, turn, outputText.length),
    createdAt: Math.floor(now / 1000),
  };
}

function sentence(turn: Turn): string {
  if (turn.hasToolResult) return "Done: the stand-in provider has seen the result of the tool.";
  const asked = turn.prompt.trim().split("\n").at(-1)?.slice(0, 80) ?? "";
  return `This is the stand-in provider, no model. It was asked: ${asked || "nothing"}`;
}

function figuresOf(shape: Shape, turn: Turn, outputCharacters: number): Figures {
  const input = Math.max(1, Math.ceil(turn.weight / 4));
  // providers cache prefixes from 1,024 tokens on, in steps of 128
  const cacheable = shape.caches && input >= 1024;
  const cacheRead = cacheable ? Math.floor(input / 256) * 128 : 0;
  const cacheWrite = cacheable ? 128 : 0;
  const reasoning = shape.reasons ? 16 + (input % 48) : 0;
  return { input, cacheRead, cacheWrite, reasoning, output: Math.max(1, Math.ceil(outputCharacters / 4)) + reasoning };
}

function callFor(turn: Turn, serial: number): ToolCall | undefined {
  const task = TASK.exec(turn.prompt);
  const [path, content] = [task?.[1], task?.[2]];
  if (path === undefined || content === undefined) return undefined;
  const command = `printf '%s' '${content.replaceAll("'", "'\\''")}' > ${path}`;
  for (const tool of turn.tools) {
    const input = scriptInput(tool, command);
    if (input !== undefined) {
      return {
        id: `call_${serial}`,
        name: tool.name,
        arguments: {},
        input,
        ...(tool.namespace === undefined ? {} : { namespace: tool.namespace }),
      };
    }
    const values = writeArguments(tool, path, content) ?? commandArguments(tool, command);
    if (values !== undefined) return { id: `call_${serial}`, name: tool.name, arguments: values };
  }
  return undefined;
}

/** Claude Code's `Write`, Gemini CLI's `write_file`, OpenCode's `write`. */
function writeArguments(tool: Tool, path: string, content: string): ToolCall["arguments"] | undefined {
  if (!/write/i.test(tool.name) || !tool.properties.includes("content")) return undefined;
  const key = ["file_path", "filePath", "path"].find((name) => tool.properties.includes(name));
  return key === undefined ? undefined : { [key]: path, content };
}

/** Codex's `exec`: a program in JavaScript that calls the other tools. */
function scriptInput(tool: Tool, command: string): string | undefined {
  if (tool.takesText !== true || tool.name !== "exec") return undefined;
  return `text(await tools.exec_command(${JSON.stringify({ cmd: command })}));`;
}

/** Codex's `exec_command` and `shell`, anybody's `bash`. */
function commandArguments(tool: Tool, command: string): ToolCall["arguments"] | undefined {
  if (!/^(exec_command|shell|shell_command|local_shell|bash|run_shell_command)$/i.test(tool.name)) return undefined;
  if (tool.properties.includes("cmd")) return { cmd: command };
  if (!tool.properties.includes("command")) return undefined;
  return tool.name === "shell" ? { command: ["sh", "-c", command] } : { command, description: "write the file" };
}
