export * from './certificates.ts';
export * from './postgres.ts';
export * from './programs.ts';
export * from './provider.ts';
export * from './saml.ts';
export * from './splits.ts';
export * from './sshd.ts';
export * from './temporary.ts';
