export { createSessions, type Ending, type SessionContext, type Sessions, type SessionsOptions } from './sessions.ts';
