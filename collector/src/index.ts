export {
  type Access,
  type ApiRequest,
  createTokenAccess,
  type Identity,
  LOCAL_IDENTITY,
  type Refusal,
  type Verb,
} from './access.ts';
export { type Collector, type CollectorOptions, createCollector } from './collector.ts';
export type { CounterSource } from './counters/source.ts';
export { LinkSignIn, type SignIn } from './console/sign-in.ts';
export { checkpointOf } from './log/state.ts';
export { CONSOLE_DIRECTORY, loadStaticFiles } from './console/static-files.ts';
export { openPostgres } from './evidence-index/postgres.ts';
export type { PolicySource } from './policies/source.ts';
export { type DecisionBody, type Decided, RequestRefused, type RequestSource, type RevocationBody } from './requests/source.ts';
export { parseSinks, SinksInvalid, type SinkSettings } from './sinks/settings.ts';
export type { IngestOutcome, Logger, Sender } from './ingest.ts';
export type { ReindexResult } from './reindex.ts';
export { syncDirectory } from './objects/index.ts';
