import { BatchGetCommand, GetCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import { expect, it } from "vitest";
import { type Documents, quickDocuments } from "#node/lib/aws/quick-documents.ts";

/** Who was asked for what, in this order; `answer` is what the short way gives. */
const documentsThat = (answer: object | undefined, ready = true) => {
  const asked: { readonly by: string; readonly what: unknown }[] = [];
  const client = (by: string): Documents => ({
    send: (async (command: { readonly input: unknown }) => {
      asked.push({ by, what: command.input });
      return { from: by };
    }) as Documents["send"],
  });
  const documents = quickDocuments({
    quick: {
      ready: () => ready,
      call: async (operation, input) => {
        asked.push({ by: operation, what: input });
        return answer;
      },
    },
    marshalling: { marshall: (item) => marshall(item), unmarshall: (item) => unmarshall(item) },
    commands: { BatchGetItem: BatchGetCommand, UpdateItem: UpdateCommand },
    once: client("once"),
    usual: client("usual"),
  });
  return { asked, documents };
};

const update = new UpdateCommand({
  TableName: "t",
  Key: { pk: "a" },
  UpdateExpression: "SET #n = :n",
  ExpressionAttributeNames: { "#n": "n" },
  ExpressionAttributeValues: { ":n": 2 },
});
const batch = new BatchGetCommand({ RequestItems: { t: { Keys: [{ pk: "a" }, { pk: "b" }], ConsistentRead: true } } });

it("frequent calls go the short way, in the protocol's form and back", async () => {
  const updating = documentsThat({ Attributes: { pk: { S: "a" }, n: { N: "2" } } });
  expect(await updating.documents.send(update)).toEqual({ Attributes: { pk: "a", n: 2 } });
  expect(updating.asked).toEqual([
    {
      by: "UpdateItem",
      what: { ...update.input, Key: { pk: { S: "a" } }, ExpressionAttributeValues: { ":n": { N: "2" } } },
    },
  ]);
  const reading = documentsThat({ Responses: { t: [{ pk: { S: "a" } }] }, UnprocessedKeys: { t: {} } });
  expect(await reading.documents.send(batch)).toEqual({ Responses: { t: [{ pk: "a" }] }, UnprocessedKeys: { t: {} } });
  expect(reading.asked).toEqual([
    {
      by: "BatchGetItem",
      what: { RequestItems: { t: { Keys: [{ pk: { S: "a" } }, { pk: { S: "b" } }], ConsistentRead: true } } },
    },
  ]);
});

it("what does not go well there is asked once more", async () => {
  const { asked, documents } = documentsThat(undefined);
  expect(await documents.send(update)).toEqual({ from: "once" });
  expect(asked.map(({ by }) => by)).toEqual(["UpdateItem", "once"]);
});

it("other calls, and all while it is not known where the store is, go the usual way", async () => {
  const other = documentsThat({});
  expect(await other.documents.send(new GetCommand({ TableName: "t", Key: { pk: "a" } }))).toEqual({ from: "usual" });
  const early = documentsThat({}, false);
  expect(await early.documents.send(update)).toEqual({ from: "usual" });
});
