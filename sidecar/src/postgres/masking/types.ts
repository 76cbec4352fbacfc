/**
 * How a type's values can be masked and looked into.
 *
 * text: any text is a value · json, jsonb: a JSON string is · document: readable text with a form of its own (arrays of text,
 * composite and unknown types): looked into, hidden as NULL · plain: numbers, times, bits: never looked into, hidden as NULL ·
 * uuid: a plain value that a hash mask shows as another UUID.
 */
export type Family = 'text' | 'json' | 'jsonb' | 'document' | 'plain' | 'uuid';

/** text, varchar, bpchar, name, unknown. */
const TEXT: ReadonlySet<number> = new Set([25, 1043, 1042, 19, 705]);
const JSON_TYPE = 114;
const JSONB_TYPE = 3802;
/** bool, bytea, "char", int8, int2, int4, oid, tid, xid, cid, float4, float8, money, macaddr, inet, cidr, dates and times, bit, numeric, uuid, pg_lsn, xid8. */
const PLAIN: ReadonlySet<number> = new Set([
  16, 17, 18, 20, 21, 23, 26, 27, 28, 29, 700, 701, 790, 829, 774, 869, 650, 1082, 1083, 1266, 1114, 1184, 1186, 1560, 1562, 1700,
  2950, 3220, 5069, 1000, 1005, 1007, 1016, 1021, 1022, 1028, 1115, 1182, 1185, 1231, 2951,
]);

/** Padded with blanks, which are no part of the value. */
export const BPCHAR_TYPE = 1042;
export const UUID_TYPE = 2950;

export function familyOf(type: number): Family {
  if (TEXT.has(type)) return 'text';
  if (type === JSON_TYPE) return 'json';
  if (type === JSONB_TYPE) return 'jsonb';
  return PLAIN.has(type) ? 'plain' : 'document';
}
