export * from './access.ts';
export * from './action.ts';
export * from './approval/flood.ts';
export * from './approval/grant.ts';
export { askedOf, givenOf } from './approval/objects.ts';
export * from './approval/question.ts';
export * from './approval/request.ts';
export * from './approval/tally.ts';
export { accessOnBehalfOf } from './caller.ts';
export { canonicalJson, digestOf } from './canonical.ts';
export * from './cluster.ts';
export { type Compiled, type CompileInput, compileAccess, selectsAgent } from './compile.ts';
export * from './control.ts';
export {
  CREDENTIAL_KEYS,
  type Credential,
  credentialSource,
  keysWanted,
  protocolSettings,
  readCredential,
} from './credential.ts';
export * from './errors.ts';
export { MAX_GLOB_LENGTH, matchGlob, matchPathGlob, parseGlob, parsePathGlob, qualifiedName, type Glob } from './glob.ts';
export { matchWord, parseSegment, type SegmentGlob } from './glob.ts';
export * from './hint.ts';
export { describeEffect, judge } from './judge.ts';
export { mayUse, mayUseGroup } from './discovery.ts';
export { type ApiType, matchResource, parseResourceGlob, type ResourceGlob } from './kubernetes-rule.ts';
export { HASH_SECRET_BYTES, hashKeysOf, withHashKeys } from './hash-keys.ts';
export * from './mask.ts';
export { covers, touches } from './rule.ts';
export { strategyName } from './stricter.ts';
export { byteCount, durationMs } from './units.ts';
export { policyWarnings, type PolicyWarning } from './warnings.ts';
export { elsewhereOf, splitAddress } from './whereabouts.ts';
