import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inPhase, type Report } from "./progress.ts";
import type { Run } from "./run.ts";

/** One package file that apt would fetch. */
export interface PackageFile {
  readonly name: string;
  readonly version: string;
  /** Bytes. */
  readonly size: number;
}

/** What to take from a Debian archive and where to put it. */
export interface Unpack {
  /** The entry, for progress lines. */
  readonly entry: string;
  readonly suite: string;
  readonly packages: readonly string[];
  /** Refuses, by throwing, before anything is fetched. */
  check(files: readonly PackageFile[]): void;
  /** An empty folder; the packages' root is made in it. */
  readonly directory: string;
}

/** The variable that names a Debian mirror where the system's own apt configuration has none, as on other distributions. */
export const mirrorVariable = "PERCONA_ACTIONS_DEBIAN_MIRROR";

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Fields for `apt-get indextargets --format`, in the order that {@link chooseMirror} reads them. */
const targetFields = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(LABEL)";

/**
 * The address of the main Debian archive among the index targets of the system's apt, one a line in the form of `targetFields`.
 * Security archives and other vendors' are passed over. A field is written as its own name where apt does not know it, so
 * before the first `apt-get update` the shape of the address decides.
 */
export function chooseMirror(targets: string, codename: string | undefined): string | undefined {
  const candidates = targets
    .split("\n")
    .map((line) => line.split("|"))
    .flatMap(([uri, release, component, label]) =>
      uri && component === "main" && !/-security\/?$/.test(uri) ? [{ uri, release, label }] : [],
    );
  const labelled = candidates.find(({ label }) => label === "Debian");
  const shaped = candidates.filter(({ uri, label }) => label === "$(LABEL)" && /\/debian\/?$/.test(uri));
  return (labelled ?? shaped.find(({ release }) => release === codename) ?? shaped[0])?.uri;
}

/** The files that `apt-get --print-uris install` lists: quoted address, file name, size in bytes, digest. */
export function parsePrintedUris(stdout: string): PackageFile[] {
  return stdout.split("\n").flatMap((line) => {
    const found = /^'\S+' (\S+?)_(\S+)_[^_\s]+\.deb (\d+) /.exec(line);
    if (found === null) return [];
    const [, name = "", version = "", size = ""] = found;
    return [{ name, version: decodeURIComponent(version), size: Number(size) }];
  });
}

/** The part of `apt-config dump` that says how to reach servers (proxies, certificates, timeouts), and nothing else of the system. */
export function transportSettings(dump: string): string {
  const kept =
    /^Acquire::(?!IndexTargets|Changelogs|CompressionTypes|Languages|AllowInsecure|AllowWeak|AllowDowngrade)\S+ /;
  return dump
    .split("\n")
    .filter((line) => kept.test(line))
    .join("\n");
}

/**
 * The mirror to use: `$PERCONA_ACTIONS_DEBIAN_MIRROR`, else the one that this system's apt uses for Debian itself.
 *
 * @throws when there is none, with what to set.
 */
export async function debianMirror(run: Run, env: NodeJS.ProcessEnv): Promise<string> {
  const named = env[mirrorVariable];
  if (named) return named;
  const codename = await releaseCodename();
  const format = ["indextargets", "--format", targetFields];
  const [known, configured] = await Promise.all([
    run(["apt-get", ...format]),
    run(["apt-get", ...format, "--no-release-info"]),
  ]);
  const mirror = chooseMirror(`${known.stdout}\n${configured.stdout}`, codename);
  if (mirror !== undefined) return mirror;
  throw new Error(
    `This system's apt configuration has no mirror of the Debian archive. Set ${mirrorVariable} to the address of one, as it would stand after "deb" in a source list, and run it again.`,
  );
}

/** The code name of the running Debian release, or undefined where this is another system. */
export async function releaseCodename(): Promise<string | undefined> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  if (!/^ID="?debian"?$/m.test(text)) return undefined;
  return /^VERSION_CODENAME="?(\w+)"?$/m.exec(text)?.[1];
}

/**
 * Fetches packages with everything they depend on, libc included, and unpacks them under `directory/usr` without root and
 * without touching the system's apt or dpkg state. apt checks the archive's signature and each file's digest.
 */
export async function unpackPackages(
  wanted: Unpack,
  { run, report, env }: { run: Run; report: Report; env: NodeJS.ProcessEnv },
): Promise<readonly PackageFile[]> {
  const { entry, suite, packages, directory } = wanted;
  const work = join(directory, ".apt");
  await mkdir(work);
  const apt = await isolatedApt(work, suite, { run, env });
  await inPhase(report, entry, `package lists of ${suite}`, () => apt(["update"]));
  const install = ["--yes", "--no-install-recommends", "install", ...packages];
  const files = parsePrintedUris((await apt(["--print-uris", ...install])).stdout);
  wanted.check(files);
  const megabytes = files.reduce((sum, file) => sum + file.size, 0) / 1e6;
  await inPhase(
    report,
    entry,
    `download of ${files.length} packages`,
    () => apt(["--download-only", ...install]),
    megabytes,
  );
  const archives = join(work, "cache", "archives");
  const downloaded = (await readdir(archives)).filter((name) => name.endsWith(".deb"));
  if (downloaded.length !== files.length) {
    throw new Error(`apt listed ${files.length} packages and fetched ${downloaded.length}.`);
  }
  await inPhase(report, entry, `unpacking of ${downloaded.length} packages`, async () => {
    for (const name of downloaded) await run(["dpkg", "--extract", join(archives, name), directory]);
  });
  await rm(work, { recursive: true });
  return files;
}

/** An `apt-get` that believes in an empty machine with one source, all its state in `work`. */
async function isolatedApt(
  work: string,
  suite: string,
  { run, env }: { run: Run; env: NodeJS.ProcessEnv },
): Promise<(args: readonly string[]) => ReturnType<Run>> {
  const mirror = await debianMirror(run, env);
  const signedBy = await access(keyring).then(
    () => `[signed-by=${keyring}] `,
    // The keys are then those that the system's apt trusts for all archives.
    () => "",
  );
  const transport = transportSettings((await run(["apt-config", "dump"])).stdout);
  await Promise.all(
    ["lists/partial", "cache/archives/partial", "none"].map((name) => mkdir(join(work, name), { recursive: true })),
  );
  const config = join(work, "apt.conf");
  await Promise.all([
    writeFile(join(work, "status"), ""),
    writeFile(join(work, "sources.list"), `deb ${signedBy}${mirror} ${suite} main\n`),
    writeFile(
      config,
      `${transport}
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
Dir::State::lists "${work}/lists";
Dir::State::status "${work}/status";
Dir::State::extended_states "${work}/extended_states";
Dir::Cache "${work}/cache";
Dir::Etc::sourcelist "${work}/sources.list";
Dir::Etc::sourceparts "${work}/none";
Dir::Etc::parts "${work}/none";
Dir::Etc::main "${work}/none/apt.conf";
Dir::Etc::preferences "${work}/none/preferences";
Dir::Etc::preferencesparts "${work}/none";
`,
      // The address of a proxy may have a password in it.
      { mode: 0o600 },
    ),
  ]);
  return (args) => run(["apt-get", ...args], { env: { APT_CONFIG: config, DEBIAN_FRONTEND: "noninteractive" } });
}
