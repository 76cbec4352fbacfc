export { type Exec, execAction, isOpenEnded, readExec, unplaced } from './exec.ts';
export { MAX_COMMAND_BYTES } from './shell.ts';
export { SFTP, type Transfer } from './transfers.ts';
export { type Unknown, type UnknownCode, untold } from './unknown.ts';
