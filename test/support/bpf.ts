import { BPF, RET, type Verdict } from "../../src/backends/bubblewrap/seccomp.ts";

export type Call = { readonly architecture: number; readonly number: number; readonly args: readonly number[] };

/** The kernel's view: runs the encoded bytes over one call, and refuses what the kernel's checker would refuse. */
export function interpret(bytes: Buffer, call: Call): Verdict {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number >>> 0, 0);
  data.writeUInt32LE(call.architecture >>> 0, 4);
  for (const [index, value] of call.args.entries()) data.writeUInt32LE(value >>> 0, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < bytes.length / 8; at += 1) {
    const code = bytes.readUInt16LE(at * 8);
    const [jt, jf, k] = [bytes.readUInt8(at * 8 + 2), bytes.readUInt8(at * 8 + 3), bytes.readUInt32LE(at * 8 + 4)];
    switch (code) {
      case BPF.loadWord:
        if (k % 4 !== 0) throw new Error("unaligned load");
        accumulator = data.readUInt32LE(k);
        break;
      case BPF.jumpEqual:
        at += accumulator === k ? jt : jf;
        break;
      case BPF.jumpAtLeast:
        at += accumulator >= k ? jt : jf;
        break;
      case BPF.jumpAnyBit:
        at += (accumulator & k) !== 0 ? jt : jf;
        break;
      case BPF.return:
        if (k === RET.allow) return { kind: "allow" };
        if (k === RET.killProcess) return { kind: "kill" };
        return { kind: "errno", errno: k & 0xffff };
      default:
        throw new Error(`unknown instruction ${code}`);
    }
  }
  throw new Error("the program ran past its end");
}
