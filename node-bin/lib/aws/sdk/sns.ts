/** What the node uses of this client: the bundle holds nothing else of it, and so starts sooner. Loaded on first use. */
export { PublishCommand, SNSClient } from "@aws-sdk/client-sns";
