import { machineLayout } from "#lab/machine/layout.ts";

/** Where a machine's files lie. */
export const layout = machineLayout("/state/machines/i-1", "/tmp/lab1-x/n1");

/** What a node is told of a lab's cluster. */
export const cluster = {
  clusterId: "lab-1",
  nodes: 3,
  tableName: "t",
  secretArn: "arn:secret",
  bucket: "b",
  asgName: "asg",
  writeTargetGroupArn: "arn:w",
  readTargetGroupArn: "arn:r",
  application: { schema: "app", user: "app" },
};
