import { writeFileSync } from 'node:fs';

/** Ends a container: its last sentence goes to standard error and to where `kubectl describe pod` reads it. */
export function lastWords(sentence: string, terminationLog: string): void {
  process.stderr.write(`${sentence}\n`);
  try {
    // The kubelet makes the file; elsewhere none is made.
    writeFileSync(terminationLog, sentence, { flag: 'r+' });
  } catch {
    // Outside Kubernetes there is no such file; standard error has it.
  }
}
