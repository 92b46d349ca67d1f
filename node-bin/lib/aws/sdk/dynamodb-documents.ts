/** What the node uses of this client: the bundle holds nothing else of it, and so starts sooner. Loaded on first use. */
export { BatchGetCommand, DynamoDBDocumentClient, GetCommand, PutCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";
