// Runs inside a sandbox: asks each official client once whole and once streaming, and prints what the client itself says was used.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { Mistral } from "@mistralai/mistralai";
import { CohereClientV2 } from "cohere-ai";
import Groq from "groq-sdk";
import { Ollama } from "ollama";
import OpenAI from "openai";
import Together from "together-ai";

const prompt = `hello ${"lorem ipsum ".repeat(600)}`;
const messages = [{ role: "user", content: prompt }];
const apiKey = "dummy";
const figures = (input, output) => ({ input, output });
const ofOpenai = (usage) => figures(usage.prompt_tokens, usage.completion_tokens);
const ofResponses = (usage) => figures(usage.input_tokens, usage.output_tokens);
const last = async (stream) => (await Array.fromAsync(stream)).at(-1);
const found = async (stream, pick) => (await Array.fromAsync(stream)).map(pick).findLast((one) => one !== undefined && one !== null);

const openai = () => new OpenAI({ apiKey, maxRetries: 0 });
const anthropic = () => new Anthropic({ apiKey, maxRetries: 0 });
const google = () => new GoogleGenAI({ apiKey });
const cohere = () => new CohereClientV2({ token: apiKey });
const groq = () => new Groq({ apiKey, maxRetries: 0 });
const mistral = () => new Mistral({ apiKey });
const together = () => new Together({ apiKey, maxRetries: 0 });
const ollama = () => new Ollama({ host: "https://ollama.corp.example", headers: { authorization: "Bearer dummy" } });

const ofAnthropic = (usage) =>
  figures(usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0), usage.output_tokens);
const ofGoogle = (usage) =>
  figures(usage.promptTokenCount + (usage.toolUsePromptTokenCount ?? 0), usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0));
const ofCohere = (usage) => figures(usage.tokens.inputTokens, usage.tokens.outputTokens);
const ofMistral = (usage) => figures(usage.promptTokens, usage.completionTokens);
const ofOllama = (answer) => figures(answer.prompt_eval_count, answer.eval_count);

/** by the name that the call's model has, so that the ledger's row can be told apart */
const CALLS = {
  "openai-chat": async (model) => ofOpenai((await openai().chat.completions.create({ model, messages })).usage),
  "openai-chat-stream": async (model) =>
    ofOpenai(
      (await last(await openai().chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })))
        .usage,
    ),
  // did not ask for usage and must not see any: what the ledger has was asked for on its behalf
  "openai-chat-stream-silent": async (model) => {
    const chunks = await Array.fromAsync(await openai().chat.completions.create({ model, messages, stream: true }));
    if (chunks.some((chunk) => chunk.choices.length === 0 || (chunk.usage ?? null) !== null))
      throw new Error("a usage chunk was not taken out");
    return { text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("") };
  },
  "openai-responses": async (model) => ofResponses((await openai().responses.create({ model, input: prompt })).usage),
  "openai-responses-stream": async (model) =>
    ofResponses((await openai().responses.stream({ model, input: prompt }).finalResponse()).usage),
  "openai-embeddings": async (model) => {
    const { data, usage } = await openai().embeddings.create({ model, input: prompt });
    if (data[0].embedding.length !== 3) throw new Error("no embedding");
    return figures(usage.prompt_tokens, 0);
  },
  "anthropic-messages": async (model) => ofAnthropic((await anthropic().messages.create({ model, max_tokens: 100, messages })).usage),
  "anthropic-messages-stream": async (model) =>
    ofAnthropic((await anthropic().messages.stream({ model, max_tokens: 100, messages }).finalMessage()).usage),
  "google-generate": async (model) => ofGoogle((await google().models.generateContent({ model, contents: prompt })).usageMetadata),
  "google-generate-stream": async (model) =>
    ofGoogle((await last(await google().models.generateContentStream({ model, contents: prompt }))).usageMetadata),
  "cohere-chat": async (model) => ofCohere((await cohere().chat({ model, messages })).usage),
  "cohere-chat-stream": async (model) =>
    ofCohere(await found(await cohere().chatStream({ model, messages }), (event) => event.delta?.usage)),
  "groq-chat": async (model) => ofOpenai((await groq().chat.completions.create({ model, messages })).usage),
  "groq-chat-stream": async (model) =>
    ofOpenai(await found(await groq().chat.completions.create({ model, messages, stream: true }), (chunk) => chunk.x_groq?.usage)),
  "mistral-chat": async (model) => ofMistral((await mistral().chat.complete({ model, messages })).usage),
  "mistral-chat-stream": async (model) =>
    ofMistral(await found(await mistral().chat.stream({ model, messages }), (event) => event.data.usage)),
  "together-chat": async (model) => ofOpenai((await together().chat.completions.create({ model, messages })).usage),
  "together-chat-stream": async (model) =>
    ofOpenai(await found(await together().chat.completions.create({ model, messages, stream: true }), (chunk) => chunk.usage)),
  "ollama-chat": async (model) => ofOllama(await ollama().chat({ model, messages })),
  "ollama-chat-stream": async (model) => ofOllama(await last(await ollama().chat({ model, messages, stream: true }))),
};

const said = {};
for (const [name, call] of Object.entries(CALLS)) {
  try {
    said[name] = await call(name);
  } catch (error) {
    said[name] = { error: error instanceof Error ? [error.message, error.cause].join(" ") : String(error) };
  }
}
process.stdout.write(JSON.stringify(said));
