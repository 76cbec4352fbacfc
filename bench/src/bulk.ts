import { type Bulk, readAway } from './client.ts';
import { inTurn, type Paths, type Result, type Run, type Slot } from './measure.ts';
import { cpuMicros, memoryKiB, resetPeak } from './proc.ts';

const MIB = 1024 * 1024;
const VALUE_MIB = 60;
const DETECTED_ROWS = 100_000;

/** One load of the data path. */
interface BulkLoad {
  readonly name: string;
  readonly sql: (run: number) => string;
  /** Which resource of ours: `scan` has detectors, `plain` only labelled columns. */
  readonly resource: 'plain' | 'scan';
  readonly rows: number;
  readonly shows: 'rows' | 'first' | 'whole';
  /** How many times as many rounds: what takes a millisecond needs more. */
  readonly times?: number;
}

const PEOPLE = 'SELECT id, name, ssn, city FROM people';

/** The loads by the name that a flag selects them by. */
export function bulkLoads(rows: number): Readonly<Record<string, BulkLoad>> {
  const many = rows.toLocaleString('en');
  const detected = Math.min(DETECTED_ROWS, rows);
  return {
    masked: {
      name: `${many} rows of 63 bytes, one column masked`,
      sql: () => PEOPLE,
      resource: 'plain',
      rows,
      shows: 'rows',
    },
    wide: {
      name: `${many} rows of 129 bytes, one column masked`,
      sql: () => 'SELECT id, name, ssn, city, note FROM people',
      resource: 'plain',
      rows,
      shows: 'rows',
    },
    untouched: {
      name: `${many} rows, nothing masked`,
      sql: () => 'SELECT id, name, city, note FROM people',
      resource: 'plain',
      rows,
      shows: 'rows',
    },
    copy: {
      name: `COPY of ${many} rows, one column masked`,
      sql: () => `COPY (${PEOPLE}) TO STDOUT`,
      resource: 'plain',
      rows,
      shows: 'rows',
    },
    detectors: {
      name: `${detected.toLocaleString('en')} rows of 6 columns, 3 detectors, one column masked`,
      sql: () => `SELECT id, name, ssn, city, note, mail FROM people LIMIT ${detected}`,
      resource: 'scan',
      rows: detected,
      shows: 'rows',
      times: 2,
    },
    value: {
      name: `one value of ${VALUE_MIB} MiB`,
      sql: () => `SELECT repeat('x', ${VALUE_MIB * MIB})`,
      resource: 'plain',
      rows: 1,
      shows: 'whole',
    },
    first: {
      name: `first of ${many} rows, asked before`,
      sql: () => PEOPLE,
      resource: 'plain',
      rows,
      shows: 'first',
      times: 2,
    },
    unseen: {
      name: `first of ${many} rows, a statement never seen`,
      sql: (run) => `SELECT id, name AS name_${run}, ssn, city FROM people`,
      resource: 'plain',
      rows,
      shows: 'first',
      times: 2,
    },
  };
}

interface Measured extends Bulk {
  readonly used: number | undefined;
  /** Resident memory at most, above what it was before. */
  readonly grewMiB: number | undefined;
}

/**
 * Measures one load on every path. The first answer of a path, whose code is not compiled yet, does not count; but where memory is
 * measured it may be the one that takes it.
 */
export async function bulkResults(load: BulkLoad, paths: Paths, rounds: number): Promise<readonly Result[]> {
  let run = 0;
  const measure = async (path: NonNullable<Paths[Slot]>): Promise<Measured> => {
    const { pid } = path;
    const before = pid === undefined ? 0 : cpuMicros(pid);
    if (pid !== undefined) resetPeak(pid);
    const resident = pid === undefined ? 0 : memoryKiB(pid).now;
    const bulk = await readAway(path, load.sql(run++));
    if (bulk.rows !== load.rows) throw new Error(`${bulk.rows} rows came instead of ${load.rows}`);
    if (pid === undefined) return { ...bulk, used: undefined, grewMiB: undefined };
    return { ...bulk, used: cpuMicros(pid) - before, grewMiB: Math.max(0, memoryKiB(pid).peak - resident) / 1024 };
  };
  if (load.shows !== 'whole') await inTurn(paths, 1, measure);
  const { runs, failed } = await inTurn(paths, rounds * (load.times ?? 1), measure);
  const each = (pick: (run: Measured) => Run | undefined): Result['runs'] =>
    Object.fromEntries(Object.entries(runs).map(([slot, list]) => [slot, list.flatMap((one) => pick(one) ?? [])]));
  if (load.shows === 'first')
    return [
      { load: load.name, unit: 'ms', runs: each(({ firstRowMs }) => ({ value: firstRowMs, cpuMicros: undefined })), failed },
    ];
  if (load.shows === 'rows') {
    const rows = each(({ rows: count, totalMs, used }) => ({ value: count / (totalMs / 1000), cpuMicros: used }));
    return [{ load: load.name, unit: 'rows/s', runs: rows, failed }];
  }
  const time = each(({ totalMs, used }) => ({ value: totalMs, cpuMicros: used }));
  const memory = each(({ grewMiB }) => (grewMiB === undefined ? undefined : { value: grewMiB, cpuMicros: undefined }));
  return [
    { load: load.name, unit: 'ms', runs: time, failed },
    { load: `${load.name}: memory at most, above before`, unit: 'MiB', runs: memory, failed: {} },
  ];
}
