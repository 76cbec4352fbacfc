import { appendFileSync } from 'node:fs';
import { bridge, type FileRule, judgeBy } from './files.test-support.ts';

/**
 * The program that real clients start instead of sftp-server: BRIDGE holds its rules and where its records go, as JSON.
 */
const { rules, records: file } = JSON.parse(process.env['BRIDGE'] ?? '{}') as { rules: FileRule[]; records: string };
const { ended, records, lines } = bridge(process.stdin, process.stdout, { judge: judgeBy(rules) });
const failure = await ended;
for (const line of lines) process.stderr.write(`${line}\n`);
for (const record of records) appendFileSync(file, `${JSON.stringify(record)}\n`);
process.exitCode = failure === undefined ? 0 : 1;
