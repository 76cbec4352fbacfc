import { isObject, type Json, type JsonObject, readJson } from '../actions/json.ts';

/** How a process ended, as the API server says it. */
export interface Outcome {
  /** 0: well. Absent: it did not run, or nobody knows how it ended. */
  readonly exit?: number;
  /** What the API server says beside; not to be shown unmasked. */
  readonly message: string;
}

/** Of a Status; longer ones are none. */
export const MAX_STATUS_BYTES = 64 * 1024;
const SUCCESS = Buffer.from(JSON.stringify({ metadata: {}, status: 'Success' }));

/** Reads the Status with which a process ended (v4.channel.k8s.io and later). Undefined: not all of it is there, or it is none. */
export function readOutcome(bytes: Buffer): Outcome | undefined {
  const status = objectOf(bytes);
  if (status === undefined) return undefined;
  if (status['status'] === 'Success') return { exit: 0, message: '' };
  const message = typeof status['message'] === 'string' ? status['message'] : '';
  if (status['status'] !== 'Failure') return undefined;
  const exit = status['reason'] === 'NonZeroExitCode' ? exitOf(status['details']) : undefined;
  return { message, ...(exit !== undefined && { exit }) };
}

function exitOf(details: Json | undefined): number | undefined {
  const causes = isObject(details) ? details['causes'] : undefined;
  if (!Array.isArray(causes)) return undefined;
  const cause = (causes as readonly Json[]).filter(isObject).find(({ reason }) => reason === 'ExitCode');
  const text = cause?.['message'];
  return typeof text === 'string' && /^[0-9]{1,3}$/.test(text) ? Number(text) : undefined;
}

function objectOf(bytes: Buffer): JsonObject | undefined {
  if (bytes.length > MAX_STATUS_BYTES) return undefined;
  try {
    const value = readJson(bytes);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The Status that says how a process ended, as kubelets write it. */
export function exitStatus(exit: number): Buffer {
  if (exit === 0) return SUCCESS;
  return Buffer.from(
    JSON.stringify({
      metadata: {},
      status: 'Failure',
      message: `command terminated with non-zero exit code: exit status ${exit}`,
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: String(exit) }] },
    }),
  );
}
