import { brokenCounters } from './broken-counters.ts';
import { brokenFiles, flips, hostileNames, whole } from './broken-files.ts';
import { brokenKeys } from './broken-keys.ts';
import { brokenParts } from './broken-parts.ts';
import { brokenReadings } from './broken-readings.ts';
import { brokenLog, brokenRanges } from './broken-log.ts';
import { brokenSegments, hugeNumbers } from './broken-segments.ts';
import { type Case, cases } from './files.ts';
import { resealed } from './resealed.ts';

/*
 * Files of evidence, whole and broken, and what has to be said of each. Both verifiers are held against this table.
 */
for (const part of [
  whole,
  brokenFiles,
  hostileNames,
  brokenSegments,
  resealed,
  hugeNumbers,
  brokenLog,
  brokenRanges,
  brokenKeys,
  brokenCounters,
  brokenReadings,
  brokenParts,
])
  part();
/** Cases with a verdict of their own. */
export const TABLE: readonly Case[] = [...cases];
flips();
/** Changes of one bit: whatever is said of each, it is not that all is well. */
export const FLIPS: readonly Case[] = cases.slice(TABLE.length);
