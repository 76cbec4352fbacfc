import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const MICROS_PER_TICK = 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** CPU microseconds, user and system, that a process has used so far, all its threads together (proc_pid_stat(5)). */
export function cpuMicros(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name in parentheses and may hold blanks; utime is field 14.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
}

/** CPU microseconds of the whole machine so far, all its cores together: used, and there to be used (proc_stat(5)). */
export function machineMicros(): { readonly used: number; readonly all: number } {
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0] = readFileSync('/proc/stat', 'utf8')
    .slice('cpu '.length, 200)
    .trimStart()
    .split(' ', 7)
    .map((ticks) => Number(ticks) * MICROS_PER_TICK);
  const used = user + nice + system + irq + soft;
  return { used, all: used + idle + wait };
}

/** Resident memory in KiB: now, and the most it ever was (proc_pid_status(5)). */
export function memoryKiB(pid: number): { now: number; peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

/** Begins the most it ever was anew (proc_pid_clear_refs(5)). */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}
