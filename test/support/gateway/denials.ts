import { expect } from "vitest";
import { waitFor } from "../wait-for.ts";
import type { Fixture } from "./fixture.ts";

export type Denial = {
  readonly rule: string;
  readonly reason: string;
  readonly host?: string | undefined;
  readonly status?: number | null | undefined;
  readonly count?: number | undefined;
  readonly error_code?: string | undefined;
};

function denialsOf({ seen }: Fixture): readonly Denial[] {
  const refused = seen.decisions.filter(({ protocol }) => protocol !== "dns");
  return [...seen.exchanges, ...refused].filter(({ decision }) => decision === "deny");
}

/**
 * What the audit holds of denials of connections and requests, once there are `count` of them: each with a rule of these, a reason and the policy that decided.
 * Equal ones that no exchange carries stand in one event with a count, so these are counted by their kinds.
 */
export async function denials(fixture: Fixture, rule: string | readonly string[], count = 1): Promise<readonly Denial[]> {
  const rules = typeof rule === "string" ? [rule] : rule;
  await waitFor(() => denialsOf(fixture).length >= count, {
    what: `${count} denials by ${rules.join(" or ")} in the audit; there: ${JSON.stringify(denialsOf(fixture))}`,
  });
  const found = denialsOf(fixture);
  for (const denial of found) {
    expect(rules, JSON.stringify(denial)).toContain(denial.rule);
    expect(denial.reason.trim(), JSON.stringify(denial)).not.toBe("");
    expect(denial, JSON.stringify(denial)).toMatchObject({ outcome: "deny", sandbox: "box", policy: { id: "test" } });
  }
  return found;
}
