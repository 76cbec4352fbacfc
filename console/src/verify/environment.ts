import { config } from 'zod';
import { Bytes } from './bytes.ts';

// Before anything of the log's packages: they make bytes while they are loaded, and zod would try whether it may make functions of text,
// which the page's policy forbids and reports.
config({ jitless: true });
globalThis.Buffer = Bytes as unknown as typeof Buffer;
