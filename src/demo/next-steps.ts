/** What to try after the demo; `command` is how the program is called here. */
export function nextSteps(command = "npx agentkernel"): readonly string[] {
  return [
    `${command} run -- sh                                   a shell in a sandbox, with this folder as /workspace`,
    `${command} run --allow api.example.com -- curl -s https://api.example.com   one host allowed, everything else denied`,
    `${command} llm usage                                   what every sandbox has used, by provider and model`,
    `${command} policy check https://example.com            what would happen to a request, and why`,
    `${command} doctor                                      what this machine can enforce`,
  ];
}
