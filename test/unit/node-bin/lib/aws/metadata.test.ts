import { describe, expect, it } from "vitest";
import { type MetadataAnswer, makeMetadata } from "#node/lib/aws/metadata.ts";

const paths: Record<string, string> = {
  "/latest/meta-data/instance-id": "i-0123456789abcdef0",
  "/latest/meta-data/local-ipv4": "127.0.11.5\n",
  "/latest/meta-data/placement/availability-zone": "eu-west-1a",
  "/latest/meta-data/placement/region": "eu-west-1",
  "/latest/meta-data/autoscaling/target-lifecycle-state": "InService",
  "/latest/meta-data/tags/instance/": "percona:cluster_id\ncluster_id",
  "/latest/meta-data/tags/instance/percona:cluster_id": "x",
  "/latest/meta-data/tags/instance/cluster_id": "x",
};

/** A service that gives tokens and refuses every request without the newest one. */
const service = (known: Record<string, string>, faults: (MetadataAnswer | Error)[] = []) => {
  let tokens = 0;
  const asked: string[] = [];
  const forgetToken = (): void => {
    tokens += 1;
  };
  const metadata = makeMetadata(
    async (method, path, headers) => {
      asked.push(`${method} ${path}`);
      const fault = faults.shift();
      if (fault instanceof Error) throw fault;
      if (fault) return fault;
      if (method === "PUT") {
        expect(headers["x-aws-ec2-metadata-token-ttl-seconds"]).toMatch(/^\d+$/);
        tokens += 1;
        return { status: 200, body: `token-${tokens}` };
      }
      if (headers["x-aws-ec2-metadata-token"] !== `token-${tokens}`) return { status: 401, body: "" };
      const body = known[path];
      return body === undefined ? { status: 404, body: "not found" } : { status: 200, body };
    },
    async () => {},
  );
  return { metadata, asked, forgetToken };
};

describe("the metadata service", () => {
  it("says who the node is, with one token for all questions", async () => {
    const { metadata, asked } = service(paths);
    expect(await metadata.identity()).toEqual({
      instanceId: "i-0123456789abcdef0",
      privateIp: "127.0.11.5",
      availabilityZone: "eu-west-1a",
      region: "eu-west-1",
    });
    await metadata.targetLifecycleState();
    expect(asked.filter((line) => line.startsWith("PUT"))).toHaveLength(1);
  });

  it("is asked for a new token when the old one ran out", async () => {
    const { metadata, forgetToken } = service(paths);
    await metadata.identity();
    forgetToken();
    expect(await metadata.targetLifecycleState()).toBe("InService");
  });

  it("knows no lifecycle state of an instance that no group launched", async () => {
    const { "/latest/meta-data/autoscaling/target-lifecycle-state": _, ...others } = paths;
    expect(await service(others).metadata.targetLifecycleState()).toBeUndefined();
  });

  it("shows tags whose keys have colons", async () => {
    expect(await service(paths).metadata.tags()).toEqual({ "percona:cluster_id": "x", cluster_id: "x" });
  });

  it("shows no tags where the instance does not allow it, which is not the same as having none", async () => {
    expect(await service({}).metadata.tags()).toBeUndefined();
    expect(await service({ "/latest/meta-data/tags/instance/": "" }).metadata.tags()).toEqual({});
  });

  it("is asked again after two answers that never came", async () => {
    const { metadata } = service(paths, [new Error("timed out"), new Error("timed out")]);
    expect(await metadata.targetLifecycleState()).toBe("InService");
  });

  it("that stays silent is named with the question and the number of tries", async () => {
    const silent = Array.from({ length: 3 }, () => new Error("timed out"));
    await expect(service(paths, silent).metadata.targetLifecycleState()).rejects.toMatchObject({
      reason: "aws-unavailable",
      message: expect.stringMatching(/target-lifecycle-state, tried 3 times: timed out/),
    });
  });

  it("that does not know the instance id is not an instance's", async () => {
    await expect(service({}).metadata.identity()).rejects.toMatchObject({ reason: "aws-unavailable" });
  });
});
