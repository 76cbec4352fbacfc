import type { Answer, Question } from './verification.ts';
// oxlint-disable-next-line import/default -- the build makes of it where the worker is
import workerUrl from './worker.ts?worker&url';

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(text: string): string };
}

/** The one script that the page starts by its address. The page's policy knows this name, and there is one such policy: it knows no other address. */
const scripts = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('verifier', {
  createScriptURL: () => workerUrl,
});

/** Verifies in a thread of its own, which ends with its last answer. Gives what ends it before. */
export function startVerifier(question: Question, hear: (answer: Answer) => void): () => void {
  const worker = new Worker(scripts?.createScriptURL('') ?? workerUrl, { type: 'module' });
  const stop = (): void => worker.terminate();
  worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => {
    if (data.kind !== 'progress') stop();
    hear(data);
  });
  worker.addEventListener('error', () => {
    stop();
    hear({ kind: 'unread', what: 'evidence', message: 'the verifier could not go on; nothing is said of the evidence' });
  });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker is no window, and of this origin
  worker.postMessage(question);
  return stop;
}
