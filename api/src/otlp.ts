/** What OTLP's JSON can hold; undefined leaves a field out. */
export type OtlpValue =
  | string
  | number
  | boolean
  | null
  | readonly OtlpValue[]
  | { readonly [key: string]: OtlpValue | undefined };

/** Nanoseconds since 1970, as a decimal: a uint64 is a string in OTLP's JSON. `ms` may have fractions. */
export function otlpTime(ms: number): string {
  const whole = Math.trunc(ms);
  return `${BigInt(whole) * 1_000_000n + BigInt(Math.trunc((ms - whole) * 1_000_000))}`;
}

/** A list of OTLP's KeyValue, in order (opentelemetry-proto, common/v1). */
export function otlpAttributes(values: Readonly<Record<string, OtlpValue | undefined>>): OtlpValue[] {
  return Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: otlpValue(value) }]));
}

/** A value as OTLP's AnyValue; its strings are protobuf's, which have no halves of characters. */
export function otlpValue(value: OtlpValue): OtlpValue {
  if (typeof value === 'string') return { stringValue: value.toWellFormed() };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  if (value === null) return {};
  if (Array.isArray(value)) return { arrayValue: { values: (value as OtlpValue[]).map(otlpValue) } };
  return { kvlistValue: { values: otlpAttributes(value as Readonly<Record<string, OtlpValue | undefined>>) } };
}
