import { describe, expect, it } from "vitest";
import { chooseMirror, parsePrintedUris, transportSettings } from "#lab/cache/debian.ts";

const line = (uri: string, release: string, component = "main", label = "$(LABEL)"): string =>
  [uri, release, component, label].join("|");

describe("the mirror of the Debian archive", () => {
  it("is what apt has labelled as Debian", () => {
    const targets = [
      line("http://vendor.test/apt/", "bookworm", "main", "Vendor"),
      line("http://mirror.test/debian-security/", "bookworm-security", "main", "Debian-Security"),
      line("http://mirror.test/pub/linux/", "bookworm", "main", "Debian"),
    ];
    expect(chooseMirror(targets.join("\n"), "bookworm")).toBe("http://mirror.test/pub/linux/");
  });

  it("is known by its address before the first update, and is never the security archive or a vendor's", () => {
    const targets = [
      line("http://mirror.test/debian-security/", "bookworm-security"),
      line("http://vendor.test/apt/", "bookworm"),
      line("http://vendor.test/linux/debian/", "bookworm", "stable"),
      line("http://old.test/debian/", "bullseye"),
      line("http://mirror.test/debian/", "bookworm"),
    ];
    expect(chooseMirror(targets.join("\n"), "bookworm")).toBe("http://mirror.test/debian/");
  });

  it("may name its suite other than by the code name", () => {
    expect(chooseMirror(line("http://mirror.test/debian/", "stable"), "bookworm")).toBe("http://mirror.test/debian/");
  });

  it("is unknown where there is only another distribution or nothing", () => {
    const others = [
      line("http://archive.test/ubuntu/", "noble", "main", "Ubuntu"),
      line("http://archive.test/ubuntu/", "noble"),
      "",
    ];
    expect(chooseMirror(others.join("\n"), undefined)).toBeUndefined();
    expect(chooseMirror("", "bookworm")).toBeUndefined();
  });
});

describe("the printed addresses", () => {
  it("give name, version with its epoch, and size; other lines are passed over", () => {
    const stdout = [
      "Need to get 65.6 MB of archives.",
      "'http://mirror.test/debian/pool/main/z/zlib/zlib1g_1.3.2-4_amd64.deb' zlib1g_1%3a1.3.2-4_amd64.deb 92424 MD5Sum:b9",
      "'http://mirror.test/debian/pool/main/p/perl/perl-modules_5.42.3-1_all.deb' perl-modules_5.42.3-1_all.deb 3212612 MD5Sum:0d",
    ].join("\n");
    expect(parsePrintedUris(stdout)).toEqual([
      { name: "zlib1g", version: "1:1.3.2-4", size: 92424 },
      { name: "perl-modules", version: "5.42.3-1", size: 3212612 },
    ]);
  });
});

describe("the settings taken over from the system's apt", () => {
  it("are how to reach servers, and neither hooks, folders nor anything that weakens the check of signatures", () => {
    const dump = [
      'Acquire::http::Proxy "http://proxy.test:3128";',
      'Acquire::https::CaInfo "/etc/ssl/own.pem";',
      'Acquire::AllowInsecureRepositories "1";',
      'Acquire::AllowDowngradeToInsecureRepositories "1";',
      'Acquire::IndexTargets::deb::DEP-11::MetaKey "dep11";',
      'APT::Get::AllowUnauthenticated "1";',
      'APT::Update::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";',
      'Dir::Cache "var/cache/apt";',
    ].join("\n");
    expect(transportSettings(dump).split("\n")).toEqual([
      'Acquire::http::Proxy "http://proxy.test:3128";',
      'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    ]);
  });
});
