import { readFileSync } from 'node:fs';
import type { Json, JsonObject } from './classes.ts';

interface Attribute {
  readonly type: string;
  readonly object?: string;
  readonly array?: true;
  readonly required?: true;
  readonly profiles?: readonly string[];
  readonly enum?: Readonly<Record<string, string>>;
  readonly sibling?: string;
}
interface Definition {
  readonly attributes: Readonly<Record<string, Attribute>>;
  readonly constraints?: { readonly at_least_one?: readonly string[]; readonly just_one?: readonly string[] };
}
interface EventClass extends Definition {
  readonly uid: number;
  readonly caption: string;
}

/**
 * What OCSF 1.8.0 says of the classes that are used: of its export (as PyPI's ocsf-json-schema 1.2.0 has it, Apache-2.0) every attribute that
 * is required and every one that an event has; what is not here is not known, and refused.
 */
const SCHEMA = JSON.parse(readFileSync(new URL('testdata/ocsf-1.8.0.json', import.meta.url), 'utf8')) as {
  readonly classes: Readonly<Record<string, EventClass>>;
  readonly objects: Readonly<Record<string, Definition>>;
};

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Everything that is wrong with an event, as paths and words; none where it is of its class. */
export function faultsOf(event: JsonObject): string[] {
  const found = Object.values(SCHEMA.classes).find(({ uid }) => uid === event['class_uid']);
  if (found === undefined) return ['class_uid is unknown'];
  const { profiles } = event['metadata'] as { profiles: string[] };
  const uid = found.uid * 100 + (event['activity_id'] as number);
  return [
    ...(event['type_uid'] === uid ? [] : ['type_uid is another']),
    ...(event['class_name'] === found.caption ? [] : ['class_name is another']),
    ...check(event, found, profiles, ''),
  ];
}

function check(value: JsonObject, { attributes, constraints }: Definition, profiles: readonly string[], path: string): string[] {
  const allowed = Object.entries(attributes).filter(
    ([, attribute]) => attribute.profiles === undefined || attribute.profiles.some((profile) => profiles.includes(profile)),
  );
  const known = new Map(allowed);
  const present = Object.keys(value).filter((key) => value[key] !== undefined);
  const count = (names: readonly string[] | undefined): number => names?.filter((name) => present.includes(name)).length ?? 1;
  return [
    ...present.filter((key) => !known.has(key)).map((key) => `${path}${key} is unknown`),
    ...allowed.filter(([key, each]) => each.required && !present.includes(key)).map(([key]) => `${path}${key} is missing`),
    ...(count(constraints?.at_least_one) < 1 || count(constraints?.just_one) !== 1 ? [`${path} has not what identifies it`] : []),
    ...present.flatMap((key) => {
      const attribute = known.get(key);
      const each = value[key];
      if (attribute === undefined) return [];
      if (attribute.array !== true) return checkValue(each, attribute, value, profiles, path + key);
      if (!Array.isArray(each)) return [`${path}${key} is no list`];
      return (each as Json[]).flatMap((item, at) => checkValue(item, attribute, value, profiles, `${path}${key}[${at}]`));
    }),
  ];
}

const TYPES: Readonly<Record<string, (value: Json | undefined) => boolean>> = {
  integer_t: Number.isSafeInteger,
  long_t: Number.isSafeInteger,
  timestamp_t: Number.isSafeInteger,
  port_t: (value) => Number.isSafeInteger(value) && (value as number) <= 65_535,
  boolean_t: (value) => typeof value === 'boolean',
};

function checkValue(
  value: Json | undefined,
  attribute: Attribute,
  of: JsonObject,
  profiles: readonly string[],
  path: string,
): string[] {
  const { type, object, sibling } = attribute;
  if (type === 'object_t') {
    const definition = SCHEMA.objects[object ?? ''];
    if (!isObject(value)) return [`${path} is no object`];
    // What OCSF has no place for stands in an object without a definition.
    return definition === undefined || object === 'object' ? [] : check(value, definition, profiles, `${path}.`);
  }
  if (!(TYPES[type] ?? ((each) => typeof each === 'string'))(value)) return [`${path} is no ${type}`];
  const caption = typeof value === 'number' ? attribute.enum?.[value] : undefined;
  if (attribute.enum !== undefined && caption === undefined) return [`${path} has no ${JSON.stringify(value)}`];
  return sibling !== undefined && value !== 99 && of[sibling] !== undefined && of[sibling] !== caption
    ? [`${path} is ${caption}, and not ${JSON.stringify(of[sibling])}`]
    : [];
}
