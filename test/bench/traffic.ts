/** What client and upstream of the gateway's figures exchange. */

/** the provider that is metered */
export const LLM_HOST = "api.openai.com";
/** a host that is nothing to the meter */
export const PLAIN_HOST = "files.example.com";
export const CHAT_PATH = "/v1/chat/completions";
export const UPLOAD_PATH = "/upload";
export const DOWNLOAD_PATH = "/download/";
/** "PIECES,INTERVAL": asks the upstream for a stream */
export const STREAM_HEADER = "x-bench-stream";

/** what the sandbox holds instead of the key */
export const PLACEHOLDER = "sk-bench-placeholder-0123456789abcdef";
export const REAL_KEY = "sk-bench-real-key-0123456789abcdefghij";

export const CHAT_QUESTION = JSON.stringify({
  model: "gpt-4o-mini",
  messages: [
    { role: "system", content: "You are a careful assistant that answers in one sentence." },
    { role: "user", content: `Summarise: ${"the quick brown fox jumps over the lazy dog. ".repeat(20)}` },
  ],
  max_tokens: 256,
});

export const STREAM_QUESTION = JSON.stringify({ ...JSON.parse(CHAT_QUESTION), stream: true, stream_options: { include_usage: true } });

export const CHAT_ANSWER = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_760_000_000,
  model: "gpt-4o-mini-2024-07-18",
  choices: [{ index: 0, message: { role: "assistant", content: "A fox jumps over a dog. ".repeat(20) }, finish_reason: "stop" }],
  usage: { prompt_tokens: 231, completion_tokens: 120, total_tokens: 351, prompt_tokens_details: { cached_tokens: 128 } },
});

const piece = (fields: object): string =>
  `data: ${JSON.stringify({ id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1_760_000_000, model: "gpt-4o-mini-2024-07-18", ...fields })}\n\n`;

export const STREAM_PIECE = piece({ choices: [{ index: 0, delta: { content: " word" }, finish_reason: null }] });
export const STREAM_LAST = `${piece({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}${piece({
  choices: [],
  usage: { prompt_tokens: 231, completion_tokens: 120, total_tokens: 351, prompt_tokens_details: { cached_tokens: 128 } },
})}data: [DONE]\n\n`;
