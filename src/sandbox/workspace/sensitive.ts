/**
 * Files that run on the host later, when a person or a tool touches the project. They are named in the summary and in the audit
 * when they changed; which ones follows from what git, direnv, editors, agents, package managers and CI systems execute.
 */
const PATTERNS: readonly RegExp[] = [
  /(^|\/)\.git\/(hooks\/|config$|info\/attributes$)/,
  /(^|\/)\.git$/,
  /(^|\/)\.gitmodules$/,
  /(^|\/)\.(envrc|npmrc|yarnrc(\.yml)?|pnpmfile\.cjs|bashrc|zshrc|profile|bash_profile)$/,
  /(^|\/)\.(vscode|idea|devcontainer|husky|claude|cursor|codex|gemini|opencode)\//,
  /(^|\/)\.mcp\.json$/,
  /(^|\/)(package\.json|setup\.py|conftest\.py|Makefile|GNUmakefile|makefile|justfile|Rakefile|build\.rs|build\.gradle(\.kts)?|gradlew|mvnw)$/,
  /(^|\/)\.(github|gitlab|circleci|buildkite)\//,
  /(^|\/)(\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.yml|\.pre-commit-config\.yaml|lefthook\.yml)$/,
];

/** The sensitive ones among changed paths, at most `cap` of them. */
export function sensitivePaths(paths: Iterable<string>, cap = 200): readonly string[] {
  const found: string[] = [];
  for (const path of paths) {
    if (!PATTERNS.some((pattern) => pattern.test(path)) && !isOfSubmodule(path)) continue;
    found.push(path);
    if (found.length === cap) break;
  }
  return found;
}

const MODULES = /(?:^|\/)\.git\/modules\//;

/** From the first such directory on: one pattern for both would try every one of them, and a path can hold hundreds. */
function isOfSubmodule(path: string): boolean {
  const found = MODULES.exec(path);
  return found !== null && /\/(?:hooks\/|config$)/.test(path.slice(found.index + found[0].length));
}
