/** What the node uses of these packages: the bundle holds nothing else of them. Loaded on first use. */
export { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
export { SignatureV4 } from "@smithy/signature-v4";
