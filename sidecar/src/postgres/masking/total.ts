/**
 * Functions of the server that return one value for every value of every argument: they cannot fail, loop, grow without bound
 * or return rows. A call of any other with a labelled argument tells the agent something without its seeing a column. The
 * list is short on purpose: what is made of a masked value is masked whole, so little is lost by refusing.
 */
const TOTAL: ReadonlySet<string> = new Set(
  `concat concat_ws textcat textanycat anytextcat upper lower initcap length char_length character_length octet_length bit_length
  textlen bpcharlen md5 sha224 sha256 sha384 sha512 reverse btrim ltrim rtrim strpos position ascii hashtext
  quote_literal quote_ident quote_nullable to_json to_jsonb row_to_json array_to_json json_build_array jsonb_build_array
  jsonb_typeof json_typeof array_to_string array_length cardinality
  count min max string_agg json_agg jsonb_agg bool_and bool_or every
  row_number rank dense_rank percent_rank cume_dist lag lead first_value last_value any_value
  text varchar bpchar name starts_with pg_column_size pg_typeof coalesce nullif num_nulls num_nonnulls`.split(/\s+/),
);
/**
 * Of these, what gives more bytes than it is given: total only for what is bounded, since a server fails at one gigabyte. sum and avg
 * are no total functions: they overflow.
 */
const GROWING: ReadonlySet<string> = new Set(
  `concat concat_ws textcat textanycat anytextcat quote_literal quote_ident quote_nullable to_json to_jsonb row_to_json array_to_json
  json_build_array jsonb_build_array array_to_string string_agg json_agg jsonb_agg format encode`.split(/\s+/),
);

export function grows(name: string): boolean {
  return GROWING.has(name);
}

/** Total only where nothing but the first argument is labelled: the others can be refused. */
const TOTAL_IN_FIRST: ReadonlySet<string> = new Set(
  `left right substr substring split_part translate encode string_to_array regexp_match regexp_count regexp_substr regexp_instr
  regexp_like textlike textnlike texticlike texticnlike bpcharlike bpcharnlike textregexeq textregexne texticregexeq
  texticregexne like notlike bpchariclike namelike namenlike nameregexeq to_char`.split(/\s+/),
);
/** Total only where the first argument, the name of a field, is not labelled. */
const TOTAL_AFTER_FIRST: ReadonlySet<string> = new Set(['date_part', 'extract', 'date_trunc']);
/** Comparison of built-in scalar types, by the whole name: int4eq, text_lt, numeric_ge, nameeqtext. Names that only end so are not. */
const COMPARISON =
  /^(?:bool|char|int[248]|int(?:24|28|42|48|82|84)|oid|text_?|bpchar|name|numeric_|float[48]|float(?:48|84)|date_|time_|timetz_|timestamp_|timestamptz_|interval_|uuid_|bytea|jsonb_|enum_)(?:eq|ne|lt|le|gt|ge)$|^name(?:eq|ne|lt|le|gt|ge)text$|^text(?:eq|ne|lt|le|gt|ge)name$/;
const FORMAT = 'format';

/** Whether a call can be told from its result alone. `labelled`: for each argument, whether labelled values reach it. */
export function isTotal(name: string, labelled: readonly boolean[]): boolean {
  if (TOTAL.has(name) || COMPARISON.test(name)) return true;
  if (name === FORMAT || TOTAL_AFTER_FIRST.has(name)) return labelled[0] !== true;
  return TOTAL_IN_FIRST.has(name) && !labelled.slice(1).includes(true);
}
