// oxlint-disable-next-line import/no-unassigned-import -- what is loaded next wants what this makes
import './environment.ts';
import { type Answer, type Question, verification } from './verification.ts';

/** Verifies in a thread of its own, so that the page goes on: one question, then progress, then one answer. */
addEventListener('message', ({ data }: MessageEvent<Question>) => {
  void verification(data, (answer: Answer) => postMessage(answer));
});
