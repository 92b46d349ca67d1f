/** A call that a fake client was sent. */
export interface SentCall {
  /** Name of the command without `Command`. */
  readonly name: string;
  readonly input: Record<string, unknown>;
}

/** A client whose answers a test gives; `as` casts it to the client that the adapter expects. */
export const fakeClient = <T>(
  answer: (call: SentCall) => unknown,
): { readonly calls: SentCall[]; as: () => Promise<T> } => {
  const calls: SentCall[] = [];
  const client = {
    send: async (command: {
      readonly constructor: { readonly name: string };
      readonly input: Record<string, unknown>;
    }) => {
      const call = { name: command.constructor.name.replace(/Command$/, ""), input: command.input };
      calls.push(call);
      return answer(call);
    },
  };
  return { calls, as: async () => client as T };
};

/** An error as the SDK throws it. */
export const sdkError = (name: string, message = name, more: object = {}): Error =>
  Object.assign(new Error(message), { name, ...more });
