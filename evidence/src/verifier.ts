/*
 * All that it takes to verify a file of evidence, and nothing that needs Node but primitives.ts: for whoever verifies in a browser.
 */
export type { GivenReading } from './api.ts';
export { EvidenceError } from './errors.ts';
export { type FileSessionVerdict, type FileTrust, type FileVerdict, verifyEvidence } from './file/verify-file.ts';
export { classOf, fileFindings, fileWord, sessionFindings, type VerdictClass } from './file/words.ts';
export { TrustFile } from './keys.ts';
export { parsePolicy, type TrustPolicy } from './log/policy.ts';
/** What stands in the place of primitives.ts where there is no Node. */
export type Primitives = typeof import('./primitives.ts');
