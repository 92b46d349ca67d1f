/** What the node uses of this client: the bundle holds nothing else of it, and so starts sooner. Loaded on first use. */
export { GetCommandInvocationCommand, SendCommandCommand, SSMClient } from "@aws-sdk/client-ssm";
