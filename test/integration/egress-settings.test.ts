import { expect, test } from "vitest";
import { appSetting, TEST_CALLER } from "../support/app-setting.ts";

/** `[egress]`, from the file to the verdict about a request. */

const verdicts = async (toml: string, ...urls: readonly string[]): Promise<readonly string[]> => {
  await using at = await appSetting(toml);
  return Promise.all(urls.map(async (url) => (await at.app.policy.check({ url })).verdict));
};
const rule = (keys: string): string => `[[egress.rules]]\nhost = "a.com"\n${keys}\n`;

test.each([
  ["default", "[egress]\ndefault = 'allow'\n", ["https://any.com/"], ["allow"]],
  ["rules.host", rule(""), ["https://a.com/", "https://b.com/"], ["allow", "deny"]],
  ["rules.ports", rule("ports = [8443]"), ["https://a.com:8443/", "https://a.com/"], ["allow", "deny"]],
  ["rules.methods", rule("methods = ['POST']"), ["https://a.com/"], ["deny"]],
  ["rules.paths", rule("paths = ['/x/*']"), ["https://a.com/x/1", "https://a.com/y"], ["allow", "deny"]],
  ["rules.effect", `[egress]\ndefault = "allow"\n${rule("effect = 'deny'")}`, ["https://a.com/", "https://b.com/"], ["deny", "allow"]],
  [
    "unsafe_allow_private",
    "[egress]\nunsafe_allow_private = true\n[[egress.rules]]\nhost = '10.1.2.3'\n",
    ["https://10.1.2.3/", "https://169.254.169.254/"],
    ["allow", "deny"],
  ],
] as const)("%s decides", async (_key, toml, urls, expected) => {
  expect(await verdicts(toml, ...urls)).toEqual(expected);
});

test("mode and locked are shown as they are in force", async () => {
  await using at = await appSetting(`[egress]\nmode = "observe"\nlocked = true\n${rule("")}`);
  expect(await at.app.policy.get()).toMatchObject({ mode: "observe", locked: true });
  await expect(at.app.policy.put(TEST_CALLER, { rules: [{ host: "b.com", effect: "allow" }] })).rejects.toMatchObject({
    code: "POLICY_DENIED",
  });
});
