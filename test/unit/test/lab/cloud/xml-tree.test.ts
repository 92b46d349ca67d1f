import { expect, it } from "vitest";
import { allOf, buildXml, descend, parseXml, setText, textOf } from "#lab/cloud/xml-tree.ts";

const xml =
  '<?xml version="1.0" encoding="utf-8"?><R xmlns="http://a/"><L><member><Id>i-1</Id><N>a &lt; b &amp;amp; 007</N></member>' +
  "<member><Id>i-2</Id><State>x</State></member></L><E></E></R>";

it("what is not changed stays as it was, text and order included", () => {
  expect(buildXml(parseXml(xml))).toBe(xml);
});

it("one text can be changed or added", () => {
  const tree = parseXml(xml);
  const members = allOf(descend(tree, "R", "L"), "member");
  expect(members.map((member) => textOf(member, "Id"))).toEqual(["i-1", "i-2"]);
  for (const member of members) setText(member, "State", "y");
  expect(buildXml(tree)).toBe(
    xml.replace("</N></member>", "</N><State>y</State></member>").replace("<State>x</State>", "<State>y</State>"),
  );
});
