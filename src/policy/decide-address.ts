import { classifyAddress, reachedAddresses, type AddressClass } from "./address.ts";
import { BUILT_IN_RULES, type Decision, type PolicyRef } from "./decision.ts";
import type { CanonicalHost } from "./host.ts";
import type { AddressOptions } from "./policy.ts";

export type AddressPolicy = {
  readonly ref: PolicyRef;
  /** canonical */
  readonly ownAddresses: readonly string[];
  readonly ownPorts: readonly number[];
  readonly unsafeAllowPrivate: boolean;
};

/** Classes that `unsafe_allow_private` opens. */
const PRIVATE: readonly AddressClass[] = ["private", "cgnat"];
/** Classes an origin may have that the operator named: a model server on this machine or in this network. */
const TRUSTED: readonly AddressClass[] = ["public", "private", "cgnat", "loopback", "own-interface"];

/**
 * Judges an address a name resolved to. An IPv6 address with an IPv4 one inside is never dialled: no resolver has to answer with
 * one, and translators disagree on where it ends. Our own control ports are closed for everybody.
 */
export function decideAddress(
  policy: AddressPolicy,
  host: CanonicalHost,
  address: string,
  { port, trusted = false }: AddressOptions,
): Decision {
  const reached = reachedAddresses(address);
  const own = reached.some((text) => policy.ownAddresses.includes(text));
  const natural = classifyAddress(address);
  const found: AddressClass = own && natural !== "loopback" ? "own-interface" : natural;
  const answer = (verdict: "allow" | "deny", reason: string): Decision => ({
    verdict,
    rule: BUILT_IN_RULES.address,
    reason,
    address: found,
    policy: policy.ref,
  });

  if (reached.length !== 1)
    return answer(
      "deny",
      reached.length === 0 ? "The resolver answered with something that is no address." : describe(host, address, "embedded-ipv4"),
    );
  if ((own || found === "loopback") && policy.ownPorts.includes(port)) {
    return answer("deny", `${host.text} leads to agentkernel's own port ${port}, which no sandbox may reach.`);
  }
  if (trusted)
    return TRUSTED.includes(found) ? answer("allow", "The operator named this origin.") : answer("deny", describe(host, address, found));
  if (found === "public") return answer("allow", "The address is public.");
  if (policy.unsafeAllowPrivate && PRIVATE.includes(found))
    return answer("allow", "Private addresses are allowed by unsafe_allow_private.");
  return answer("deny", describe(host, address, found));
}

const WHAT: Readonly<Record<AddressClass, string>> = {
  public: "public",
  loopback: "a loopback address",
  private: "a private address",
  "link-local": "a link-local address",
  metadata: "a cloud metadata address",
  cgnat: "an address of a carrier's shared network",
  multicast: "a multicast address",
  reserved: "a reserved address",
  unspecified: "the unspecified address",
  broadcast: "the broadcast address",
  documentation: "an address for documentation",
  benchmark: "an address for benchmarks",
  "embedded-ipv4": "an IPv6 address with an IPv4 address inside",
  "own-interface": "an address of this machine",
};

function describe(host: CanonicalHost, address: string, found: AddressClass): string {
  return host.text === address
    ? `${host.text} is ${WHAT[found]}, which sandboxes may not reach.`
    : `${host.text} resolved to ${address}, ${WHAT[found]}, which sandboxes may not reach.`;
}
