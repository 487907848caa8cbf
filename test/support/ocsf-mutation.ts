import { randomFrom } from "./forgetful-disk.ts";

type Spot = { readonly holder: Record<string, unknown>; readonly name: string };

const WRONG_VALUES = [null, 1.5, -1, 4711, "text", true, [], {}, [1], { nested: 1 }, "not@an@address", 99, "1.2.3.4.5"];

/** The event with one thing changed: an attribute removed, replaced, renamed or added, a profile dropped or invented. */
export function mutate(event: unknown, seed: number): Record<string, unknown> {
  const random = randomFrom(seed);
  const pick = (below: number): number => Math.floor(random() * below);
  const copy = structuredClone(event) as Record<string, unknown>;
  const spots = spotsOf(copy);
  const spot = spots[pick(spots.length)] ?? { holder: copy, name: "time" };
  const metadata = copy["metadata"] as Record<string, unknown>;
  switch (pick(6)) {
    case 0:
      delete spot.holder[spot.name];
      break;
    case 1:
      spot.holder[spot.name] = WRONG_VALUES[pick(WRONG_VALUES.length)];
      break;
    case 2:
      spot.holder[`${spot.name}_x`] = spot.holder[spot.name];
      break;
    case 3:
      metadata["profiles"] = [["cloud"], ["no_such_profile"], ["security_control"], []][pick(4)];
      break;
    case 4:
      spot.holder[spot.name] = typeof spot.holder[spot.name] === "number" ? 4711 : "another text";
      break;
    default:
      copy["type_uid"] = 1;
  }
  return copy;
}

/** Every attribute of the event outside of free-form objects. */
function spotsOf(value: Record<string, unknown>): readonly Spot[] {
  return Object.entries(value).flatMap(([name, each]) => {
    const here = { holder: value, name };
    // the official checker throws at profiles that are no list
    if (name === "profiles") return [];
    if (name === "unmapped" || name === "data") return [here];
    const inner = Array.isArray(each) ? each : [each];
    return [here, ...inner.flatMap((part) => (typeof part === "object" && part !== null ? spotsOf(part as Record<string, unknown>) : []))];
  });
}
