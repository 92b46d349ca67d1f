import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** The name of the file beside the compiled code. */
export const licensesFile = "licenses.txt";

/**
 * The licences of the packages that the given modules come from, with the texts that they must be passed on with; sorted, so that
 * the same packages give the same text.
 *
 * @throws when a package has neither a licence text nor names a licence.
 */
export async function licensesOf(moduleIds: Iterable<string>): Promise<string> {
  const folders = new Set([...moduleIds].flatMap((id) => packageFolder(id) ?? []));
  const sections = await Promise.all([...folders].map(licenseSection));
  const rule = "=".repeat(80);
  const unique = [...new Set(sections)].sort();
  return `Third-party packages in the compiled code of this folder, each with its licence.\n\n${unique.map((section) => `${rule}\n${section}\n`).join("\n")}`;
}

/** `…/node_modules/@scope/name` of a module; undefined for our own. */
export const packageFolder = (moduleId: string): string | undefined =>
  /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(moduleId)?.[1];

async function licenseSection(folder: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as {
    name: string;
    version: string;
    license?: string;
  };
  const names = (await readdir(folder)).filter((name) => /^(licen[cs]e|notice|copying)/i.test(name)).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  const title = `${manifest.name} ${manifest.version} (${manifest.license ?? "see below"})`;
  if (texts.length === 0 && manifest.license === undefined) {
    throw new Error(`${title} has no licence file and names no licence; it must not be bundled until that is known.`);
  }
  return [title, ...texts.map((text) => text.replaceAll("\r\n", "\n").trim())].join("\n\n");
}
