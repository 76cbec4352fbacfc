import type { Zone } from './preferences.ts';

const two = (value: number): string => String(value).padStart(2, '0');

/** What a zone is called beside a time. */
export function zoneName(zone: Zone): string {
  return zone === 'utc' ? 'UTC' : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

export function dateOf(ms: number, zone: Zone): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return 'no date';
  const parts =
    zone === 'utc' ? [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()] : [at.getFullYear(), at.getMonth(), at.getDate()];
  return `${parts[0]}-${two((parts[1] ?? 0) + 1)}-${two(parts[2] ?? 0)}`;
}

export function timeOf(ms: number, zone: Zone): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return '–';
  return zone === 'utc'
    ? `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`
    : `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A moment for machines; what a pod's clock said may be none. */
export function isoOf(ms: number): string | undefined {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** A length of time in its two largest units: 41 s, 2 m 10 s, 3 h 5 m. */
export function lengthOf(ms: number): string {
  if (!(ms >= 0)) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** How long ago something was, in its largest unit: 41 s, 12 min, 5 h, 3 d. */
export function ageOf(ms: number): string {
  if (Number.isNaN(ms)) return '–';
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 2 * 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400).toLocaleString('en')} d`;
}

/** A place in a session, from its own monotonic clock: +4:17.123, +1:04:17 */
export function offsetOf(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  const [hours, minutes, seconds] = [
    Math.floor(whole / 3_600_000),
    Math.floor(whole / 60_000) % 60,
    Math.floor(whole / 1000) % 60,
  ];
  if (hours > 0) return `+${hours}:${two(minutes)}:${two(seconds)}`;
  return `+${minutes}:${two(seconds)}.${String(whole % 1000).padStart(3, '0')}`;
}

/** 1 statement, 1,204 statements */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

export function bytesOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
