/**
 * Functions of the server that return for every value of every argument. A call of any other with a labelled argument can
 * fail, loop or return rows depending on the value: the agent would learn of it without seeing a column.
 */
const TOTAL: ReadonlySet<string> = new Set(
  `concat concat_ws textcat textanycat anytextcat upper lower initcap length char_length character_length octet_length bit_length
  textlen bpcharlen md5 sha224 sha256 sha384 sha512 reverse btrim ltrim rtrim btrim replace strpos position ascii hashtext
  quote_literal quote_ident quote_nullable to_json to_jsonb row_to_json array_to_json json_build_object json_build_array
  jsonb_build_object jsonb_build_array jsonb_object_field jsonb_object_field_text json_object_field json_object_field_text
  jsonb_array_element jsonb_array_element_text json_array_element json_array_element_text jsonb_extract_path
  jsonb_extract_path_text json_extract_path json_extract_path_text jsonb_concat jsonb_contains jsonb_exists
  jsonb_array_elements jsonb_array_elements_text json_array_elements json_array_elements_text jsonb_each jsonb_each_text json_each
  json_each_text jsonb_object_keys json_object_keys jsonb_typeof json_typeof jsonb_strip_nulls jsonb_pretty json_strip_nulls
  array_to_string array_append array_prepend array_cat array_length array_upper array_lower cardinality unnest array_position
  arraycontains arraycontained arrayoverlap
  count min max string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg sum avg bool_and bool_or every
  row_number rank dense_rank percent_rank cume_dist lag lead first_value last_value any_value xmlagg
  int8 numeric float8 float4 text varchar bpchar name date timestamp timestamptz
  date_part extract date_trunc age to_char timestamp_mi date_mi starts_with texteq textne convert_to pg_column_size pg_typeof
  coalesce nullif xmlcomment num_nulls num_nonnulls format_type`.split(/\s+/),
);
/** Total only where nothing but the first argument is labelled: the others can be refused. */
const TOTAL_IN_FIRST: ReadonlySet<string> = new Set(
  `left right substr substring lpad rpad split_part overlay translate repeat encode string_to_array regexp_replace regexp_match
  regexp_count regexp_substr regexp_instr regexp_like textlike textnlike texticlike texticnlike bpcharlike bpcharnlike textregexeq
  textregexne texticregexeq texticregexne like notlike similar_to_escape bpchariclike namelike namenlike nameregexeq`.split(
    /\s+/,
  ),
);
/** Comparison functions of built-in types: int4eq, text_lt, numeric_ge, bpcharne, array_eq, record_lt … */
const COMPARISON = /^[a-z0-9_]+(eq|ne|lt|le|gt|ge|cmp)(text|name|_[a-z]+)?$/;
const FORMAT = 'format';

/** Whether a call can be told from its result alone. `labelled`: for each argument, whether labelled values reach it. */
export function isTotal(name: string, labelled: readonly boolean[]): boolean {
  if (TOTAL.has(name) || COMPARISON.test(name)) return true;
  if (name === FORMAT) return labelled[0] !== true;
  return TOTAL_IN_FIRST.has(name) && !labelled.slice(1).includes(true);
}
