export { type ObjectKind, Objects, sha256 } from './content.ts';
export { DirectoryStore, syncDirectory } from './directory-store.ts';
export { type ObjectStore, StoreError, type StoredObject } from './store.ts';
