import { createHmac, timingSafeEqual } from "node:crypto";
import { signedText } from "#contract/agent-api.ts";

/** What a signature covers. */
export type SignedParts = Parameters<typeof signedText>[0];

/** HMAC-SHA-256 of the command in lower-case hex. */
export const signCommand = (key: string, parts: SignedParts): string =>
  createHmac("sha256", key).update(signedText(parts)).digest("hex");

/** Whether the signature is the command's, in constant time. */
export const isSignedBy = (key: string, parts: SignedParts, signature: string): boolean => {
  const expected = Buffer.from(signCommand(key, parts), "hex");
  const given = Buffer.from(signature, "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
};
