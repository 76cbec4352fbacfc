export { type InjectionInput, injectPod } from './inject.ts';
export { matchesProfile, profileMismatch } from './match.ts';
export { type Operation, patchPod } from './patch.ts';
export type { Container, Pod, PodSpec, Volume } from './pod.ts';
export type { AdmissionCode, Problem } from './problem.ts';
export { describeProblems, findProblems, type ValidationInput } from './problems.ts';
export { AGENT_AUDIENCE, buildProfile, type InjectionConfig, InjectionConfigError, SIDECAR_AUDIENCE } from './profile.ts';
export { DEFAULT_USER_ANNOTATION, readDefaultUser } from './secure.ts';
