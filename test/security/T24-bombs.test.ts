import { NEVER } from "../support/bubblewrap-harness.ts";
import { INSIDE_ENV } from "../support/run-in.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

const LIMITS = {
  memoryBytes: 128 << 20,
  cpus: null,
  pids: 64,
  openFiles: 128,
  scratchBytes: 8 << 20,
  required: ["memory", "pids", "files"],
} as const;

threat(
  "T24: bombs",
  (attacked) => {
    test("of forks stay within the sandbox, and another one goes on", async () => {
      const other = await attacked.create();
      const bombed = await attacked.create();
      // the quickest of ten: what else the machine does is not the bomb's doing
      const quickest = async (): Promise<number> => {
        let best = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 10; i += 1) {
          const from = performance.now();
          expect((await runIn(other, "echo fine")).stdout).toBe("fine\n");
          best = Math.min(best, performance.now() - from);
        }
        return best;
      };
      const alone = await quickest();
      const bomb = runIn(bombed, ["/usr/bin/python3", "-c", FORKS], { timeoutMs: 60_000 });
      expect(await quickest()).toBeLessThan(2 * alone + 20);
      expect(Number((await bomb).stdout.trim())).toBeLessThanOrEqual(64);
      expect((await runIn(bombed, "echo alive")).stdout).toBe("alive\n");
    });

    test.each([
      ["anonymous memory", "a=[]\nwhile 1: a.append(bytearray(b'x'*1000000))"],
      [
        "a mapped file of memory",
        "import mmap,os\nfd=os.memfd_create('m'); os.ftruncate(fd, 1<<30); m=mmap.mmap(fd, 1<<30)\nfor i in range(0, 1<<30, 4096): m[i]=1",
      ],
      [
        "files of memory that nothing maps",
        "import os,time\nfor i in range(60): os.write(os.memfd_create('m'), b'x'*(8<<20))\ntime.sleep(30)",
      ],
      [
        "shared segments that nothing has attached",
        "import ctypes as c,time\nl=c.CDLL(None); l.shmat.restype=c.c_void_p\nfor i in range(60):\n  p=l.shmat(l.shmget(0, 8<<20, 0o1600), None, 0); c.memset(p, 1, 8<<20); l.shmdt(c.c_void_p(p))\ntime.sleep(30)",
      ],
      [
        "many processes",
        "import os,time\nfor i in range(20):\n  if os.fork()==0:\n    a=bytearray(b'x'*20000000); time.sleep(30); os._exit(0)\ntime.sleep(30)",
      ],
    ])("of memory (%s) end the sandbox with that reason", async (_, program) => {
      const bombed = await attacked.create();
      const outcome = runIn(bombed, ["/usr/bin/python3", "-c", program]).catch((error: unknown) => error);
      expect(await bombed.ended).toMatchObject({ kind: "memory" });
      await outcome;
    });

    test("of memory beside a million descriptors, which whoever counts them has to look at, end it no later", async () => {
      const limits = { ...LIMITS, openFiles: 20_000, required: ["memory", "pids"] as const };
      const bombed = await attacked.create({ limits });
      const exec = await bombed.exec({ argv: ["/usr/bin/python3", "-c", HIDDEN], env: INSIDE_ENV, cwd: "/" }, { signal: NEVER });
      let seen = "";
      exec.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString()));
      exec.stderr.resume();
      expect(await bombed.ended).toMatchObject({ kind: "memory" });
      await exec.exited.catch(() => "it went with its sandbox");
      const [ready, ...steps] = seen.trim().split("\n");
      expect(ready).toBe("ready");
      // MiB that were taken when the end came; the limit is 128
      expect(Number(steps.at(-1) ?? 0)).toBeLessThan(320);
    }, 90_000);

    test("of descriptors end at the limit", async () => {
      const { stdout } = await runIn(attacked.sandbox, [
        "/usr/bin/python3",
        "-c",
        "import os\nn=0\ntry:\n  while n<100000: os.dup(0); n+=1\nexcept OSError as e: print(e.errno, n)",
      ]);
      const [errno, count] = stdout.trim().split(" ").map(Number);
      expect(errno).toBe(24);
      expect(count).toBeLessThan(128);
    });

    test("of orphans are reaped", async () => {
      const { stdout } = await runIn(
        attacked.sandbox,
        "for i in $(seq 500); do (sh -c ':' &) ; done; sleep 0.3; ls -d /proc/[0-9]* | wc -l",
        { timeoutMs: 60_000 },
      );
      expect(Number(stdout)).toBeLessThan(30);
    });
  },
  { needs: ["python3"], spec: { limits: LIMITS } },
);

/** Fifty processes with all the descriptors that they may have; then memory, in steps that are told, up to a bound of its own. */
const HIDDEN = `
import os, time
r, w = os.pipe()
for i in range(50):
    if os.fork() == 0:
        try:
            while True: os.dup(0)
        except OSError: pass
        os.write(w, b"x")
        time.sleep(60)
        os._exit(0)
for i in range(50): os.read(r, 1)
print("ready", flush=True)
held = []
for i in range(1, 25):
    held.append(bytearray(b"x" * (64 << 20)))
    print(i * 64, flush=True)
time.sleep(30)
`;

const FORKS = `
import os, time
n = 0
pids = []
end = time.time() + 1.5
while time.time() < end:
    try:
        pid = os.fork()
    except OSError:
        time.sleep(0.001)
        continue
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    n += 1
    pids.append(pid)
for pid in pids: os.kill(pid, 9)
for pid in pids: os.waitpid(pid, 0)
print(n)
`;
