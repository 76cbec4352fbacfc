/**
 * What a browser may do with the page: run and style it from our own files, and talk to us. Inline code, other origins, frames and
 * every way to make script out of text are shut, so that recorded text stays text whatever it holds. The one trusted type, `verifier`, is the
 * address of the worker that verifies evidence (console/src/verify/start.ts): it takes no text.
 */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "frame-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types verifier',
].join('; ');

/** Of every answer, the API's included: nobody frames it, guesses its type, or reads it from another origin. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
};

/** Of answers that are no page. */
export const DATA_POLICY = "default-src 'none'; frame-ancestors 'none'";
