import { expect, test } from "vitest";
import { attack } from "../support/attack.ts";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T08: devices", (attacked) => {
  test("cannot be made, and those of the host are not there", async () => {
    expect(
      await attack(
        attacked.sandbox,
        "mknod_block",
        "mknod_char",
        "read:/dev/sda",
        "read:/dev/vda",
        "read:/dev/kvm",
        "read:/dev/mem",
        "read:/dev/fuse",
        "read:/dev/net/tun",
        "read:/dev/vsock",
      ),
    ).toEqual({
      mknod_block: "EPERM",
      mknod_char: "EPERM",
      "read:/dev/sda": "ENOENT",
      "read:/dev/vda": "ENOENT",
      "read:/dev/kvm": "ENOENT",
      "read:/dev/mem": "ENOENT",
      "read:/dev/fuse": "ENOENT",
      "read:/dev/net/tun": "ENOENT",
      "read:/dev/vsock": "ENOENT",
    });
  });

  test("are the harmless few", async () => {
    const { stdout } = await runIn(attacked.sandbox, "ls /dev | tr '\\n' ' '");
    expect(stdout).toBe("core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ");
  });
});
