import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import type { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";

/** What the adapters of the table use of a document client. */
export type Documents = Pick<DynamoDBDocumentClient, "send">;

/** An item as DynamoDB's protocol writes it. */
type Marshalled = Record<string, AttributeValue>;

/** Turns items into the protocol's form and back. */
export interface Marshalling {
  marshall(item: Record<string, unknown>): Marshalled;
  unmarshall(item: Marshalled): Record<string, unknown>;
}

/** Calls DynamoDB without the SDK's layers. */
export interface QuickCalls {
  /** False until it is known where DynamoDB is: the SDK's own first call tells. */
  ready(): boolean;
  /** The answer to a call that went well; undefined after every other end, of which only the SDK knows what to make. Never fails. */
  call(operation: string, input: object): Promise<object | undefined>;
}

/** A kind of document command, as its class. */
type CommandClass = new (...args: never[]) => object;

interface Translation {
  readonly input: (input: Record<string, unknown>, marshalling: Marshalling) => object;
  readonly output: (output: Record<string, unknown>, marshalling: Marshalling) => object;
}

const each = <T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

/** The calls that agents make all the time. No item of the table holds bytes, which JSON would not take. */
const translations = {
  BatchGetItem: {
    input: ({ RequestItems, ...rest }, { marshall }) => ({
      ...rest,
      RequestItems: each(RequestItems as Record<string, { readonly Keys: Record<string, unknown>[] }>, (asked) => ({
        ...asked,
        Keys: asked.Keys.map(marshall),
      })),
    }),
    // What was not processed is only counted.
    output: ({ Responses, ...rest }, { unmarshall }) => ({
      ...rest,
      Responses: each((Responses ?? {}) as Record<string, Marshalled[]>, (items) => items.map(unmarshall)),
    }),
  },
  UpdateItem: {
    input: ({ Key, ExpressionAttributeValues: values, ...rest }, { marshall }) => ({
      ...rest,
      Key: marshall(Key as Record<string, unknown>),
      ...(values === undefined ? {} : { ExpressionAttributeValues: marshall(values as Record<string, unknown>) }),
    }),
    output: ({ Attributes, ...rest }, { unmarshall }) => ({
      ...rest,
      ...(Attributes === undefined ? {} : { Attributes: unmarshall(Attributes as Marshalled) }),
    }),
  },
} as const satisfies Readonly<Record<string, Translation>>;

/**
 * A document client whose most frequent calls are first tried without the SDK's layers, which cost more than all else that an agent
 * does at rest. Whatever does not go well there is asked once more, and settled, by `once`: together as many attempts as `usual`, which
 * makes the other calls, makes.
 */
export const quickDocuments = (parts: {
  readonly quick: QuickCalls;
  readonly marshalling: Marshalling;
  /** The document command of each operation that is tried quickly. */
  readonly commands: Readonly<Record<keyof typeof translations, CommandClass>>;
  readonly once: Documents;
  readonly usual: Documents;
}): Documents => {
  const { quick, marshalling, commands, once, usual } = parts;
  const operations = Object.keys(translations) as (keyof typeof translations)[];
  const send = async (command: { readonly input: Record<string, unknown> }): Promise<object> => {
    const operation = operations.find((name) => command instanceof commands[name]);
    if (operation === undefined || !quick.ready()) return usual.send(command as never);
    const { input, output } = translations[operation];
    const answer = await quick.call(operation, input(command.input, marshalling));
    return answer === undefined ? once.send(command as never) : output({ ...answer }, marshalling);
  };
  return { send: send as Documents["send"] };
};
