import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat(
  "T39: the first network call in the first millisecond",
  (attacked) => {
    test("works in every fresh sandbox", async () => {
      for (let i = 0; i < 15; i += 1) {
        await using sandbox = await attacked.create();
        expect((await runIn(sandbox, ["/usr/bin/curl", "-s", "http://first.example/"])).stdout).toBe("to 198.18.0.1:80\n");
      }
    });
  },
  { needs: ["curl"] },
);
