import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat(
  "T17: namespaces of its own",
  (attacked) => {
    test("cannot be made in any way", async () => {
      expect(
        await attack(
          attacked.sandbox,
          "unshare_user",
          "unshare_net",
          "unshare_mount",
          "clone_user",
          "clone_net",
          "clone3",
          "unshare_files",
        ),
      ).toEqual({
        unshare_user: "EPERM",
        unshare_net: "EPERM",
        unshare_mount: "EPERM",
        clone_user: "EPERM",
        clone_net: "EPERM",
        clone3: "ENOSYS",
        // no namespace, and programs use it
        unshare_files: "ok",
      });
    });

    test("threads and forks work all the same", async () => {
      const { code } = await runIn(attacked.sandbox, [
        "/usr/bin/python3",
        "-c",
        "import threading,subprocess; t=threading.Thread(target=lambda: subprocess.run(['true'],check=True)); t.start(); t.join()",
      ]);
      expect(code).toBe(0);
    });
  },
  { needs: ["python3"] },
);
