import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** A value of the template's parameters. */
export type TemplateValue = string | number | boolean;

const templatePath = fileURLToPath(new URL("../../puppet/templates/mysqld.cnf.epp", import.meta.url));

const declared = (template: string): { names: string[]; body: string } => {
  const found = /^<%- \|([^|]*)\| -%>\n/.exec(template);
  if (!found) throw new Error("The template does not begin with its parameters, <%- | ... | -%>.");
  const names = [...(found[1] ?? "").matchAll(/\$(\w+)/g)].map(([, name]) => name ?? "");
  return { names, body: template.slice(found[0].length) };
};

/**
 * Renders the part of Puppet's template language that the option file uses: its parameters, `<%= $name %>`, and
 * `<% if $name { -%>`, `<% } else { -%>`, `<% } -%>` on lines of their own, not nested.
 *
 * @throws when a parameter is missing or unknown, or when the template uses anything else.
 */
export function renderTemplate(template: string, values: Readonly<Record<string, TemplateValue>>): string {
  const { names, body } = declared(template);
  const missing = names.filter((name) => !(name in values));
  const unknown = Object.keys(values).filter((name) => !names.includes(name));
  if (missing.length + unknown.length > 0) {
    throw new Error(`The template's parameters: ${missing.join(", ")} missing, ${unknown.join(", ")} unknown.`);
  }
  const given = (name: string): TemplateValue => {
    const value = values[name];
    if (value === undefined || !names.includes(name))
      throw new Error(`The template uses $${name} and does not declare it.`);
    return value;
  };
  const chosen = body.replace(
    /^<% if \$(\w+) \{ -%>\n((?:(?!<% )[\s\S])*?)(?:^<% \} else \{ -%>\n((?:(?!<% )[\s\S])*?))?^<% \} -%>\n/gm,
    (_, name: string, then: string, otherwise = "") => (given(name) === true ? then : otherwise),
  );
  const text = chosen.replace(/<%= \$(\w+) %>/g, (_, name: string) => String(given(name)));
  const left = /.*<%.*/.exec(text);
  if (left) throw new Error(`The template uses something that the lab cannot render: ${left[0]}`);
  return text;
}

/** Where one node of the lab keeps its mysqld. */
export interface LabOptionFile {
  readonly datadir: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly errorLog: string;
  readonly includeDir: string;
  /** The node's own address. */
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
}

/** The option file of a node in the lab: production's template, with little memory. */
export async function labOptionFile(node: LabOptionFile): Promise<string> {
  return renderTemplate(await readFile(templatePath, "utf8"), {
    datadir: node.datadir,
    socket: node.socket,
    pid_file: node.pidFile,
    error_log: node.errorLog,
    include_dir: node.includeDir,
    bind_address: node.address,
    port: node.port,
    admin_address: node.address,
    admin_port: node.adminPort,
    max_connections: 200,
    innodb_buffer_pool_size: "32M",
    innodb_redo_log_capacity: "32M",
    binlog_expire_seconds: 2_592_000,
    event_scheduler: true,
    performance_schema: false,
    small: true,
  });
}
