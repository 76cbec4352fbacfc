import { otlpAttributes, otlpTime, type OtlpValue } from '@chaperone/api/otlp';

/** Names and values that say what a span is about; never what an agent, an upstream or its data says. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A span of somebody else, which ours have to do with. */
export interface Link {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
}

export interface Span extends Link {
  readonly parentId?: string | undefined;
  readonly name: string;
  /** server: it answers somebody · client: it waits for somebody · internal: neither. */
  readonly kind: 'internal' | 'server' | 'client';
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** A code, where it did not end well; it becomes `error.type` and its status. */
  readonly error?: string | undefined;
  readonly links?: readonly Link[];
}

/** opentelemetry-proto, trace/v1: SpanKind and StatusCode. */
const KINDS = { internal: 1, server: 2, client: 3 } as const;
const STATUS_ERROR = 2;
/** Characters of a value. */
const MAX_VALUE = 256;
const SCOPE = { name: 'chaperone' };

/** ExportTraceServiceRequest as OTLP's JSON: numbers of 64 bits are strings, ids are hex ("OTLP Specification", JSON Protobuf Encoding). */
export function encodeSpans(spans: readonly Span[], resource: Attributes): string {
  return JSON.stringify({
    resourceSpans: [
      { resource: { attributes: attributesOf(resource) }, scopeSpans: [{ scope: SCOPE, spans: spans.map(encodeSpan) }] },
    ],
  });
}

function encodeSpan(span: Span): object {
  const { traceId, spanId, parentId, name, kind, startMs, endMs, error, links } = span;
  const attributes = error === undefined ? span.attributes : { ...span.attributes, 'error.type': error };
  return {
    traceId,
    spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: otlpTime(startMs),
    endTimeUnixNano: otlpTime(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    ...(links !== undefined && { links: [...links] }),
    ...(error !== undefined && { status: { code: STATUS_ERROR } }),
  };
}

function attributesOf(values: Attributes): OtlpValue[] {
  const short = Object.entries(values).map(([key, value]) => [
    key,
    typeof value === 'string' ? value.slice(0, MAX_VALUE) : value,
  ]);
  return otlpAttributes(Object.fromEntries(short) as Attributes);
}

/** A word of ours or of a protocol as the name of a span, which has few values; OTHER where it might be anybody's. */
export function spanName(word: string): string {
  return /^[a-z][a-z0-9 _/-]{0,31}$/i.test(word) ? word : 'OTHER';
}

/**
 * What a client's `traceparent` (W3C Trace Context §3.2) names. Anybody may write one, so it is no parent: it decides neither whether
 * we trace nor where our spans belong. Undefined where it is not well-formed.
 */
export function linkTo(traceparent: string | undefined): Link | undefined {
  if (traceparent?.length !== 55) return undefined;
  const [, traceId = '', spanId = ''] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(traceparent) ?? [];
  return /[1-9a-f]/.test(traceId) && /[1-9a-f]/.test(spanId) ? { traceId, spanId } : undefined;
}
