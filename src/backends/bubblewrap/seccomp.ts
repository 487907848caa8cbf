import { syscallNumber, type Architecture, type SyscallName } from "./syscalls.ts";

/**
 * The system call filter as classic BPF over `struct seccomp_data` (seccomp(2)): allow by default, a list of denials. An allow
 * list breaks tool chains, and what the list leaves open is fenced by namespaces, missing capabilities and no_new_privs.
 */

/** What happens to a call. The value of `errno` is what the caller sees. */
export type Verdict = { readonly kind: "allow" } | { readonly kind: "errno"; readonly errno: number } | { readonly kind: "kill" };

export const EPERM = 1;
export const ENOSYS = 38;
export const EPROTONOSUPPORT = 93;
export const EAFNOSUPPORT = 97;

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 of linux/audit.h. */
export const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** __X32_SYSCALL_BIT: the same kernel entry with 32-bit pointers and numbers of its own. */
export const X32_BIT = 0x40000000;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
export const CLONE_NEW_MASK = 0x7e020000;
/** Only for unshare: in clone these bits are the exit signal. */
export const CLONE_NEWTIME = 0x80;

/** Denied whatever the arguments. */
export const DENIED: readonly SyscallName[] = [
  // mounts, roots, other namespaces
  ...([
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "open_tree_attr",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
  ] as const),
  ...(["mount_setattr", "setns"] as const),
  // other processes' memory and descriptors
  ...(["ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"] as const),
  // large kernel surface; io_uring opens sockets past the rule for socket()
  ...(["io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd"] as const),
  // keyrings are not namespaced; file handles go around paths
  ...(["add_key", "keyctl", "request_key", "open_by_handle_at", "name_to_handle_at"] as const),
  // the machine's own
  ...(["quotactl", "quotactl_fd", "acct", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load"] as const),
  ...(["init_module", "finit_module", "delete_module", "iopl", "ioperm", "modify_ldt", "uselib", "sysfs"] as const),
  ...(["settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "vhangup"] as const),
  ...(["nfsservctl", "lookup_dcookie", "move_pages", "migrate_pages", "fanotify_init"] as const),
];

/** Answered as on an old kernel: libraries then take the older way (glibc falls back from clone3 to clone). */
export const ABSENT: readonly SyscallName[] = ["clone3", "memfd_secret"];

const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
/**
 * Of the Internet's protocols those that something inside uses: default, ICMP, TCP, UDP, ICMPv6. SCTP, DCCP, L2TP, UDP-Lite and MPTCP lead
 * nowhere from here, and the kernel loads their modules for whoever asks.
 */
const IP_PROTOCOLS: readonly number[] = [0, 1, 6, 17, 58];
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** line disciplines (n_gsm, n_hdlc …): a kernel's least tested code, loaded on demand */
const TIOCSETD = 0x5423;
const DENIED_IOCTLS: readonly number[] = [TIOCSTI, TIOCLINUX, TIOCSETD];
const ADDR_NO_RANDOMIZE = 0x0040000;

/** What the filter says of a call, stated without BPF; the program is tested against it. `args` are the low 32 bits. */
export function verdictOf(name: SyscallName | "other", args: readonly number[]): Verdict {
  const allow: Verdict = { kind: "allow" };
  const deny = (errno: number): Verdict => ({ kind: "errno", errno });
  const first = (args[0] ?? 0) >>> 0;
  switch (name) {
    case "other":
      return allow;
    case "clone":
      return (first & CLONE_NEW_MASK) === 0 ? allow : deny(EPERM);
    case "unshare":
      return (first & (CLONE_NEW_MASK | CLONE_NEWTIME)) === 0 ? allow : deny(EPERM);
    case "socket":
      // AF_VSOCK, AF_PACKET, AF_ALG …: the network namespace does not fence all of them. getifaddrs needs NETLINK_ROUTE
      if (first === AF.netlink) return (args[2] ?? 0) >>> 0 === 0 ? allow : deny(EAFNOSUPPORT);
      if (first === AF.inet || first === AF.inet6) return IP_PROTOCOLS.includes((args[2] ?? 0) >>> 0) ? allow : deny(EPROTONOSUPPORT);
      return first === AF.unix ? allow : deny(EAFNOSUPPORT);
    case "socketpair":
      return first === AF.unix ? allow : deny(EAFNOSUPPORT);
    case "ioctl": {
      const command = (args[1] ?? 0) >>> 0;
      return DENIED_IOCTLS.includes(command) ? deny(EPERM) : allow;
    }
    case "personality":
      return first === 0 || first === 0xffffffff || first === ADDR_NO_RANDOMIZE ? allow : deny(EPERM);
    default:
      if (ABSENT.includes(name)) return deny(ENOSYS);
      return DENIED.includes(name) ? deny(EPERM) : allow;
  }
}

/** One instruction of classic BPF (linux/filter.h). */
export type Instruction = { readonly code: number; readonly jt: number; readonly jf: number; readonly k: number };

export const BPF = { loadWord: 0x20, jumpEqual: 0x15, jumpAtLeast: 0x35, jumpAnyBit: 0x45, return: 0x06 } as const;
export const RET = { killProcess: 0x80000000, errno: 0x00050000, allow: 0x7fff0000 } as const;

const OFFSET = { number: 0, architecture: 4, argument: (index: number): number => 16 + 8 * index } as const;

const load = (offset: number): Instruction => ({ code: BPF.loadWord, jt: 0, jf: 0, k: offset });
const ret = (value: number): Instruction => ({ code: BPF.return, jt: 0, jf: 0, k: value >>> 0 });
const fails = (errno: number): Instruction => ret(RET.errno | errno);
const jump = (code: number, k: number, jt: number, jf: number): Instruction => ({ code, jt, jf, k: k >>> 0 });
const allowed = ret(RET.allow);

/** A block that decides one call: skipped as a whole when the number differs, and every way through it ends in a return. */
function whenCalled(number: number | undefined, block: readonly Instruction[]): readonly Instruction[] {
  return number === undefined ? [] : [jump(BPF.jumpEqual, number, 0, block.length), ...block];
}

/** The argument is one of `values`, else `otherwise`. */
function oneOf(argument: number, values: readonly number[], otherwise: Instruction): readonly Instruction[] {
  const tests = values.map((value, index) => jump(BPF.jumpEqual, value, values.length - index, 0));
  return [load(OFFSET.argument(argument)), ...tests, otherwise, allowed];
}

/** The program for one architecture. */
export function buildProgram(architecture: Architecture): readonly Instruction[] {
  const number = (name: SyscallName): number | undefined => syscallNumber(name, architecture);
  const noBits = (mask: number): readonly Instruction[] => [
    load(OFFSET.argument(0)),
    jump(BPF.jumpAnyBit, mask, 0, 1),
    fails(EPERM),
    allowed,
  ];
  const internet = oneOf(2, IP_PROTOCOLS, fails(EPROTONOSUPPORT));
  const netlink = oneOf(2, [0], fails(EAFNOSUPPORT));
  const socket = [
    load(OFFSET.argument(0)),
    jump(BPF.jumpEqual, AF.unix, 0, 1),
    allowed,
    jump(BPF.jumpEqual, AF.inet, 1, 0),
    jump(BPF.jumpEqual, AF.inet6, 0, internet.length),
    ...internet,
    jump(BPF.jumpEqual, AF.netlink, 0, netlink.length),
    ...netlink,
    fails(EAFNOSUPPORT),
  ];
  return [
    load(OFFSET.architecture),
    jump(BPF.jumpEqual, AUDIT_ARCH[architecture], 1, 0),
    ret(RET.killProcess),
    load(OFFSET.number),
    ...(architecture === "x64" ? [jump(BPF.jumpAtLeast, X32_BIT, 0, 1), ret(RET.killProcess)] : []),
    ...whenCalled(number("clone"), noBits(CLONE_NEW_MASK)),
    ...whenCalled(number("unshare"), noBits(CLONE_NEW_MASK | CLONE_NEWTIME)),
    ...whenCalled(number("socket"), socket),
    ...whenCalled(number("socketpair"), oneOf(0, [AF.unix], fails(EAFNOSUPPORT))),
    ...whenCalled(number("personality"), oneOf(0, [0, 0xffffffff, ADDR_NO_RANDOMIZE], fails(EPERM))),
    ...whenCalled(number("ioctl"), [
      load(OFFSET.argument(1)),
      ...DENIED_IOCTLS.map((command, index) => jump(BPF.jumpEqual, command, DENIED_IOCTLS.length - index, 0)),
      allowed,
      fails(EPERM),
    ]),
    ...ABSENT.flatMap((name) => whenCalled(number(name), [fails(ENOSYS)])),
    ...DENIED.flatMap((name) => whenCalled(number(name), [fails(EPERM)])),
    allowed,
  ];
}

/** The bytes that bwrap's `--seccomp FD` reads: an array of `struct sock_filter`, little-endian on both architectures. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    if (jt > 255 || jf > 255) throw new RangeError(`jump of instruction ${index} is too far`);
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  }
  return bytes;
}
