import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";

/** A lock that is held by this process until it is released or the process dies. */
export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a file, which is created in an existing folder, waiting for as long as another process holds it. `onWait` is
 * told once who holds it.
 */
export type TakeLock = (file: string, onWait: (holder: string) => void) => Promise<Lock>;

const heldByAnother = 75;

/**
 * Takes an exclusive lock on `file` among all processes of this machine, containers that share the folder included.
 *
 * The kernel's own `flock` decides, through flock(1): it runs `cat` on a pipe from this process while it holds the lock. The pipe
 * closes when this process dies in whatever way, `cat` ends, and the kernel frees the lock. So there is nothing stale to detect.
 * `cat` is in a session of its own: a Ctrl-C in the terminal reaches this process only.
 */
export const takeLock: TakeLock = async (file, onWait) => {
  let lock = await attempt(file, ["--nonblock"]);
  if (lock === undefined) {
    onWait((await readFile(file, "utf8").catch(() => "")).trim() || "unknown");
    lock = await attempt(file, []);
  }
  if (lock === undefined)
    throw new Error(`The lock ${file} was refused without a reason. Nothing was changed; run it again.`);
  await writeFile(file, `${process.pid}\n`);
  return lock;
};

async function attempt(file: string, mode: readonly string[]): Promise<Lock | undefined> {
  const holder = spawn(
    "flock",
    ["--exclusive", ...mode, "--conflict-exit-code", String(heldByAnother), "--no-fork", file, "cat"],
    { stdio: ["pipe", "pipe", "pipe"], detached: true },
  );
  let complaint = "";
  holder.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  // A holder that ends early closes the pipe under us: the exit code below is what counts.
  holder.stdin.on("error", () => {});
  const ended = once(holder, "close").then(([code]) => code as number | null);
  // `cat` echoes only once flock has the lock and has become `cat`.
  const echoed = once(holder.stdout, "data").then(() => "held" as const);
  echoed.catch(() => {});
  holder.stdin.write("held\n");
  const outcome = await Promise.race([echoed, ended]);
  if (outcome === "held") {
    return {
      release: async () => {
        holder.stdin.end();
        await ended;
      },
    };
  }
  if (outcome === heldByAnother) return undefined;
  throw new Error(
    `The lock ${file} could not be taken: flock ended with ${outcome}${complaint === "" ? "" : `, saying: ${complaint.trim()}`}. Nothing was changed. Check that the folder is writable and on a file system with locks, then run it again.`,
  );
}
