import { expect, test } from "vitest";
import { createProviderTable } from "./table.ts";

/**
 * What every provider serves where, one line a path: method (WS for a WebSocket's handshake), address, provider, shape, operation, and
 * what the path says by itself. A line that is missing in the routes is a call that would not be metered.
 */
const ROWS = `
POST api.openai.com/v1/chat/completions openai openai-chat chat inject
POST us.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST eu.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST ae.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST au.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST in.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST jp.api.openai.com/v1/chat/completions openai openai-chat chat inject
POST api.openai.com/v1/completions openai openai-chat text_completion inject
POST api.openai.com/v1/responses openai openai-responses responses
POST api.openai.com/v1/responses?beta=true openai openai-responses responses
GET api.openai.com/v1/responses/resp_1?stream=true&starting_after=3 openai openai-responses fetch_response id=resp_1
WS api.openai.com/v1/responses openai openai-responses responses
POST api.openai.com/v1/responses/compact openai openai-responses responses
POST api.openai.com/v1/responses/input_tokens openai openai-responses count_tokens free
POST api.openai.com/v1/embeddings openai openai-chat embeddings
POST api.openai.com/v1/moderations openai openai-chat moderation free
POST api.openai.com/v1/images/generations openai openai-media image_generation
POST api.openai.com/v1/images/edits openai openai-media image_edit
POST api.openai.com/v1/images/variations openai openai-media image_variation
POST api.openai.com/v1/audio/transcriptions openai openai-media transcription
POST api.openai.com/v1/audio/translations openai openai-media translation
POST api.openai.com/v1/audio/speech openai openai-media speech
POST api.openai.com/v1/videos openai openai-media video_generation
POST api.openai.com/v1/videos/video_1/remix openai openai-media video_generation
POST api.openai.com/v1/videos/edits openai openai-media video_generation
POST api.openai.com/v1/videos/extensions openai openai-media video_generation
POST api.openai.com/v1/batches openai openai-batch create_batch free
GET api.openai.com/v1/batches/batch_1 openai openai-batch fetch_batch id=batch_1
WS api.openai.com/v1/realtime?model=gpt-realtime-2 openai openai-realtime realtime model=gpt-realtime-2
POST api.openai.com/v1/realtime/calls openai openai-realtime realtime_call
POST api.openai.com/v1/realtime/client_secrets openai openai-realtime realtime_session free
POST api.openai.com/v1/realtime/sessions openai openai-realtime realtime_session free
POST api.openai.com/v1/realtime/transcription_sessions openai openai-realtime realtime_session free
POST api.openai.com/v1/decisions openai openai-responses decision
POST api.openai.com/v1/live/sessions openai openai-live live_session free
WS api.openai.com/v1/live/sessions/s_1 openai openai-live live id=s_1
WS api.openai.com/v1/live openai openai-live live
POST api.openai.com/v1/agents/sessions/s_1/turns openai openai-responses agent_turn
POST api.openai.com/v1/threads/runs openai openai-runs thread_run
POST api.openai.com/v1/threads/t_1/runs openai openai-runs thread_run
POST api.openai.com/v1/threads/t_1/runs/r_1/submit_tool_outputs openai openai-runs thread_run
GET api.openai.com/v1/threads/t_1/runs/r_1 openai openai-runs fetch_response id=r_1
POST chatgpt.com/backend-api/codex/responses openai openai-responses responses
WS chatgpt.com/backend-api/codex/responses openai openai-responses responses
POST api.anthropic.com/v1/messages?beta=true anthropic anthropic-messages messages
POST api.anthropic.com/v1/messages/count_tokens anthropic anthropic-messages count_tokens free
POST api.anthropic.com/v1/messages/batches anthropic anthropic-messages create_batch free
GET api.anthropic.com/v1/messages/batches/b_1/results anthropic anthropic-batch-results batch_results id=b_1
POST api.anthropic.com/v1/complete anthropic anthropic-messages text_completion
POST api.anthropic.com/v1/sessions anthropic anthropic-sessions agent_run
POST api.anthropic.com/v1/sessions/sesn_1/events?beta=true anthropic anthropic-sessions agent_run
GET api.anthropic.com/v1/sessions/sesn_1/events anthropic anthropic-sessions fetch_response
GET api.anthropic.com/v1/sessions/sesn_1/events/stream?beta=true anthropic anthropic-sessions fetch_response stream
GET api.anthropic.com/v1/sessions/sesn_1/threads/sthr_1/events anthropic anthropic-sessions fetch_response
GET api.anthropic.com/v1/sessions/sesn_1/threads/sthr_1/stream anthropic anthropic-sessions fetch_response stream
POST api.anthropic.com/v1/deployments anthropic anthropic-sessions agent_run
POST api.anthropic.com/v1/deployments/d_1/run anthropic anthropic-sessions agent_run
POST api.anthropic.com/v1/deployments/d_1/unpause anthropic anthropic-sessions agent_run
POST api.anthropic.com/v1/dreams anthropic anthropic-sessions agent_run
WS api.anthropic.com/v1/messages anthropic anthropic-messages messages
POST generativelanguage.googleapis.com/v1/models/gemini-3.5-flash:generateContent google google-generate-content generate_content model=gemini-3.5-flash whole
POST generativelanguage.googleapis.com/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse google google-generate-content generate_content model=gemini-3.5-flash stream
POST generativelanguage.googleapis.com/v1alpha/tunedModels/mine:generateContent google google-generate-content generate_content model=mine whole
POST cloudcode-pa.googleapis.com/v1internal:generateContent google google-code-assist generate_content whole
POST cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse google google-code-assist generate_content stream
POST cloudcode-pa.googleapis.com/v1internal:countTokens google google-code-assist count_tokens whole free
POST generativelanguage.googleapis.com/v1beta/models/m:countTokens google google-generate-content count_tokens model=m whole free
POST generativelanguage.googleapis.com/v1beta/models/m:embedContent google google-generate-content embeddings model=m whole
POST generativelanguage.googleapis.com/v1beta/models/m:batchEmbedContents google google-generate-content embeddings model=m whole
POST generativelanguage.googleapis.com/v1beta/models/m:asyncBatchEmbedContent google google-generate-content create_batch model=m whole free
POST generativelanguage.googleapis.com/v1beta/models/m:batchGenerateContent google google-generate-content create_batch model=m whole free
POST generativelanguage.googleapis.com/v1beta/models/imagen-5:predict google google-predict predict model=imagen-5 whole
POST generativelanguage.googleapis.com/v1beta/models/veo-4:predictLongRunning google google-predict video_generation model=veo-4 whole
POST generativelanguage.googleapis.com/v1beta/cachedContents google google-generate-content create_cache whole
POST generativelanguage.googleapis.com/v1beta/interactions google google-interactions interaction
GET generativelanguage.googleapis.com/v1beta/interactions/ix_1 google google-interactions fetch_response id=ix_1
GET generativelanguage.googleapis.com/v1beta/batches/b_1 google google-batch fetch_batch id=b_1
POST generativelanguage.googleapis.com/v1alpha/auth_tokens google google-live realtime_session free
POST generativelanguage.googleapis.com/v1beta/openai/chat/completions google openai-chat chat
WS generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k google google-live live
WS generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained google google-live live
POST aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/m:generateContent vertex google-generate-content generate_content model=m whole
POST us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-5@20260101:rawPredict vertex anthropic-messages messages model=claude-sonnet-5@20260101 whole
POST aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us/publishers/anthropic/models/claude-opus-5:streamRawPredict vertex anthropic-messages messages model=claude-opus-5 stream
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict vertex anthropic-messages count_tokens free
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/mistralai/models/mistral-large:rawPredict vertex openai-chat chat model=mistral-large whole
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/ai21/models/jamba:streamRawPredict vertex openai-chat chat model=jamba stream
POST aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi/chat/completions vertex openai-chat chat
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/gemini-embedding:predict vertex google-predict embeddings model=gemini-embedding whole
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/m:computeTokens vertex google-generate-content count_tokens model=m free
POST aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/veo:fetchPredictOperation vertex google-predict fetch_operation model=veo free
POST aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/123:generateContent vertex google-generate-content generate_content model=123 whole
POST aiplatform.googleapis.com/v1beta1/projects/p/locations/l/batchPredictionJobs vertex google-batch create_batch free
WS us-central1-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent vertex google-live live
POST api.deepseek.com/chat/completions deepseek openai-chat chat inject
POST api.deepseek.com/v1/chat/completions deepseek openai-chat chat inject
POST api.deepseek.com/beta/completions deepseek openai-chat text_completion inject
POST api.deepseek.com/anthropic/v1/messages deepseek anthropic-messages messages
POST api.groq.com/openai/v1/chat/completions groq openai-chat chat
POST api.groq.com/openai/v1/responses groq openai-responses responses
POST api.groq.com/openai/v1/embeddings groq openai-chat embeddings
POST api.groq.com/openai/v1/audio/transcriptions groq openai-media transcription
POST api.groq.com/openai/v1/audio/translations groq openai-media translation
POST api.groq.com/openai/v1/audio/speech groq openai-media speech
GET api.groq.com/openai/v1/batches/b groq openai-batch fetch_batch id=b
POST api.mistral.ai/v1/chat/completions mistral openai-chat chat
POST api.us.mistral.ai/v1/chat/completions mistral openai-chat chat
POST codestral.mistral.ai/v1/fim/completions mistral openai-chat text_completion
POST api.mistral.ai/v1/agents/completions mistral openai-chat chat
POST api.mistral.ai/v1/conversations mistral mistral-conversations conversation
POST api.eu.mistral.ai/v1/conversations/c_1 mistral mistral-conversations conversation id=c_1
POST api.mistral.ai/v1/conversations/c_1/restart mistral mistral-conversations conversation id=c_1
POST api.mistral.ai/v1/embeddings mistral openai-chat embeddings
POST api.mistral.ai/v1/moderations mistral openai-chat moderation free
POST api.mistral.ai/v1/chat/moderations mistral openai-chat moderation free
POST api.mistral.ai/v1/classifications mistral openai-chat classify
POST api.mistral.ai/v1/ocr mistral mistral-ocr ocr
POST api.mistral.ai/v1/audio/transcriptions mistral openai-media transcription
WS api.mistral.ai/v1/audio/transcriptions/realtime?model=voxtral mistral openai-media transcription model=voxtral
POST api.mistral.ai/v1/batch/jobs mistral openai-batch create_batch free
GET api.mistral.ai/v1/batch/jobs/j_1 mistral openai-batch fetch_batch id=j_1
POST api.cohere.com/v2/chat cohere cohere chat
POST api.cohere.com/v2/embed cohere cohere embeddings
POST api.cohere.com/v2/rerank cohere cohere rerank
POST api.cohere.com/v2/parse cohere cohere parse
POST api.cohere.com/v2/audio/transcriptions cohere cohere transcription
POST api.cohere.com/v2/batches cohere cohere create_batch free
POST api.cohere.ai/v1/chat cohere cohere chat
POST api.cohere.ai/v1/generate cohere cohere text_completion
POST api.cohere.ai/v1/embed cohere cohere embeddings
POST api.cohere.ai/v1/embed-jobs cohere cohere create_batch free
POST api.cohere.ai/v1/rerank cohere cohere rerank
POST api.cohere.ai/v1/classify cohere cohere classify
POST api.cohere.ai/v1/summarize cohere cohere summarize
POST api.cohere.ai/v1/tokenize cohere cohere count_tokens free
POST api.cohere.com/compatibility/v1/chat/completions cohere openai-chat chat
POST api.together.ai/v1/chat/completions together openai-chat chat
POST api.together.xyz/v1/chat/completions together openai-chat chat
POST api.together.ai/v1/completions together openai-chat text_completion
POST api.together.ai/v1/embeddings together openai-chat embeddings
POST api.together.ai/v1/rerank together openai-chat rerank
POST api.together.ai/v1/images/generations together openai-media image_generation
POST api.together.ai/v1/audio/speech together openai-media speech
POST api.together.xyz/v2/videos together openai-media video_generation
POST api.together.ai/v1/batches together openai-batch create_batch free
POST api.fireworks.ai/inference/v1/chat/completions fireworks openai-chat chat
POST api.fireworks.ai/inference/v1/responses fireworks openai-responses responses
POST api.fireworks.ai/inference/v1/messages fireworks anthropic-messages messages
POST api.x.ai/v1/chat/completions xai openai-chat chat inject
POST api.x.ai/v1/responses xai openai-responses responses
POST api.x.ai/v1/messages xai anthropic-messages messages
POST api.x.ai/v1/images/generations xai openai-media image_generation
GET api.x.ai/v1/chat/deferred-completion/d_1 xai openai-chat fetch_response id=d_1
POST openrouter.ai/api/v1/chat/completions openrouter openai-chat chat
POST openrouter.ai/api/v1/responses openrouter openai-responses responses
POST openrouter.ai/api/v1/messages openrouter anthropic-messages messages
POST openrouter.ai/api/v1/completions openrouter openai-chat text_completion
POST openrouter.ai/api/v1/embeddings openrouter openai-chat embeddings
POST corp.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2025-04-01 azure openai-chat chat model=my_gpt inject
POST corp.openai.azure.com/openai/deployments/d/completions?api-version=2025-04-01 azure openai-chat text_completion model=d inject
POST corp.openai.azure.com/openai/deployments/d/embeddings?api-version=2025-04-01 azure openai-chat embeddings model=d
POST corp.openai.azure.com/openai/deployments/d/images/generations?api-version=2025-04-01 azure openai-media image_generation model=d
POST corp.openai.azure.com/openai/deployments/d/audio/transcriptions?api-version=2025-04-01 azure openai-media transcription model=d
POST corp.openai.azure.com/openai/deployments/d/extensions/chat/completions?api-version=2023-12-01 azure openai-chat chat model=d
POST corp.openai.azure.com/openai/v1/responses azure openai-responses responses
POST corp.cognitiveservices.azure.com/openai/v1/chat/completions azure openai-chat chat inject
POST corp.openai.azure.com/openai/responses?api-version=2025-04-01 azure openai-responses responses
POST corp.openai.azure.com/openai/threads/t/runs?api-version=2024-05-01-preview azure openai-runs thread_run
WS corp.openai.azure.com/openai/realtime?api-version=1&deployment=rt azure openai-realtime realtime model=rt
WS corp.openai.azure.com/openai/v1/realtime?model=rt azure openai-realtime realtime model=rt
POST corp.services.ai.azure.com/anthropic/v1/messages azure anthropic-messages messages
POST corp.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview azure openai-chat chat
POST corp.services.ai.azure.com/api/projects/p/openai/v1/responses azure openai-responses responses
POST gw.azure-api.net/team/openai/deployments/d/chat/completions?api-version=2025-04-01 azure openai-chat chat model=d inject
POST bedrock-runtime.us-east-1.amazonaws.com/model/m/converse bedrock bedrock-converse chat model=m whole
POST bedrock-runtime-fips.us-gov-west-1.amazonaws.com/model/m/converse-stream bedrock bedrock-converse chat model=m stream
POST bedrock-runtime.us-east-1.api.aws/model/m/converse bedrock bedrock-converse chat model=m whole
POST vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/model/us.anthropic.claude-sonnet-5-v1:0/invoke bedrock bedrock-invoke invoke_model model=us.anthropic.claude-sonnet-5-v1:0 whole
POST bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke-with-response-stream bedrock bedrock-invoke invoke_model model=m stream
POST bedrock-runtime.us-east-1.amazonaws.com/model/m/invoke-with-bidirectional-stream bedrock bedrock-invoke invoke_model model=m stream
POST bedrock-runtime.us-east-1.amazonaws.com/model/m/count-tokens bedrock bedrock-converse count_tokens model=m whole free
POST bedrock-runtime.us-east-1.amazonaws.com/async-invoke bedrock bedrock-invoke async_invoke free
POST bedrock-mantle.us-east-1.api.aws/openai/v1/responses bedrock openai-responses responses
POST bedrock-mantle.us-east-1.api.aws/openai/v1/chat/completions bedrock openai-chat chat
POST api.githubcopilot.com/chat/completions copilot openai-chat chat
POST api.githubcopilot.com/v1/chat/completions copilot openai-chat chat
POST api.individual.githubcopilot.com/responses copilot openai-responses responses
WS api.enterprise.githubcopilot.com/responses copilot openai-responses responses
POST api.business.githubcopilot.com/v1/messages copilot anthropic-messages messages
POST api.githubcopilot.com/embeddings copilot openai-chat embeddings
POST api.githubcopilot.com/v1/engines/gpt-41-copilot/completions copilot openai-chat text_completion model=gpt-41-copilot
POST ollama.corp.example/api/chat ollama ollama chat
POST ollama.corp.example/api/generate ollama ollama text_completion
POST ollama.corp.example/api/embed ollama ollama embeddings whole
POST ollama.corp.example/api/embeddings ollama ollama embeddings whole
POST ollama.corp.example/v1/chat/completions ollama openai-chat chat inject
POST ollama.corp.example/v1/responses ollama openai-responses responses
POST ollama.corp.example/v1/messages ollama anthropic-messages messages
POST vllm.corp.example/v1/chat/completions custom openai-chat chat inject
POST vllm.corp.example/v1/responses custom openai-responses responses
POST vllm.corp.example/score custom openai-chat rerank
POST vllm.corp.example/pooling custom openai-chat embeddings
POST vllm.corp.example/classify custom openai-chat classify
POST llm.corp.example/v1/chat/completions custom openai-chat chat inject
POST llm.corp.example/completion custom llama-cpp text_completion
POST llm.corp.example/infill custom llama-cpp text_completion
POST llm.corp.example/v1/rerank custom openai-chat rerank
POST llm.corp.example/api/v0/chat/completions custom openai-chat chat inject
POST llm.corp.example/api/v1/chat custom lm-studio chat
POST llm.corp.example/team/v1/messages custom anthropic-messages messages
`
  .trim()
  .split("\n");

