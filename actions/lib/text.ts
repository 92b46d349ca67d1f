import { stripVTControlCharacters } from "node:util";

/**
 * One line that a terminal and the runner take as text: no control characters, nothing that the runner would read as a
 * workflow command. The runner looks for `::` at the start of a line and for `##[` anywhere in it.
 */
export const plainLine = (text: string): string =>
  stripVTControlCharacters(text)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    .replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/^(\s*):(?=:)/, "$1: ")
    .replaceAll("##[", "## [");

/** The lines of a text from outside, each a `plainLine`. */
export const plainLines = (text: string): string[] => text.split(/\r\n|\r|\n/).map(plainLine);

/** At most `most` characters, with a mark where it was cut. */
export const shortened = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 1)}…`;

const entity = (character: string): string => `&#${character.codePointAt(0)};`;

/**
 * Text from outside as Markdown that renders as exactly that text, in a paragraph, a list item or a table cell. Character
 * references cannot be structure in GitHub's Markdown, so all that could mean something becomes one: this covers HTML, tables,
 * emphasis, links, mentions, emoji, mathematics and automatic links.
 */
export const markdownText = (text: string): string =>
  plainLine(text)
    .replace(/:(?=\S)|[^\p{L}\p{N} .,:;\-/…()"'=+%?]/gu, entity)
    .replace(/^[-+= ]|^\d(?=\d*[.)](\s|$))/, entity)
    .replace(/www(?=\.)/gi, "ww&#119;");

/** The same in a fixed-width font. */
export const markdownCode = (text: string): string => `<code>${markdownText(text)}</code>`;

/** A row of a Markdown table; the cells are Markdown already. */
export const markdownRow = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** A Markdown table; the cells are Markdown already. */
export const markdownTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [markdownRow(head), markdownRow(head.map(() => "---")), ...rows.map(markdownRow)].join("\n");

/** Text from outside in a quoted label of a Mermaid diagram. */
export const mermaidText = (text: string): string => text.replace(/[^A-Za-z0-9 .?-]/g, " ");

/** GitHub discards a step's summary that is larger, in bytes. */
export const summaryLimit = 1024 * 1024;

/** A summary within GitHub's limit. What is cut is said first, where it is seen. */
export const fitSummary = (markdown: string, limit = summaryLimit): string => {
  if (Buffer.byteLength(markdown) <= limit) return markdown;
  const note = `> This summary was longer than ${Math.round(limit / 1024)} KiB and is cut at the end; the outputs are complete.\n\n`;
  const room = Buffer.from(markdown).subarray(0, limit - Buffer.byteLength(note));
  return note + room.subarray(0, room.lastIndexOf(0x0a) + 1).toString();
};
