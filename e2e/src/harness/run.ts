import { spawn } from 'node:child_process';

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: 300 s; the program is killed after that. */
  readonly timeoutMs?: number;
}

const MAX_OUTPUT = 16 * 1024 * 1024;

/** Runs a program to its end and returns what it said, whatever its status. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? 300_000,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      if (output[stream].length < MAX_OUTPUT) output[stream] += text;
    });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { status, ...output };
}

/** As {@link run}, for what must succeed. @returns Standard output. */
export async function demand(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(program, args, options);
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr.slice(-4_000)}${stdout.slice(-1_000)}`);
  return stdout;
}