const table = createProviderTable({
  customDomains: ["llm.corp.example"],
  providers: [
    { name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" },
    { name: "vllm", hosts: ["vllm.corp.example"], shape: "openai-chat" },
  ],
});

test.each(ROWS)("%s", (row) => {
  const [method = "", url = "", provider, shape, operation, ...said] = row.split(" ");
  const slash = url.indexOf("/");
  const [path = "", query = ""] = url.slice(slash).split("?");
  const isSocket = method === "WS";
  const asked = { host: url.slice(0, slash), method: isSocket ? "GET" : method, path, query, upgrade: isSocket };
  const value = (name: string): string | undefined => said.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const streaming = isSocket || said.includes("stream") ? true : said.includes("whole") ? false : undefined;
  const found = table.recognize(asked);
  expect({ ...found, ...(found?.model === undefined ? {} : { model: found.model.replaceAll(" ", "_") }) }).toEqual({
    provider,
    shape,
    operation,
    billable: !said.includes("free"),
    injectUsage: said.includes("inject"),
    ...(value("model") === undefined ? {} : { model: value("model") }),
    ...(value("id") === undefined ? {} : { responseId: value("id") }),
    ...(streaming === undefined ? {} : { streaming }),
    ...(isSocket ? { webSocket: true } : {}),
  });
});

test("every operation that a provider of ours serves stands in a line", () => {
  expect(ROWS.length).toBeGreaterThan(180);
  expect(new Set(ROWS).size).toBe(ROWS.length);
});
