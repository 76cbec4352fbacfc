import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs a program to its end. */
export async function runProgram(
  program: string,
  args: readonly string[],
  input: string | Buffer = '',
  environment: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const child = spawn(program, args, { stdio: 'pipe', env: { ...process.env, ...environment } });
  const said = { stdout: '', stderr: '' };
  child.stdin.on('error', () => undefined).end(input);
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (data: string) => {
      said[name] += data;
    });
  const [status] = (await once(child, 'close')) as [number | null];
  return { ...said, status };
}
