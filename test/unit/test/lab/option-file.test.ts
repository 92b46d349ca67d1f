import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { labOptionFile, renderTemplate } from "#lab/option-file.ts";

const header = "<%- | String $a, Boolean $b | -%>\n";
const node = {
  datadir: "/lab/1/data",
  socket: "/lab/1/socket",
  pidFile: "/lab/1/pid",
  errorLog: "/lab/1/error.log",
  includeDir: "/lab/1/conf.d",
  address: "127.0.11.5",
  port: 3306,
  adminPort: 33062,
};

describe("the template's language in the lab", () => {
  it.each([
    [true, "x 1\nyes 1\nend\n"],
    [false, "x 1\nno\nend\n"],
  ])("chooses by %s", (b, expected) => {
    const body = "x <%= $a %>\n<% if $b { -%>\nyes <%= $a %>\n<% } else { -%>\nno\n<% } -%>\nend\n";
    expect(renderTemplate(header + body, { a: "1", b })).toBe(expected);
  });

  it("leaves out what has no other branch, also twice in a row", () => {
    const once = "<% if $b { -%>\n<%= $a %>\n<% } -%>\n";
    expect(renderTemplate(`${header}${once}-\n${once}`, { a: "1", b: false })).toBe("-\n");
    expect(renderTemplate(`${header}${once}-\n${once}`, { a: "1", b: true })).toBe("1\n-\n1\n");
  });

  it.each([
    ["an undeclared name", "<%= $c %>"],
    ["a loop", "<% [1].each |$x| { -%>\n<% } -%>\n"],
    ["a call", "<%= $a.upcase %>"],
    ["a nested choice", "<% if $b { -%>\n<% if $b { -%>\n<% } -%>\n<% } -%>\n"],
  ])("refuses %s rather than render it wrong", (_, body) => {
    expect(() => renderTemplate(header + body, { a: "1", b: true })).toThrow(/template uses/);
  });

  it("refuses parameters that are missing or unknown", () => {
    expect(() => renderTemplate(header, { a: "1" })).toThrow("b missing");
    expect(() => renderTemplate(header, { a: "1", b: true, c: "" })).toThrow("c unknown");
  });
});

describe("the option file", () => {
  it("has nothing left of the template", async () => {
    expect(await labOptionFile(node)).not.toMatch(/<%|undefined|\$/);
  });

  it("starts every node read-only, with nothing received and semi-sync off", async () => {
    const lines = (await labOptionFile(node)).split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        "read_only = ON",
        "super_read_only = ON",
        "skip_replica_start = ON",
        "sync_relay_log = 1",
        "loose_rpl_semi_sync_source_enabled = OFF",
        "loose_rpl_semi_sync_replica_enabled = OFF",
      ]),
    );
  });

  it("names nothing that 8.4 or later has removed, and no plugin variable that --initialize would stop at", async () => {
    const template = await readFile(new URL("../../../../puppet/templates/mysqld.cnf.epp", import.meta.url), "utf8");
    const names = [...template.matchAll(/^([a-z_-]+)(?: *=|$)/gm)].map(([, name]) => name ?? "");
    expect(names.length).toBeGreaterThan(30);
    const removed =
      /slave|master|^(?:binlog_transaction_dependency_tracking|default_authentication_plugin|expire_logs_days|transaction_write_set_extraction|relay_log_info_repository|binlog_format|innodb_log_file_size|innodb_undo_tablespaces|log_bin_use_v1_row_events|old|ssl|have_ssl|language|avoid_temporal_upgrade|group_replication_ip_whitelist|mysql_native_password|authentication_policy)$/;
    expect(names.filter((name) => removed.test(name))).toEqual([]);
    expect(names.filter((name) => /^(?:rpl_semi_sync|clone_|mysqlx|auth_socket)/.test(name))).toEqual([]);
  });
});
