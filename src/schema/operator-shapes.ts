/** Wire formats that an operator's own provider can speak, `[[llm.providers]].shape`. */
export const OPERATOR_SHAPES = [
  "openai-chat",
  "openai-responses",
  "anthropic-messages",
  "google-generate-content",
  "mistral-conversations",
  "bedrock-converse",
  "azure",
  "cohere",
  "ollama",
] as const;

export type OperatorShape = (typeof OPERATOR_SHAPES)[number];
