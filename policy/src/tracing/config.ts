/** Where traces go, and how many of them. */
export interface TracingConfig {
  /** Base address of a receiver of OTLP/HTTP, http or https; `/v1/traces` is added. */
  readonly endpoint: string;
  /** Part of all traces that are kept, 0 to 1. */
  readonly ratio: number;
}

const MAX_ENDPOINT = 1024;

/**
 * What OpenTelemetry's own variables say ("Environment Variable Specification"): `OTEL_EXPORTER_OTLP_ENDPOINT`, and
 * `OTEL_TRACES_SAMPLER_ARG` for the ratio, 1 by default. Undefined where there is no endpoint: nothing is traced.
 * @throws Error whose message names the variable and not its value
 */
export function readTracing(environment: Readonly<Record<string, string | undefined>>): TracingConfig | undefined {
  const endpoint = environment['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '';
  if (endpoint === '') return undefined;
  if (!isEndpoint(endpoint)) throw new Error('OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https address');
  const text = environment['OTEL_TRACES_SAMPLER_ARG'] ?? '';
  const ratio = text === '' ? 1 : /^\d(\.\d{1,9})?$/.test(text) ? Number(text) : NaN;
  if (!(ratio >= 0 && ratio <= 1)) throw new Error('OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1');
  return { endpoint, ratio };
}

/** Nobody's password belongs into an address that every pod is given. */
function isEndpoint(text: string): boolean {
  if (text.length > MAX_ENDPOINT || !URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && `${username}${password}${search}${hash}` === '';
}
