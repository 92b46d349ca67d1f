import type { Aws } from "./clients.ts";
import { awsFailure } from "./failures.ts";

/** Tells the cluster's topic. Errors: `permission-denied`, `aws-unavailable`. */
export type Notify = (subject: string, message: Readonly<Record<string, unknown>>) => Promise<void>;

/** SNS takes subjects of at most 100 characters. */
const subjectLimit = 100;

/** Publishes JSON to one topic. */
export const makeNotify =
  (aws: Pick<Aws, "sns">, topicArn: string): Notify =>
  async (subject, message) => {
    try {
      const [client, { PublishCommand }] = await Promise.all([aws.sns(), import("./sdk/sns.ts")]);
      await client.send(
        new PublishCommand({
          TopicArn: topicArn,
          Subject: subject.slice(0, subjectLimit),
          Message: JSON.stringify(message, undefined, 2),
        }),
      );
    } catch (error) {
      throw awsFailure(error, { action: "sns:Publish", resource: topicArn });
    }
  };
