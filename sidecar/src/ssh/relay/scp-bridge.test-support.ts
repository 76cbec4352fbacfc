import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { readExec } from '../actions/index.ts';
import type { FileRecord } from '../../running/file-record.ts';
import { type FileRule, judgeBy, SFTP_SERVER } from './files.test-support.ts';
import { PathLookup } from './path-lookup.ts';
import { ScpRelay } from './scp.ts';

/**
 * The program that a real scp starts instead of ssh: its last argument is the command that the server would run. BRIDGE holds rules, where
 * records go and the server's directory, as JSON.
 */
interface Setting {
  readonly rules: FileRule[];
  readonly records: string;
  readonly cwd: string;
}
const { rules, records, cwd } = JSON.parse(process.env['BRIDGE'] ?? '{}') as Setting;
const command = process.argv.at(-1) ?? '';
const [program = '', ...args] = command.split(' ');
const exec = readExec(Buffer.from(command));
if (exec.kind !== 'transfer') throw new Error(`it is no copy: ${command}`);
const { transfer } = exec;
const server = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
const sftp = spawn(SFTP_SERVER ?? '', [], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
const lookup = new PathLookup((bytes) => void sftp.stdin.write(bytes), true);
sftp.stdout.on('data', (chunk: Buffer) => lookup.fromServer(chunk));

const relay = new ScpRelay({
  transfer,
  judge: judgeBy(rules),
  resolve: (path) => lookup.resolve(path),
  toServer: (bytes) => void server.stdin.write(bytes),
  toAgent: (bytes) => void process.stdout.write(bytes),
  toStderr: (line) => void process.stderr.write(`${line}\n`),
  onRecord: (record: FileRecord) => appendFileSync(records, `${JSON.stringify(record)}\n`),
  onServerEnd: () => server.stdin.end(),
  onEnd: (error) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
    server.kill();
  },
});
server.stdin.on('error', () => {});
process.stdin.on('data', (chunk: Buffer) => relay.fromAgent(chunk)).on('end', () => relay.endOfAgent());
server.stdout.on('data', (chunk: Buffer) => relay.fromServer(chunk));
server.on('close', (code) => {
  relay.close();
  sftp.kill();
  process.exitCode ??= code ?? 1;
  process.stdin.destroy();
});
