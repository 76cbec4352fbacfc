import { otlpAttributes, otlpTime, otlpValue } from '@chaperone/api/otlp';
import { z } from 'zod';
import { SinkError } from '../errors.ts';
import type { Json } from '../ocsf/classes.ts';
import { asciiJson, type Batch, type Outgoing, type Sink } from '../sink.ts';
import { readOptional } from './files.ts';
import { type Answer, demandSuccess, parseJson, Poster } from './http.ts';

export interface OtlpSettings {
  /** The whole address: https://otel.corp:4318/v1/logs */
  readonly url: string;
  /** Lines `Name: value`, for receivers that want to know who sends. */
  readonly headersFile?: string | undefined;
  readonly caFile?: string | undefined;
}

const LIMITS = { events: 1_000, bytes: 1_000_000 };
const MAX_HEADERS = 16;
/** OpenTelemetry's SeverityNumber for OCSF's severities 1 to 5. */
const SEVERITIES = { 1: 9, 2: 10, 3: 13, 4: 17, 5: 21 } as const;

/** An int64, which protobuf's JSON has as a string or a number. */
const Count = z
  .union([
    z.int(),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ])
  .pipe(z.int().min(0));
/** ExportLogsServiceResponse; whoever writes protobuf's JSON may also use the names of its fields. Other fields have no meaning here. */
const Rejections = z.object({
  rejectedLogRecords: Count.nullish(),
  rejected_log_records: Count.nullish(),
});
const ServiceResponse = z.object({ partialSuccess: Rejections.nullish(), partial_success: Rejections.nullish() });

/**
 * Log records of OTLP/HTTP in JSON (opentelemetry.io, "OTLP Specification"), confirmed by a 2xx whose body can be read and rejects none of them;
 * 204 has no body.
 */
export function openOtlp({ url, headersFile, caFile }: OtlpSettings, origin: string, now: () => number, limits = LIMITS): Sink {
  const poster = new Poster();
  const deliver: Sink['deliver'] = async (batch, signal) => {
    const headers = { ...headersIn(await readOptional(headersFile), headersFile), 'content-type': 'application/json' };
    const ca = await readOptional(caFile);
    const answer = await poster.post({ url, headers, body: asciiJson(requestOf(batch, origin, now())), ca }, signal);
    // Which of them were rejected is not said: sent again one by one, those that were not come twice.
    demandSuccess(answer);
    const rejected = rejectedIn(answer);
    if (rejected > 0) throw new SinkError('SinkRefused', `${rejected} records rejected`);
  };
  return {
    limits,
    deliver,
    probe: (checkpoint, signal) => deliver({ events: [], checkpoint }, signal),
    close: () => Promise.resolve(poster.close()),
  };
}

/** Throws SinkError SinkMisconfigured where the body is not OTLP's: the page of something in between is no receipt. */
function rejectedIn({ status, body }: Answer): number {
  if (status === 204 && body === '') return 0;
  const said = ServiceResponse.safeParse(parseJson(body)).data;
  if (said === undefined) throw new SinkError('SinkMisconfigured', `the receiver does not answer as OTLP does (HTTP ${status})`);
  const counts = [said.partialSuccess, said.partial_success].flatMap((part) => [
    part?.rejectedLogRecords ?? 0,
    part?.rejected_log_records ?? 0,
  ]);
  return Math.max(...counts);
}

function headersIn(text: string | undefined, path: string | undefined): Record<string, string> {
  const lines = text?.split('\n').filter((line) => line.trim() !== '') ?? [];
  const pairs = lines.map((line) => /^([\w-]{1,64}):[ \t]*([\x20-\x7e]{1,8192}?)\s*$/.exec(line));
  if (lines.length > MAX_HEADERS || pairs.some((pair) => pair === null))
    throw new SinkError('SinkSecretUnreadable', `${path ?? ''} is not lines "Name: value"`);
  return Object.fromEntries(pairs.map((pair) => [pair?.[1]?.toLowerCase() ?? '', pair?.[2] ?? '']));
}

function requestOf({ events, checkpoint: { note, size } }: Batch, origin: string, at: number): Json {
  const resource = {
    'service.name': 'chaperone',
    'chaperone.log.origin': origin,
    'chaperone.log.size': size,
    'chaperone.log.checkpoint': note,
  };
  return {
    resourceLogs: [
      {
        resource: { attributes: otlpAttributes(resource) },
        scopeLogs: [
          {
            scope: { name: 'chaperone' },
            // A request without records would be confirmed by whoever takes none.
            logRecords: events.length === 0 ? [checkpointRecord(note, at)] : events.map((each) => recordOf(each, at)),
          },
        ],
      },
    ],
  };
}

function checkpointRecord(note: string, at: number): Json {
  const time = otlpTime(Math.trunc(at));
  return {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber: SEVERITIES[1],
    severityText: 'Informational',
    eventName: 'chaperone.checkpoint',
    body: otlpValue(note),
    attributes: [],
  };
}

function recordOf({ id, leaf, event }: Outgoing, at: number): Json {
  return {
    timeUnixNano: otlpTime(event.time),
    observedTimeUnixNano: otlpTime(Math.trunc(at)),
    severityNumber: SEVERITIES[event.severity_id],
    severityText: event.severity,
    eventName: `ocsf.${event.class_uid}`,
    body: otlpValue(event),
    attributes: otlpAttributes({
      'log.record.uid': id,
      'chaperone.log.index': leaf,
      'ocsf.class_uid': event.class_uid,
      'ocsf.type_uid': event.type_uid,
    }),
  };
}
