import type { ChildProcess } from 'node:child_process';

const PATIENCE_MS = 15_000;

/** Gives a function that ends a child in good order, and sees to it that the child does not outlive this process. */
export function ended(child: ChildProcess): () => Promise<void> {
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  return async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(kill, PATIENCE_MS);
    await gone;
    clearTimeout(timer);
    process.off('exit', kill);
  };
}
