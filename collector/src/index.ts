export { type Access, type ApiRequest, createTokenAccess, type Identity, type Refusal, type Verb } from './access.ts';
export { type Collector, type CollectorOptions, createCollector } from './collector.ts';
export type { IngestOutcome, Logger, Sender } from './ingest.ts';
export type { ReindexResult } from './reindex.ts';
