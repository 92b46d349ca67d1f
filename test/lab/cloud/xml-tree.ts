import { XMLBuilder, XMLParser } from "fast-xml-parser";

/** An element of an XML text that keeps the order of its children; `#text` holds text. */
export type XmlNode = { [name: string]: XmlNode[] | string | Record<string, string> };

const options = {
  preserveOrder: true,
  ignoreAttributes: false,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  // Entities stay as they are, in and out: nothing in between looks into text that could have them.
  processEntities: false,
} as const;
const parser = new XMLParser(options);
const builder = new XMLBuilder({ ...options, suppressEmptyNode: false });

/** Reads an XML text to change a few places of it. */
export const parseXml = (text: string): XmlNode[] => parser.parse(text) as XmlNode[];

/** Writes what `parseXml` read. */
export const buildXml = (nodes: readonly XmlNode[]): string => builder.build(nodes) as string;

/** Children of the first element of this name; undefined when there is none. */
export const childrenOf = (nodes: readonly XmlNode[] | undefined, name: string): XmlNode[] | undefined => {
  const found = nodes?.find((node) => name in node)?.[name];
  return Array.isArray(found) ? found : undefined;
};

/** Children of the element at this path. */
export const descend = (nodes: readonly XmlNode[], ...path: readonly string[]): XmlNode[] | undefined => {
  let found: readonly XmlNode[] | undefined = nodes;
  for (const name of path) found = childrenOf(found, name);
  return found as XmlNode[] | undefined;
};

/** The children of every element of this name. */
export const allOf = (nodes: readonly XmlNode[] | undefined, name: string): XmlNode[][] =>
  (nodes ?? []).flatMap((node) => {
    const found = node[name];
    return Array.isArray(found) ? [found] : [];
  });

/** Text of the first element of this name. */
export const textOf = (nodes: readonly XmlNode[] | undefined, name: string): string | undefined => {
  const text = childrenOf(nodes, name)?.[0]?.["#text"];
  return typeof text === "string" ? text : undefined;
};

/** Sets the text of the first element of this name, which is added when it is missing. */
export const setText = (nodes: XmlNode[], name: string, text: string): void => {
  const existing = nodes.find((node) => name in node);
  if (existing === undefined) nodes.push({ [name]: [{ "#text": text }] });
  else existing[name] = [{ "#text": text }];
};
