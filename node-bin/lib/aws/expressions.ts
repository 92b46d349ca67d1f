/** A value that conditions compare with. */
export type Comparable = string | number;

/**
 * What an item must be like for a write to happen, as data, so that the rule can be read, printed and evaluated by a fake.
 * A missing item has no attributes: only `absent` is true of it.
 */
export type Condition =
  | { readonly absent: string }
  | { readonly equals: readonly [attribute: string, value: Comparable] }
  | { readonly oneOf: readonly [attribute: string, values: readonly Comparable[]] }
  | { readonly below: readonly [attribute: string, limit: number] }
  | { readonly atMost: readonly [attribute: string, limit: number] }
  | { readonly all: readonly Condition[] }
  | { readonly any: readonly Condition[] };

/** Changes to top-level attributes of one item; the item is made when it is missing. */
export interface Change {
  /** Attributes that get a value; `undefined` leaves the attribute alone. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Numbers that grow by `by`, beginning at `from` when the attribute is missing. */
  readonly increase?: Readonly<Record<string, { readonly by: number; readonly from: number }>>;
  readonly remove?: readonly string[];
}

const numberOf = (value: unknown): number => (typeof value === "number" ? value : Number.NaN);

/** Whether a condition holds for an item, or for a missing one, as DynamoDB decides it. */
export const holds = (condition: Condition, item: Readonly<Record<string, unknown>> | undefined): boolean => {
  if ("absent" in condition) return item?.[condition.absent] === undefined;
  if ("equals" in condition) return item?.[condition.equals[0]] === condition.equals[1];
  if ("oneOf" in condition) return condition.oneOf[1].some((value) => item?.[condition.oneOf[0]] === value);
  if ("below" in condition) return numberOf(item?.[condition.below[0]]) < condition.below[1];
  if ("atMost" in condition) return numberOf(item?.[condition.atMost[0]]) <= condition.atMost[1];
  if ("all" in condition) return condition.all.every((one) => holds(one, item));
  return condition.any.some((one) => holds(one, item));
};

/** Parameters of a DynamoDB call. Absent parts are left out: DynamoDB refuses empty ones. */
export interface Expression {
  readonly ConditionExpression?: string;
  readonly UpdateExpression?: string;
  readonly ExpressionAttributeNames?: Record<string, string>;
  readonly ExpressionAttributeValues?: Record<string, unknown>;
}

/** Writes a condition and a change as DynamoDB expressions; every name and value is a placeholder. */
export const expression = (parts: {
  readonly condition?: Condition | undefined;
  readonly change?: Change | undefined;
}): Expression => {
  const names: Record<string, string> = {};
  const values: Record<string, unknown> = {};
  const placeholders = new Map<string, string>();
  const name = (attribute: string): string => {
    const known = placeholders.get(attribute);
    if (known !== undefined) return known;
    const placeholder = `#n${placeholders.size}`;
    placeholders.set(attribute, placeholder);
    names[placeholder] = attribute;
    return placeholder;
  };
  const value = (content: unknown): string => {
    const placeholder = `:v${Object.keys(values).length}`;
    values[placeholder] = content;
    return placeholder;
  };
  const text = (condition: Condition): string => {
    if ("absent" in condition) return `attribute_not_exists(${name(condition.absent)})`;
    if ("equals" in condition) return `${name(condition.equals[0])} = ${value(condition.equals[1])}`;
    if ("oneOf" in condition)
      return `${name(condition.oneOf[0])} IN (${condition.oneOf[1].map((one) => value(one)).join(", ")})`;
    if ("below" in condition) return `${name(condition.below[0])} < ${value(condition.below[1])}`;
    if ("atMost" in condition) return `${name(condition.atMost[0])} <= ${value(condition.atMost[1])}`;
    const [inner, word] = "all" in condition ? [condition.all, " AND "] : [condition.any, " OR "];
    return `(${inner.map(text).join(word)})`;
  };
  const update = ({ set = {}, increase = {}, remove = [] }: Change): string => {
    const settings = [
      ...Object.entries(set)
        .filter(([, content]) => content !== undefined)
        .map(([attribute, content]) => `${name(attribute)} = ${value(content)}`),
      ...Object.entries(increase).map(([attribute, { by, from }]) => {
        const placeholder = name(attribute);
        return `${placeholder} = if_not_exists(${placeholder}, ${value(from)}) + ${value(by)}`;
      }),
    ];
    return [
      ...(settings.length > 0 ? [`SET ${settings.join(", ")}`] : []),
      ...(remove.length > 0 ? [`REMOVE ${remove.map(name).join(", ")}`] : []),
    ].join(" ");
  };
  const condition = parts.condition && text(parts.condition);
  const change = parts.change && update(parts.change);
  return {
    ...(condition === undefined ? {} : { ConditionExpression: condition }),
    ...(change === undefined ? {} : { UpdateExpression: change }),
    ...(Object.keys(names).length > 0 ? { ExpressionAttributeNames: names } : {}),
    ...(Object.keys(values).length > 0 ? { ExpressionAttributeValues: values } : {}),
  };
};
